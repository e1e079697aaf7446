"""Extension points of stage 1: a corpus, an encoder family, an augmentation from outside, used end to end."""

import re
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
import soundfile

import ser_embed
from ser_embed.audio.augmentation import AUGMENTATIONS, Augmentation
from ser_embed.corpora.base import Corpus
from ser_embed.corpora.registry import CORPORA
from ser_embed.encoders.base import EncoderOptions
from ser_embed.encoders.features import FeatureEncoder
from ser_embed.encoders.registry import FAMILIES, EncoderFamily
from ser_embed.spec import EmbeddingSpec
from tests.ser_embed.conftest import tone

NAME = re.compile(r"(\w+)-(joy|rage)-(\d+)")
LABELS = {"joy": "happy", "rage": "angry"}


def parse(path: PurePosixPath) -> dict[str, str] | None:
    match = NAME.fullmatch(path.stem)
    return match and {"clip": path.stem, "speaker": match[1], "emotion": LABELS[match[2]]}


CORPUS = Corpus(
    name="mine",
    title="A corpus of my own",
    licence="mine",
    citation="none",
    source="here",
    aliases=("my own",),
    num_clips=4,
    num_speakers=2,
    labels=LABELS,
    grammar="SPEAKER-EMOTION-NUMBER",
    faults=(),
    parse=parse,
)


def level_encoder(model: str, options: EncoderOptions) -> FeatureEncoder:
    """An encoder of one number per frame of 10 ms: its mean square."""
    spec = EmbeddingSpec("level", "", "1", ("features",), "mean", 1, 16_000, "none", None, None, "float32")

    def mean_squares(waveform: np.ndarray) -> np.ndarray:
        return np.square(waveform[: len(waveform) // 160 * 160].reshape(-1, 160)).mean(axis=1, keepdims=True)

    return FeatureEncoder(spec, mean_squares)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data" / "My-Own"
    folder.mkdir(parents=True)
    for number, (speaker, label) in enumerate([("ann", "joy"), ("ann", "rage"), ("bob", "joy"), ("bob", "rage")]):
        soundfile.write(folder / f"{speaker}-{label}-{number}.wav", (number + 1) / 5 * tone(8_000, number), 16_000)
    return folder.parent


def test_a_corpus_and_an_encoder_family_are_one_entry_each(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(CORPORA, "mine", CORPUS)
    monkeypatch.setitem(FAMILIES, "level", EncoderFamily(("level",), lambda model: model == "level", level_encoder))
    report = ser_embed.extract("level", data=data, store=tmp_path / "level.h5")
    assert (report.clips, report.unreadable) == (4, ())
    with ser_embed.Store(report.store) as store:
        clips = store.utterances
        assert clips["speaker"].tolist() == ["mine/ann", "mine/ann", "mine/bob", "mine/bob"]
        assert clips["emotion"].tolist() == ["happy", "angry", "happy", "angry"]
        assert (np.diff(store.read(range(4))[:, 0, 0]) > 0).all()  # louder and louder


def test_an_augmentation_is_one_entry(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CORPORA, "mine", CORPUS)
    monkeypatch.setitem(FAMILIES, "level", EncoderFamily(("level",), lambda model: model == "level", level_encoder))
    halving = Augmentation("half", lambda rng: {"factor": 0.5}, lambda sound, factor: factor * sound.waveform)
    monkeypatch.setitem(AUGMENTATIONS, "half", halving)
    report = ser_embed.extract("level", data=data, store=tmp_path / "level.h5", augment="half")
    assert (report.clips, report.copies) == (8, 4)
    with ser_embed.Store(report.store) as store:
        levels = store.read(range(8))[:, 0, 0]
    np.testing.assert_allclose(levels[1::2], levels[::2] / 4, rtol=1e-5)
