"""Stub encoder in place of a model, and simulated kills after some part files."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import ser_embed
from ser_embed.encoders.base import EncoderOptions
from ser_embed.encoders.features import FeatureEncoder
from ser_embed.extraction import pipeline
from ser_embed.extraction.report import ExtractReport
from ser_embed.spec import EmbeddingSpec
from ser_embed.store.parts import PartFolder
from ser_embed.store.reader import Store

NUM_CLIPS = 23  # in the corpus that the fixture `data` writes


def stub_encoder(options: EncoderOptions | None = None) -> FeatureEncoder:
    """Return an encoder that takes almost no time: its two features are a clip's mean level and length."""
    pooling = (options or EncoderOptions()).pooling or "mean"
    spec = EmbeddingSpec("stub", "", "stub", ("features",), pooling, 2, 16_000, "none", None, None, "float32")
    return FeatureEncoder(spec, lambda waveform: np.array([[np.abs(waveform).mean(), len(waveform)]], np.float32))


@pytest.fixture
def extract(monkeypatch: pytest.MonkeyPatch) -> Callable[..., ExtractReport]:
    """`ser_embed.extract` into `s.h5` beside the data folder, with the stub in place of every encoder."""
    monkeypatch.setattr(pipeline, "load_encoder", lambda model, options: stub_encoder(options))

    def extract_with_stub(data: Path, **config: object) -> ExtractReport:
        return ser_embed.extract("mfcc", data=data, store=data.parent / "s.h5", **config)

    return extract_with_stub


def vector_bytes(path: Path) -> dict[str, bytes]:
    """Return the vectors of each clip in a store as bytes, by utterance_id."""
    with Store(path) as store:
        return {name: store.read_clip(row).tobytes() for row, name in enumerate(store.utterances["utterance_id"])}


class Killed(BaseException):
    """A kill signal that Python itself can observe."""


@contextlib.contextmanager
def killed_after(num_parts: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Raise `Killed` in an extraction that has written so many part files and begins the next."""
    write, written = PartFolder.write, []

    def write_or_die(*args: object) -> None:
        if len(written) == num_parts:
            raise Killed
        written.append(write(*args))  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(PartFolder, "write", write_or_die)
        yield
