"""Speaker matches: training speakers are the nearest by cosine, and shares are those of the blend the head uses."""

import json

import numpy as np
import pytest

from ser_embed.errors import InputError
from ser_embed.store.reader import Store
from ser_head.reporting.speaker_matches import speaker_matches
from ser_head.runs.results import RunResults
from tests.ser_head.fabricated import Case, edit_json, fabricate, personalize


def fabricate_personalized(folder, methods, **changes):
    """Fabricate a run personalised by these methods; return the run and its store."""
    run, store = fabricate(folder, **changes)
    personalize(run, store, Case(**changes), methods)
    return run, store


def matches_of(run, store, **limits):
    with Store(store) as opened:
        return speaker_matches(RunResults.load(run), opened, **limits)


def cosines(run, store, speaker):
    """Return the cosine of a speaker with each training speaker of its fold, largest first, from the vectors alone."""
    folds = json.loads((run / "run.json").read_text())["folds"]
    (training_speakers,) = [fold["known"] for fold in folds if speaker in fold["speakers"]["test"]]
    with Store(store) as opened:
        vectors, speakers = opened.vectors[:][:, -1].astype(float), opened.utterances["speaker"].to_numpy()
    train = vectors[np.isin(speakers, training_speakers)]
    scaled = (vectors - train.mean(axis=0)) / train.std(axis=0)
    means = {name: scaled[speakers == name].mean(axis=0) for name in (*training_speakers, speaker)}
    test_mean = means.pop(speaker)
    norm = np.linalg.norm(test_mean)
    by_name = {name: test_mean @ mean / norm / np.linalg.norm(mean) for name, mean in means.items()}
    return sorted(by_name.items(), key=lambda item: -item[1])


def test_the_nearest_training_speakers_are_named(tmp_path):
    run, store = fabricate_personalized(tmp_path, ("calibrate",))
    rows = matches_of(run, store)
    assert [row.speaker for row in rows] == [f"ravdess/{number:02}" for number in range(1, 9)]
    for row in rows:
        assert row.similar_speakers == tuple(name for name, _ in cosines(run, store, row.speaker)[:3])
        assert row.shares == ()


def test_shares_of_a_blend_fall_with_the_cosine_and_leave_some_to_the_unknown_speaker(tmp_path):
    run, store = fabricate_personalized(tmp_path, ("embedding",))
    for row in matches_of(run, store, max_matches=6):
        expected = cosines(run, store, row.speaker)
        weights = np.exp(10 * np.array([cosine for _, cosine in expected]))
        shares = 24 / 29 * weights / weights.sum()  # 24 clips against a kappa of 5
        named = [(name, share) for (name, _), share in zip(expected, shares, strict=True) if share >= 0.01]
        assert row.similar_speakers == tuple(name for name, _ in named)
        np.testing.assert_allclose(row.shares, [share for _, share in named], rtol=1e-3)


def test_speakers_are_limited_to_a_number_and_to_new_ones(tmp_path):
    run, store = fabricate_personalized(tmp_path, ("embedding",))
    assert [row.speaker for row in matches_of(run, store, max_speakers=2)] == ["ravdess/01", "ravdess/02"]
    folds = json.loads((run / "run.json").read_text())["folds"]
    folds[1]["speakers"]["test"] = [folds[1]["known"][0]]
    edit_json(run / "run.json", folds=folds)
    assert [row.speaker for row in matches_of(run, store)] == [f"ravdess/{number:02}" for number in (1, 3, 4, 5, 7, 8)]


def test_methods_that_use_no_similar_speakers_have_no_matches(tmp_path):
    run, store = fabricate_personalized(tmp_path, ("normalize", "features"))
    assert matches_of(run, store) == []


def test_a_damaged_fold_is_named(tmp_path):
    run, store = fabricate_personalized(tmp_path, ("embedding",))
    (run / "fold_1" / "fold.npz").write_bytes(b"PK")
    with pytest.raises(InputError, match=r"fold_1.fold\.npz"):
        matches_of(run, store)
