"""Resemblance: the training speakers named are those nearest by cosine, and shares are those the head blends by."""

import json

import numpy as np
import pytest

from ser_embed.errors import InputError
from ser_embed.store.reader import Store
from ser_head.reporting.speaker_matches import speaker_matches
from ser_head.runs.results import Results
from tests.ser_head.fabricated import Case, edit_json, fabricate, personalize


def made(folder, methods, **changes):
    run, store = fabricate(folder, **changes)
    personalize(run, store, Case(**changes), methods)
    return run, store


def found(run, store, **asked):
    with Store(store) as opened:
        return speaker_matches(Results.load(run), opened, **asked)


def cosines(run, store, speaker):
    """The likeness of a speaker to each training speaker of its fold, most alike first, from the vectors alone."""
    folds = json.loads((run / "run.json").read_text())["folds"]
    (known,) = [fold["known"] for fold in folds if speaker in fold["speakers"]["test"]]
    with Store(store) as opened:
        vectors, speakers = opened.vectors[:][:, -1].astype(float), opened.utterances["speaker"].to_numpy()
    train = vectors[np.isin(speakers, known)]
    scaled = (vectors - train.mean(axis=0)) / train.std(axis=0)
    means = {name: scaled[speakers == name].mean(axis=0) for name in (*known, speaker)}
    own = means.pop(speaker)
    likeness = {name: own @ mean / np.linalg.norm(own) / np.linalg.norm(mean) for name, mean in means.items()}
    return sorted(likeness.items(), key=lambda each: -each[1])


def test_the_nearest_training_speakers_are_named(tmp_path):
    run, store = made(tmp_path, ("calibrate",))
    rows = found(run, store)
    assert [row.speaker for row in rows] == [f"ravdess/{number:02}" for number in range(1, 9)]
    for row in rows:
        assert row.lenders == tuple(name for name, _ in cosines(run, store, row.speaker)[:3])
        assert row.shares == ()


def test_shares_of_a_blend_fall_with_likeness_and_leave_some_to_the_unknown(tmp_path):
    run, store = made(tmp_path, ("embedding",))
    for row in found(run, store, lenders=6):
        expected = cosines(run, store, row.speaker)
        weights = np.exp(10 * np.array([cosine for _, cosine in expected]))
        shares = 24 / 29 * weights / weights.sum()  # 24 clips against a kappa of 5
        kept = [(name, share) for (name, _), share in zip(expected, shares, strict=True) if share >= 0.01]
        assert row.lenders == tuple(name for name, _ in kept)
        np.testing.assert_allclose(row.shares, [share for _, share in kept], rtol=1e-3)


def test_only_so_many_and_only_new_speakers_are_told_of(tmp_path):
    run, store = made(tmp_path, ("embedding",))
    assert [row.speaker for row in found(run, store, most=2)] == ["ravdess/01", "ravdess/02"]
    folds = json.loads((run / "run.json").read_text())["folds"]
    folds[1]["speakers"]["test"] = [folds[1]["known"][0]]
    edit_json(run / "run.json", folds=folds)
    assert [row.speaker for row in found(run, store)] == [f"ravdess/{number:02}" for number in (1, 3, 4, 5, 7, 8)]


def test_who_does_not_borrow_resembles_nobody(tmp_path):
    run, store = made(tmp_path, ("normalize", "features"))
    assert found(run, store) == []


def test_a_damaged_fold_is_named(tmp_path):
    run, store = made(tmp_path, ("embedding",))
    (run / "fold_1" / "fold.npz").write_bytes(b"PK")
    with pytest.raises(InputError, match=r"fold_1.fold\.npz"):
        found(run, store)
