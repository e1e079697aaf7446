"""Augmented copies among the clips of a dataset: their recordings, and what a dataset does with them."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from ser_embed.store.reader import Store
from ser_head.data.copies import recording_names, recording_rows
from ser_head.data.dataset import Dataset
from tests.ser_head.conftest import Recipe, rows_of


def with_copies(rows: list[dict[str, str]], number: int) -> list[dict[str, str]]:
    """Return rows of recordings with as many copies of each."""
    copies = [
        {**row, "utterance_id": f"{row['utterance_id']}~{copy}", "augmented_from": row["utterance_id"]}
        for row in rows
        for copy in range(1, number + 1)
    ]
    return [*({**row, "augmented_from": ""} for row in rows), *copies]


def table(sources: dict[str, str]) -> pd.DataFrame:
    return pd.DataFrame({"utterance_id": list(sources), "augmented_from": list(sources.values())})


def test_copies_of_copies_lead_to_the_recording_and_others_to_none() -> None:
    clips = table({"c": "b", "b": "a", "a": "", "d": "", "lost": "gone", "e": "f", "f": "e", "g": "g"})
    assert recording_names(clips).tolist() == ["a", "a", "a", "d", "gone", "e", "e", "g"]
    assert recording_rows(clips).tolist() == [2, 2, 2, 3, -1, -1, -1, -1]
    assert recording_rows(clips[["utterance_id"]]).tolist() == list(range(8))


@given(st.integers(1, 12), st.integers(0, 3), st.randoms(use_true_random=False))
def test_recordings_and_copies_go_there_and_back(num_recordings: int, copies: int, random: object) -> None:
    names = {f"r{index}": "" for index in range(num_recordings)}
    names |= {f"r{index}~{copy}": f"r{index}" for index in range(num_recordings) for copy in range(copies)}
    order = list(names)
    random.shuffle(order)  # type: ignore[attr-defined]
    clips = table({name: names[name] for name in order})
    rows = recording_rows(clips)
    assert [order[row] for row in rows] == [name.partition("~")[0] for name in order]


def test_a_dataset_gives_recordings_their_copies_and_back(make_store: Callable) -> None:
    rows = with_copies(rows_of(Recipe(speakers=3, takes=2)), 2)
    with Store(make_store(rows=rows)) as store:
        data = Dataset(store)
        everything = np.arange(len(data))
        recordings = data.without_copies(everything)
        assert (len(data), len(recordings), data.num_copies) == (54, 18, 36)
        assert not data.clips["augmented_from"].iloc[recordings].any()
        some = recordings[[1, 4, 9]]
        names = set(data.clips["utterance_id"].iloc[data.with_copies(some)])
        expected = data.clips["utterance_id"].iloc[some]
        assert names == {f"{name}{suffix}" for name in expected for suffix in ("", "~1", "~2")}
        np.testing.assert_array_equal(data.without_copies(data.with_copies(some)), some)
    with Store(make_store("plain.h5", speakers=3, takes=2)) as store:
        data = Dataset(store)
        some = np.array([7, 2])
        assert data.with_copies(some) is some
        np.testing.assert_array_equal(data.without_copies(some), some)


def test_copies_without_their_recording_are_left_out(make_store: Callable) -> None:
    rows = with_copies(rows_of(Recipe(corpora=("demo", "more"), speakers=3, takes=2)), 1)
    lost = "demo/1-sad-0"
    rows = [row for row in rows if row["utterance_id"] != lost]
    rows[0] = {**rows[0], "emotion": ""}  # a recording without a label is not among the clips, its copy has one
    with Store(make_store(rows=rows)) as store:
        data = Dataset(store, corpora=["demo"])
        assert set(data.left_out) == {f"{lost}~1", f"{rows[0]['utterance_id']}~1"}
        assert not set(data.left_out) & set(data.clips["utterance_id"])
        assert len(data) == 36 - 4
        np.testing.assert_array_equal(data.read(np.arange(3)), store.read(data._rows[:3]))
