"""PAPT downstream: mean(f) + e_s on the cache, by whom and when e_s may be used, and what is told where it is not."""

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
    """Write a store again, with e_s for all its speakers but the first: numbers of a spread of `scale`."""
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
    table = pd.read_csv(run / "predictions.csv")
    return table[table["condition"] == condition].set_index("utterance_id").filter(like="p_")


def test_it_is_added_where_the_speaker_is_known_and_nowhere_else() -> None:
    rng = np.random.default_rng(0)
    clips, added = rng.normal(size=(4, 2, 3)).astype(np.float32), rng.normal(size=(2, 3)).astype(np.float32)
    training_speakers = TrainingSpeakers(
        (), np.zeros((0, 2, 3)), np.zeros((0, 2, 3)), np.zeros((0, 2), int), np.zeros((0, 2))
    )
    personalizer = Personalizer(("papt",), training_speakers, pretrained={"anna": added})
    nobody = clips[:0]
    states = [personalizer.state(nobody, pretrained_name=name) for name in ("", "anna", "bert")]
    (moved,) = personalizer.inputs(clips, states, np.array([0, 1, 1, 2]))
    np.testing.assert_array_equal(moved[[0, 3]], clips[[0, 3]])
    np.testing.assert_allclose(moved[1:3].mean(axis=0), clips[1:3].mean(axis=0) + added, atol=1e-6)
    assert not personalizer.training_state(nobody, "anna")["papt"][0].any()
    assert personalizer.training_state(clips, "anna")["papt"][0].any()


def test_only_transductive_speakers_are_known_and_zeros_change_nothing(make_store, tmp_path):
    plain = make_store()
    for scale in (0.0, 3.0):
        store = with_speakers(plain, tmp_path / f"{scale}.h5", scale)
        run = ser_head.train(store=store, personalized="papt", **SETTINGS, out=tmp_path / f"run-{scale}")
        assert run.metrics["conditions"].keys() == {"unknown", "transductive", "plain"}
        unknown, known = of_condition(run.run, "unknown"), of_condition(run.run, "transductive")
        moved = (known.loc[unknown.index] - unknown).abs().max(axis=1) > 1e-6
        with Store(store) as opened:
            heard = set(opened.speaker_vectors)
            speakers = opened.utterances.set_index("utterance_id")["speaker"].loc[moved.index]
        assert moved.tolist() == [scale > 0 and name in heard for name in speakers]


def test_a_saved_run_knows_the_speakers_by_name(make_store, tmp_path):
    store = with_speakers(make_store(), tmp_path / "speakers.h5", 3.0)
    trained = ser_head.train(store=store, personalized="papt", **SETTINGS, out=tmp_path / "run")
    assert (trained.run / "report.html").stat().st_size > 10_000
    run = Run.load(trained.run)
    with Store(store) as opened:
        vectors, name = opened.read([0, 1]), next(iter(opened.speaker_vectors))
    speaker_inputs, other = (run.probabilities(vectors, speakers=[speaker] * 2) for speaker in (name, "nobody"))
    assert not np.allclose(speaker_inputs, other)
    np.testing.assert_array_equal(other, run.probabilities(vectors))


def test_what_it_cannot_do_is_told_at_once(make_store, tmp_path):
    store = make_store()
    with pytest.raises(InputError, match="papt needs the vectors of a model pre-trained with --speaker-embeddings"):
        ser_head.train(store=store, personalized="papt", out=tmp_path / "run")
    with pytest.raises(InputError, match="which --normalization corpus does not keep"):
        ser_head.train(store=store, personalized="papt", normalization="corpus", out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
