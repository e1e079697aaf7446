"""Dataset: which clips, in which classes, and the same vectors from memory and from disk."""

import numpy as np
import pytest

from ser_embed.errors import InputError
from ser_embed.store.reader import Store
from ser_head.data import dataset
from ser_head.data.dataset import Dataset
from tests.ser_head.conftest import Recipe, rows_of


def test_classes_are_in_canonical_order_and_unlabelled_clips_left_out(make_store):
    rows = rows_of(Recipe(emotions=("zeal", "sad", "angry", "awe", "")))
    with Store(make_store(rows=rows)) as store:
        data = Dataset(store)
        assert data.labels == ("angry", "sad", "awe", "zeal")
        assert len(data) == len(rows) * 4 // 5
        assert [data.labels[target] for target in data.targets] == data.clips["emotion"].tolist()
        assert np.array_equal(
            data.read(np.arange(len(data))), store.read(np.flatnonzero(store.column("emotion") != ""))
        )


def test_corpora_are_chosen_by_name_and_shared_emotions_kept(make_store):
    rows = rows_of(Recipe(corpora=("a",), emotions=("sad", "angry", "calm")))
    rows += rows_of(Recipe(corpora=("b",), emotions=("sad", "angry", "fear")))
    with Store(make_store(rows=rows)) as store:
        assert Dataset(store).labels == ("angry", "calm", "fear", "sad")
        assert Dataset(store, corpora=["a"]).labels == ("angry", "calm", "sad")
        shared = Dataset(store, corpora=["a", "b"], shared=True)
        assert shared.labels == ("angry", "sad")
        assert set(shared.clips["emotion"]) == {"angry", "sad"}


def test_numbers_of_corpora_without_a_shared_emotion_are_all_kept(make_store):
    rows = [{**row, "valence": 0.5} for row in rows_of(Recipe(corpora=("a",), emotions=("sad", "angry")))]
    rows += [{**row, "valence": 0.1} for row in rows_of(Recipe(corpora=("b",), emotions=("happy", "")))]
    rows += rows_of(Recipe(corpora=("c",)))
    with Store(make_store(rows=rows)) as store:
        assert len(Dataset(store, corpora=["a", "b"], shared=True, target="valence")) == 96
        with pytest.raises(InputError, match="--target valence .* no clip of c in .* has it"):
            Dataset(store, corpora=["c"], target="valence")


def test_vote_shares_add_up_to_one(make_store):
    rows = [{**row, "votes_sad": 0.3, "votes_angry": 0.1} for row in rows_of(Recipe(emotions=("sad", "angry")))]
    with Store(make_store(rows=rows)) as store:
        assert Dataset(store, target="votes").desired == pytest.approx(np.array([[0.25, 0.75]] * len(rows)))


@pytest.mark.parametrize(("layer", "expected"), [("weighted", [0, 1, 2]), ("last", [2]), ("1", [1])])
def test_layers_are_chosen_by_name(make_store, layer, expected):
    with Store(make_store(layers=("0", "1", "final"))) as store:
        data = Dataset(store, layer)
        assert data.layers == expected
        assert data.shape == (len(expected), 8)
        assert np.array_equal(data.read(np.array([5, 2])), store.read([5, 2])[:, expected])


def test_vectors_on_disk_come_in_windows_that_hold_every_clip_once(make_store, monkeypatch):
    with Store(make_store(speakers=20, takes=10)) as store:
        in_memory, on_disk = Dataset(store), Dataset(store, memory_bytes=0)
        monkeypatch.setattr(dataset, "WINDOW_BYTES", 150 * 8 * 4)
        indices = np.arange(0, len(in_memory), 2)
        for data in (in_memory, on_disk):
            windows = list(data.windows(indices, np.random.default_rng(0)))
            assert max(map(len, windows)) <= 150
            order = np.concatenate(windows)
            assert sorted(order) == indices.tolist()
            assert not np.array_equal(order, indices)
            assert np.array_equal(np.concatenate(list(data.windows(indices))), indices)
            assert np.array_equal(data.read(order), store.read(order))


@pytest.mark.parametrize(
    ("recipe", "chosen", "message"),
    [
        ({"emotions": ("",)}, {}, "at least two emotions; .* has none"),
        ({"emotions": ("sad",)}, {}, "at least two emotions; .* has only 'sad'"),
        ({}, {"corpora": ["ravdess"]}, "has no corpus 'ravdess'; it has demo"),
        ({"layers": ("0", "1")}, {"layer": "12"}, r"weighted, last, 0, 1\), not '12'"),
    ],
)
def test_stores_that_cannot_be_trained_on_are_refused(make_store, recipe, chosen, message):
    with Store(make_store(**recipe)) as store, pytest.raises(InputError, match=message):
        Dataset(store, **chosen)


def test_frames_are_refused(make_store, monkeypatch):
    with Store(make_store()) as store:
        monkeypatch.setattr(store, "spec", store.spec.__class__(**{**vars(store.spec), "pooling": "frames"}))
        with pytest.raises(InputError, match="holds frames; extract with --pooling mean"):
            Dataset(store)
