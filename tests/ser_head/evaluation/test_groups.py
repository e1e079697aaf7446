"""Figures of groups of clips: against scikit-learn, from the manifest and from the file alone."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score

from ser_embed.errors import InputError
from ser_embed.manifest import build_manifest
from ser_head.evaluation.groups import accuracy_and_uar, by_columns, columns_of, read_groups, with_groups

EMOTIONS = np.array(["angry", "happy", "sad"])


def clips_of(num_clips=60):
    return build_manifest(
        {
            "utterance_id": f"c/{number:02}",
            "path": f"{number}.wav",
            "corpus": "c",
            "speaker": f"c/{number % 5}",
            "emotion": EMOTIONS[number // 2 % 3],
            "gender": ["female", "male"][number % 2],
            "age": [31, 30.5, None][number % 3],
            "code": ["07", "7"][number % 2],
        }
        for number in range(num_clips)
    )


def table_of(clips, seed=0):
    clips = clips.sample(frac=1, random_state=seed, ignore_index=True)  # a table has its own order
    said = np.random.default_rng(seed).choice(EMOTIONS, len(clips))
    return pd.DataFrame(
        {
            "utterance_id": clips["utterance_id"],
            "speaker": clips["speaker"],
            "label": clips["emotion"],
            "prediction": said,
            "fold": 1 + np.arange(len(clips)) % 2,
            "condition": "unknown",
        }
    )


@pytest.mark.parametrize("column", ["gender", "speaker", "corpus"])
def test_every_group_has_its_own_figures(column):
    clips = clips_of()
    table = table_of(clips)
    (found,) = by_columns(with_groups(table, clips, [column]), [column]).values()
    home = clips.set_index("utterance_id")[column]
    assert set(found) == set(home)
    for value, figures in found.items():
        rows = table[[home[name] == value for name in table["utterance_id"]]]
        truth, said = rows["label"], rows["prediction"]
        uar = pytest.approx(balanced_accuracy_score(truth, said))
        assert figures == {"n": len(rows), "accuracy": pytest.approx(accuracy_score(truth, said)), "uar": uar}


def test_numbers_are_written_short_and_what_is_missing_is_a_group_too():
    clips = clips_of()
    table = with_groups(table_of(clips), clips, ["age", "code"])
    found = by_columns(table, ["age", "code"])
    assert set(found["age"]) == {"31", "30.5", ""}
    assert set(found["code"]) == {"07", "7"}
    assert columns_of(table) == ["age", "code"]


def test_the_file_keeps_the_groups_as_they_were(tmp_path):
    clips = clips_of()
    table = with_groups(table_of(clips), clips, ["age", "code", "gender"])
    table.to_csv(tmp_path / "predictions.csv", index=False)
    read = read_groups(tmp_path / "predictions.csv")
    assert read.columns.tolist() == ["by_age", "by_code", "by_gender"]
    assert all(read[name].tolist() == table[name].tolist() for name in read)


def test_what_every_table_has_can_be_asked_for():
    table = table_of(clips_of())
    found = by_columns(table, ["speaker", "fold", "condition"])
    assert found["fold"] == {str(fold): accuracy_and_uar(rows) for fold, rows in table.groupby("fold")}
    assert found["condition"] == {"unknown": accuracy_and_uar(table)}
    assert len(found["speaker"]) == 5


def test_another_measure_may_be_asked_for():
    table = table_of(clips_of())
    found = by_columns(table, ["fold"], lambda rows: {"n": len(rows)})
    assert found == {"fold": {"1": {"n": 30}, "2": {"n": 30}}}


def test_a_column_that_is_not_there_is_refused_by_name():
    clips = clips_of()
    with pytest.raises(InputError, match=r"column of the manifest \(utterance_id, .*, gender, age, code\), not 'sex'"):
        with_groups(table_of(clips), clips, ["gender", "sex"])
    table = with_groups(table_of(clips), clips, ["gender"])
    with pytest.raises(InputError, match=r"\(gender, speaker, label, fold, condition\), not 'prediction'"):
        by_columns(table, ["prediction"])


def test_neither_table_is_changed():
    clips = clips_of()
    table = table_of(clips)
    before = clips.copy(), table.copy()
    by_columns(with_groups(table, clips, ["gender"]), ["gender"])
    pd.testing.assert_frame_equal(clips, before[0])
    pd.testing.assert_frame_equal(table, before[1])
