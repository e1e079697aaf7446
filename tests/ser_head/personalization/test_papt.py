"""PAPT in stage 2: mean(f) + e_s on stored vectors, the conditions that may use e_s, and errors where it is missing."""

import numpy as np
import pandas as pd
import pytest

import ser_head
from ser_embed.errors import InputError
from ser_embed.store.reader import Store
from ser_embed.store.writer import StoreWriter
from ser_head.personalization.personalizer import Personalizer
from ser_head.personalization.speakers import TrainingSpeakers
from ser_head.runs.run import Run

SETTINGS = {"protocol": "kfold:3", "epochs": 3}


def with_speakers(source, path, scale):
    """Write a store again, with an e_s of deviation `scale` for each speaker but the first."""
    random = np.random.default_rng(5)
    with Store(source) as opened, StoreWriter(path, opened.spec, {}) as writer:
        clips = opened.utterances
        writer.add(clips, list(opened.read(np.arange(len(opened)))))
        shape = (len(opened.layers), opened.spec.width)
        names = sorted(set(clips["speaker"]))[1:]
        writer.add_speakers({name: scale * random.normal(size=shape).astype(np.float32) for name in names})
        writer.commit()
    return path


def of_condition(run, condition):
    """Return the probabilities that a run gave under a condition, by clip."""
    table = pd.read_csv(run / "predictions.csv")
    return table[table["condition"] == condition].set_index("utterance_id").filter(like="p_")


def test_e_s_is_added_for_known_speakers_alone() -> None:
    rng = np.random.default_rng(0)
    clips, speaker_vector = rng.normal(size=(4, 2, 3)).astype(np.float32), rng.normal(size=(2, 3)).astype(np.float32)
    training_speakers = TrainingSpeakers(
        (), np.zeros((0, 2, 3)), np.zeros((0, 2, 3)), np.zeros((0, 2), int), np.zeros((0, 2))
    )
    personalizer = Personalizer(("papt",), training_speakers, pretrained={"anna": speaker_vector})
    no_clips = clips[:0]
    states = [personalizer.state(no_clips, pretrained_name=name) for name in ("", "anna", "bert")]
    (moved,) = personalizer.inputs(clips, states, np.array([0, 1, 1, 2]))
    np.testing.assert_array_equal(moved[[0, 3]], clips[[0, 3]])
    np.testing.assert_allclose(moved[1:3].mean(axis=0), clips[1:3].mean(axis=0) + speaker_vector, atol=1e-6)
    assert not personalizer.training_state(no_clips, "anna")["papt"][0].any()
    assert personalizer.training_state(clips, "anna")["papt"][0].any()


def test_only_the_transductive_condition_uses_e_s_and_zeros_change_nothing(make_store, tmp_path):
    plain = make_store()
    for scale in (0.0, 3.0):
        store = with_speakers(plain, tmp_path / f"{scale}.h5", scale)
        run = ser_head.train(store=store, personalized="papt", **SETTINGS, out=tmp_path / f"run-{scale}")
        assert run.metrics["conditions"].keys() == {"unknown", "transductive", "plain"}
        unknown, known = of_condition(run.run, "unknown"), of_condition(run.run, "transductive")
        moved = (known.loc[unknown.index] - unknown).abs().max(axis=1) > 1e-6
        with Store(store) as opened:
            pretrained = set(opened.speaker_vectors)
            speakers = opened.utterances.set_index("utterance_id")["speaker"].loc[moved.index]
        assert moved.tolist() == [scale > 0 and name in pretrained for name in speakers]


def test_a_saved_run_knows_the_speakers_by_name(make_store, tmp_path):
    store = with_speakers(make_store(), tmp_path / "speakers.h5", 3.0)
    trained = ser_head.train(store=store, personalized="papt", **SETTINGS, out=tmp_path / "run")
    assert "pre-training learned of the voice (papt)" in (trained.run / "report.html").read_text("utf-8")
    run = Run.load(trained.run)
    with Store(store) as opened:
        vectors, name = opened.read([0, 1]), next(iter(opened.speaker_vectors))
    with_speaker, with_stranger = (run.probabilities(vectors, speakers=[speaker] * 2) for speaker in (name, "nobody"))
    assert not np.allclose(with_speaker, with_stranger)
    np.testing.assert_array_equal(with_stranger, run.probabilities(vectors))


def test_papt_is_refused_before_training_where_it_cannot_work(make_store, tmp_path):
    store = make_store()
    with pytest.raises(InputError, match="papt needs the vectors of a model pre-trained with --speaker-embeddings"):
        ser_head.train(store=store, personalized="papt", out=tmp_path / "run")
    with pytest.raises(InputError, match="which --normalization corpus does not keep"):
        ser_head.train(store=store, personalized="papt", normalization="corpus", out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
