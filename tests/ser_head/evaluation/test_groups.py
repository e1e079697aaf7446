"""Figures of groups of clips: equal to scikit-learn's, from the manifest and from predictions.csv alone."""

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
    clips = clips.sample(frac=1, random_state=seed, ignore_index=True)  # predictions come in an order of their own
    predicted = np.random.default_rng(seed).choice(EMOTIONS, len(clips))
    return pd.DataFrame(
        {
            "utterance_id": clips["utterance_id"],
            "speaker": clips["speaker"],
            "label": clips["emotion"],
            "prediction": predicted,
            "fold": 1 + np.arange(len(clips)) % 2,
            "condition": "unknown",
        }
    )


@pytest.mark.parametrize("column", ["gender", "speaker", "corpus"])
def test_every_group_has_its_own_figures(column):
    clips = clips_of()
    table = table_of(clips)
    (groups,) = by_columns(with_groups(table, clips, [column]), [column]).values()
    value_of = clips.set_index("utterance_id")[column]
    assert set(groups) == set(value_of)
    for value, figures in groups.items():
        rows = table[[value_of[name] == value for name in table["utterance_id"]]]
        truth, predicted = rows["label"], rows["prediction"]
        uar = pytest.approx(balanced_accuracy_score(truth, predicted))
        assert figures == {"n": len(rows), "accuracy": pytest.approx(accuracy_score(truth, predicted)), "uar": uar}


def test_numbers_are_written_short_and_missing_values_are_a_group():
    clips = clips_of()
    table = with_groups(table_of(clips), clips, ["age", "code"])
    groups = by_columns(table, ["age", "code"])
    assert set(groups["age"]) == {"31", "30.5", ""}
    assert set(groups["code"]) == {"07", "7"}
    assert columns_of(table) == ["age", "code"]


def test_the_file_keeps_the_groups(tmp_path):
    clips = clips_of()
    table = with_groups(table_of(clips), clips, ["age", "code", "gender"])
    table.to_csv(tmp_path / "predictions.csv", index=False)
    groups = read_groups(tmp_path / "predictions.csv")
    assert groups.columns.tolist() == ["by_age", "by_code", "by_gender"]
    assert all(groups[name].tolist() == table[name].tolist() for name in groups)


def test_columns_of_every_table_can_be_grouped_by():
    table = table_of(clips_of())
    groups = by_columns(table, ["speaker", "fold", "condition"])
    assert groups["fold"] == {str(fold): accuracy_and_uar(rows) for fold, rows in table.groupby("fold")}
    assert groups["condition"] == {"unknown": accuracy_and_uar(table)}
    assert len(groups["speaker"]) == 5


def test_another_measure_can_be_given():
    table = table_of(clips_of())
    groups = by_columns(table, ["fold"], lambda rows: {"n": len(rows)})
    assert groups == {"fold": {"1": {"n": 30}, "2": {"n": 30}}}


def test_a_missing_column_is_refused_by_name():
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
