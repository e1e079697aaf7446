"""Training clips of a fine-tuned encoder: its table, its vectors and spec, and what a store keeps of them."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

import ser_embed
from ser_embed.encoders.base import EncoderOptions
from ser_embed.encoders.registry import load_encoder
from ser_embed.encoders.training_clips import (
    TRAINING_CLIPS_FILE,
    describe,
    merge_training_clips,
    read_training_clips,
    write_training_clips,
)
from ser_embed.errors import InputError
from ser_embed.manifest import TRAINING_CLIP_COLUMNS
from ser_embed.store.reader import Store
from tests.ser_embed.conftest import FAMILIES, SHAPES, tone

OPTIONS = EncoderOptions(dtype="float32", device="cpu")
PREFIXES = {"hubert": "Hubert", "wav2vec2": "Wav2Vec2", "wavlm": "WavLM"}
CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=6)
ROWS = st.lists(
    st.tuples(CELLS.filter(bool), *[CELLS] * 5, st.sampled_from(["train", "validation"])), min_size=1, max_size=5
)


def clips_of(*names: str, **values: str) -> pd.DataFrame:
    """Training clips of these names; what is not given differs from clip to clip."""
    rows = [
        {**{name: f"{name} {clip}" for name in TRAINING_CLIP_COLUMNS}, "utterance_id": clip, "part": "train", **values}
        for clip in names
    ]
    return pd.DataFrame(rows, dtype=object)


def save_classifier(base: Path, folder: Path, **options: Any) -> Path:
    """Save the model in `base` with a classifier of random weights on top, as a fine-tuning does."""
    config = transformers.AutoConfig.from_pretrained(base)
    config.update({"num_labels": 3, "classifier_proj_size": 8, **options})
    network = getattr(transformers, f"{PREFIXES[config.model_type]}ForSequenceClassification")(config)
    network.base_model.load_state_dict(transformers.AutoModel.from_pretrained(base).state_dict())
    network.save_pretrained(folder)
    return folder


class TestTable:
    @settings(max_examples=30)
    @given(ROWS)
    def test_it_round_trips_whatever_its_order(
        self, tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, ...]]
    ) -> None:
        folder = tmp_path_factory.getbasetemp()
        clips = pd.DataFrame(rows, columns=list(TRAINING_CLIP_COLUMNS), dtype=object)
        write_training_clips(folder, clips.assign(path="is left out"))
        table = read_training_clips(folder)
        expected: dict[tuple[str, ...], str] = {}
        for row in rows:  # a clip that was trained on has not only chosen the epoch
            expected[row[:-1]] = min(row[-1], expected.get(row[:-1], row[-1]))
        assert [tuple(row) for row in table.to_numpy()] == sorted((*key, part) for key, part in expected.items())
        write_training_clips(folder, clips[::-1])
        assert describe(read_training_clips(folder)) == describe(table)

    def test_a_folder_or_a_name_without_one_has_no_clips(self, tmp_path: Path) -> None:
        for folder in (tmp_path, Path("hubert-base")):
            table = read_training_clips(folder)
            assert tuple(table.columns) == TRAINING_CLIP_COLUMNS
            assert len(table) == 0
            assert describe(table) is None

    def test_every_value_counts_in_the_description(self) -> None:
        clips = clips_of("a", "b", speaker="s")
        assert str(describe(clips)).startswith("2 clips of 1 speakers, digest ")
        others = [clips.assign(**{name: "other"}) for name in TRAINING_CLIP_COLUMNS]
        assert len({describe(table) for table in (clips, *others)}) == 1 + len(others)

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("", "expected utterance_id, corpus"),
            ("utterance_id,part\na,train\n", "expected utterance_id, corpus"),
            ("{header}\n", "at least one clip"),
            ("{header}\na,c,s,sad,d,e,test\n", r"train or validation as part, not \['test'\]"),
            ("{header}\n,c,s,sad,d,e,train\n", "utterance_id for every clip"),
            ("{header}\na,c,s,sad\n", "7 values in every row"),
            ("{header}\na,c,s,sad,d,e,train,more\n", "7 values in every row"),
            ("{header}\na,c,s,sad,d,\0,train\n", "texts as audio_digest"),
            ('{header}\n"a,c,s,sad,d,e,train\n', "unexpected end of data"),
            ("{header}\n\udcff,c,s,sad,d,e,train\n", "decode"),
        ],
    )
    def test_a_damaged_one_is_one_line_that_names_the_file(self, tmp_path: Path, text: str, reason: str) -> None:
        content = text.replace("{header}", ",".join(TRAINING_CLIP_COLUMNS))
        (tmp_path / TRAINING_CLIPS_FILE).write_bytes(content.encode("utf-8", "surrogateescape"))
        with pytest.raises(InputError, match=reason) as error:
            read_training_clips(tmp_path)
        assert str(tmp_path / TRAINING_CLIPS_FILE) in str(error.value)
        assert "\n" not in str(error.value)

    @pytest.mark.parametrize(
        "clips", [clips_of("a").drop(columns="digest"), clips_of("a", part="test"), clips_of("a", speaker="\udcff")]
    )
    def test_what_could_not_be_read_again_is_not_written(self, tmp_path: Path, clips: pd.DataFrame) -> None:
        write_training_clips(tmp_path, clips_of("before"))
        with pytest.raises(InputError, match="no table of training clips"):
            write_training_clips(tmp_path, clips)
        assert read_training_clips(tmp_path)["utterance_id"].tolist() == ["before"]
        assert [path.name for path in tmp_path.iterdir()] == [TRAINING_CLIPS_FILE]

    def test_a_file_that_changed_between_two_trainings_is_a_clip_of_its_own(self) -> None:
        first, second = clips_of("a", "b"), pd.concat([clips_of("b", part="validation"), clips_of("a", digest="new")])
        merged = merge_training_clips(second, first)
        assert merged["utterance_id"].tolist() == ["a", "a", "b"]
        assert set(merged["part"]) == {"train"}


class TestEncoder:
    @pytest.mark.parametrize("shape", SHAPES)
    @pytest.mark.parametrize("family", FAMILIES)
    def test_a_classifier_has_the_vectors_and_digest_of_its_encoder(
        self, models: dict[str, Path], tmp_path: Path, family: str, shape: str, one_thread: None
    ) -> None:
        base = models[f"{family}-{shape}"]
        folder = save_classifier(base, tmp_path / "model", use_weighted_layer_sum=True)
        write_training_clips(folder, clips_of("a"))
        plain, tuned = load_encoder(str(base), OPTIONS), load_encoder(str(folder), OPTIONS)
        assert plain.spec.tuned_on is None
        assert plain.spec.differences(tuned.spec) == {"tuned_on": (None, describe(clips_of("a")))}
        assert tuned.notes == tuple(note.replace(str(base), str(folder)) for note in plain.notes)
        waveforms = [tone(6_000), tone(4_321, 1)]
        for vectors, expected in zip(tuned.encode(waveforms)(), plain.encode(waveforms)(), strict=True):
            np.testing.assert_array_equal(vectors, expected)

    def test_one_in_half_precision_computes_in_float32(self, models: dict[str, Path], tmp_path: Path) -> None:
        folder = save_classifier(models["hubert-large"], tmp_path / "model")
        half = transformers.HubertForSequenceClassification.from_pretrained(folder).half()
        half.save_pretrained(tmp_path / "half")
        half.hubert.float().save_pretrained(tmp_path / "rounded")
        spec = load_encoder(str(tmp_path / "half"), OPTIONS).spec
        assert spec.arithmetic == "float32"
        assert load_encoder(str(tmp_path / "rounded"), OPTIONS).spec.differences(spec) == {}

    def test_missing_weights_of_its_encoder_are_told(self, models: dict[str, Path], tmp_path: Path) -> None:
        folder = save_classifier(models["hubert-base"], tmp_path / "model")
        weights = load_file(folder / "model.safetensors")
        del weights["hubert.encoder.layers.1.attention.k_proj.weight"]
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
        with pytest.raises(InputError, match="incomplete: 1 missing, first encoder.layers.1.attention.k_proj.weight"):
            load_encoder(str(folder), OPTIONS)

    def test_one_that_does_not_say_what_it_learned_from_is_noted(self, models: dict[str, Path], tmp_path: Path) -> None:
        folder = save_classifier(models["wavlm-base"], tmp_path / "model")
        notes = load_encoder(str(folder), OPTIONS).notes
        assert [note for note in notes if "has no training_clips.csv" in note] == [notes[-1]]
        assert not any("training_clips" in note for note in load_encoder(str(models["wavlm-base"]), OPTIONS).notes)

    def test_a_damaged_table_is_told_before_anything_is_extracted(
        self, data: Path, models: dict[str, Path], tmp_path: Path
    ) -> None:
        folder = save_classifier(models["hubert-base"], tmp_path / "model")
        (folder / TRAINING_CLIPS_FILE).write_text("damaged")
        with pytest.raises(InputError, match="training clips .* is damaged"):
            ser_embed.extract(str(folder), data=data, store=tmp_path / "s.h5")
        assert not (tmp_path / "s.h5").exists()


class TestStore:
    @pytest.fixture
    def folder(self, models: dict[str, Path], tmp_path: Path) -> Path:
        """A model tuned on two clips."""
        folder = save_classifier(models["hubert-large"], tmp_path / "model")
        write_training_clips(folder, clips_of("tones/000", "tones/001", speaker="s"))
        return folder

    def test_it_keeps_the_clips_through_every_way_of_writing_it(self, folder: Path, data: Path, tmp_path: Path) -> None:
        store, expected = tmp_path / "s.h5", read_training_clips(folder)
        for options in ({"limit": 12}, {}, {}, {"force": True}):
            ser_embed.extract(str(folder), data=data, store=store, **options)
            with Store(store) as opened:
                pd.testing.assert_frame_equal(opened.training_clips, expected)
                assert opened.spec.tuned_on == describe(expected)
        (data / "tones" / "003.wav").unlink()
        ser_embed.extract(str(folder), data=data, store=store)
        with Store(store) as opened:
            pd.testing.assert_frame_equal(opened.training_clips, expected)
        description = ser_embed.inspect(store, verify=True)
        assert description["spec"]["tuned_on"].startswith("2 clips of 1 speakers, digest ")
        assert not [problem for problem in description["disagreements"] if "003" not in problem]

    def test_it_takes_no_vectors_of_the_same_weights_that_say_otherwise(
        self, folder: Path, data: Path, tmp_path: Path
    ) -> None:
        store = tmp_path / "s.h5"
        ser_embed.extract(str(folder), data=data, store=store, limit=3)
        before = store.read_bytes()
        (folder / TRAINING_CLIPS_FILE).unlink()
        with pytest.raises(InputError, match="holds vectors with tuned_on '2 clips of 1 speakers, .*', not None"):
            ser_embed.extract(str(folder), data=data, store=store)
        assert store.read_bytes() == before

    def test_a_store_of_an_encoder_that_learned_from_no_label_has_none(
        self, models: dict[str, Path], data: Path, tmp_path: Path
    ) -> None:
        store = tmp_path / "s.h5"
        ser_embed.extract(str(models["hubert-large"]), data=data, store=store, limit=3)
        with Store(store) as opened:
            assert len(opened.training_clips) == 0
            assert "tuned_on" not in opened.spec.to_json()
        with h5py.File(store) as file:
            assert "training_clips" not in file

    @pytest.mark.parametrize("damage", ["removed", "changed"])
    def test_clips_that_are_not_those_of_the_spec_are_told(
        self, folder: Path, data: Path, tmp_path: Path, damage: str
    ) -> None:
        sealed, store = tmp_path / "s.h5", tmp_path / "unsealed.h5"
        ser_embed.extract(str(folder), data=data, store=sealed, limit=3)
        with h5py.File(sealed) as source, h5py.File(store, "w") as file:  # as other software would write it
            file.attrs.update(source.attrs)
            for name in source:
                source.copy(name, file)
            if damage == "removed":
                del file["training_clips"]
            else:
                file["training_clips/utterance_id"][0] = "another"
        with Store(store) as opened, pytest.raises(InputError, match="damaged: its encoder was tuned on 2 clips"):
            _ = opened.training_clips
        problems = ser_embed.inspect(store, verify=True)["disagreements"]
        assert [problem for problem in problems if "its encoder was tuned on" in problem]
