"""Heads on the vectors of a fine-tuned encoder: tested on what it has learned from, they are refused."""

import json

import numpy as np
import pandas as pd
import pytest
import soundfile
import transformers

import ser_embed
import ser_head
from ser_embed.encoders.training_clips import write_training_clips
from ser_embed.errors import InputError
from ser_embed.store.reader import Store
from ser_head.runs.run import Run
from ser_head.train import main, summary
from tests.ser_head.conftest import Recipe, rows_of

pytestmark = pytest.mark.timeout(120)

SETTINGS = {"head": "lda", "seed": 3}
NOT_LEARNED = dict.fromkeys(["digest", "audio_digest"], "")


def training_clips(rows, part="train"):
    return pd.DataFrame([{**row, **NOT_LEARNED, "part": part} for row in rows], dtype=object).drop(columns="path")


def rows_by(*speakers):
    return [row for row in rows_of(Recipe()) if row["speaker"] in speakers]


@pytest.fixture
def speakers(make_store, tmp_path):
    """The speakers of the parts that the protocol `speaker` makes of a store whose encoder learned from no label."""
    plain = ser_head.train(store=make_store("plain.h5"), **SETTINGS, out=tmp_path / "plain")
    return Run.load(plain.run).about["folds"][0]["speakers"]


class TestTraining:
    def test_its_own_fold_is_honest(self, make_store, tmp_path, speakers):
        rows = [
            training_clips(rows_by(*speakers["train"])),
            training_clips(rows_by(*speakers["validation"]), "validation"),
        ]
        store = make_store(training_clips=pd.concat(rows))
        with pytest.raises(InputError, match="60 of the 72 test clips of loso are of 5 speakers .* 60 of them are its"):
            ser_head.train(store=store, protocol="loso", **SETTINGS, out=tmp_path / "denied")
        assert not (tmp_path / "denied").exists()
        with pytest.MonkeyPatch.context() as patch:
            warnings = []
            patch.setattr("ser_head.training.plan.logger.warning", lambda text, *values: warnings.append(text % values))
            trained = ser_head.train(store=store, **SETTINGS, out=tmp_path / "run")
        assert [text for text in warnings if "12 of the validation clips" in text and str(store) in text] == warnings
        assert len(warnings) == 1
        assert trained.metrics["speaker_disjoint"] is True
        assert trained.metrics["leakage"]["encoder"] == {"clips": 0, "unknown": 0, "example": None, "validation": 12}
        assert "12 clips that chose the epoch and the temperature are among those" in summary(trained)
        assert "12 clips that chose the epoch" in (trained.run / "report.html").read_text()

    def test_a_protocol_that_shares_speakers_is_stamped_and_refused_for_clips(self, make_store, tmp_path):
        elsewhere = [{**row, "utterance_id": f"elsewhere/{row['utterance_id']}"} for row in rows_by("demo/1")]
        trained = ser_head.train(
            store=make_store(training_clips=training_clips(elsewhere)),
            protocol="random",
            **SETTINGS,
            out=tmp_path / "r",
        )
        assert trained.metrics["speaker_disjoint"] is False
        finding = trained.metrics["leakage"]["encoder"]
        assert 0 < finding["clips"] < trained.metrics["n_test"]
        assert finding["example"][1].startswith("elsewhere/demo/1-")
        store = make_store("heard.h5", training_clips=training_clips(rows_of(Recipe())[:40]))
        with pytest.raises(InputError, match="test clips of random .* test on speakers that it never heard"):
            ser_head.train(store=store, protocol="random", **SETTINGS, out=tmp_path / "denied")
        assert not (tmp_path / "denied").exists()

    def test_a_run_on_vectors_of_no_tuned_encoder_says_nothing_of_one(self, make_store, tmp_path):
        trained = ser_head.train(store=make_store(), **SETTINGS, out=tmp_path / "run")
        assert "encoder" not in trained.metrics["leakage"]
        assert "tuned_on" not in json.loads((trained.run / "run.json").read_text())["spec"]

    def test_an_ensemble_is_no_more_honest_than_its_members(self, make_store, tmp_path):
        elsewhere = [
            {**row, "utterance_id": f"elsewhere/{row['utterance_id']}", "speaker": ""} for row in rows_by("demo/1")
        ]
        stores = [make_store(), make_store("tuned.h5", training_clips=training_clips(elsewhere))]
        runs = [ser_head.train(store=store, **SETTINGS, out=tmp_path / store.stem) for store in stores]
        assert [run.metrics["speaker_disjoint"] for run in runs] == [True, False]  # nobody knows who spoke elsewhere
        both = ser_head.train(head="ensemble", members=[run.run for run in runs], out=tmp_path / "both")
        assert both.metrics["speaker_disjoint"] is False
        assert both.metrics["leakage"]["encoder"] == {"clips": 0, "unknown": 72, "example": None, "validation": 0}
        assert "training of the encoder (72 clips)" in (both.run / "report.html").read_text()


def test_an_extraction_with_a_tuned_model_is_audited_like_any_other(tmp_path, capsys):
    """Renamed copies of the clips it has learned from are recognised; speakers it never heard are not refused."""
    write_tones(tmp_path / "learned" / "tones", [f"s{number}" for number in range(4)])
    write_tones(tmp_path / "renamed" / "copies", [f"s{number}" for number in range(4)], "renamed-")
    write_tones(tmp_path / "new" / "others", [f"t{number}" for number in range(4)], seed=1)
    model = save_tiny_classifier(tmp_path / "model")
    ser_embed.extract(str(model), data=tmp_path / "learned", store=tmp_path / "learned.h5")
    with Store(tmp_path / "learned.h5") as store:
        write_training_clips(model, store.utterances.assign(part="train"))
    for name in ("renamed", "new"):
        ser_embed.extract(str(model), data=tmp_path / name, store=tmp_path / f"{name}.h5")
    capsys.readouterr()
    arguments = ["--head", "lda", "--protocol", "loso", "--out"]
    assert main(["--store", str(tmp_path / "renamed.h5"), *arguments, str(tmp_path / "denied")]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert "24 of the 24 test clips of loso are of 4 speakers that the encoder of " in err
    assert "24 of them are its very clips, such as copies/renamed-s0-0 and tones/s0-0; test on speakers" in err
    assert not (tmp_path / "denied").exists()
    assert main(["--store", str(tmp_path / "new.h5"), *arguments, str(tmp_path / "run")]) == 0
    leakage = json.loads((tmp_path / "run" / "metrics.json").read_text())["leakage"]
    assert leakage["encoder"] == {"clips": 0, "unknown": 0, "example": None, "validation": 0}


def write_tones(folder, speakers, prefix="", seed=0):
    """Write a corpus of six tones of each speaker, of two emotions."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(seed)
    lines = ["path,emotion,speaker"]
    for speaker in speakers:
        for take in range(6):
            name = f"{prefix}{speaker}-{take}.wav"
            tone = np.sin(np.arange(3_200) * random.uniform(0.05, 0.3)) + 0.1 * random.standard_normal(3_200)
            soundfile.write(folder / name, 0.3 * tone, 16_000)
            lines.append(f"{name},{('sad', 'happy')[take % 2]},{speaker}")
    (folder / "manifest.csv").write_text("\n".join(lines) + "\n")


def save_tiny_classifier(folder):
    """Save a HuBERT of random weights with a classifier."""
    config = transformers.HubertConfig(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=16,
        conv_dim=[8] * 7,
        num_conv_pos_embeddings=8,
        num_conv_pos_embedding_groups=2,
        num_labels=2,
        classifier_proj_size=4,
    )
    transformers.logging.disable_progress_bar()
    transformers.HubertForSequenceClassification(config).save_pretrained(folder)
    transformers.logging.enable_progress_bar()
    return folder
