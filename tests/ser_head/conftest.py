"""Fixtures of stage 2: tiny stores of random vectors that depend on the emotion and on the speaker."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ser_embed.encoders.training_clips import describe, merge_training_clips, no_training_clips
from ser_embed.manifest import build_manifest
from ser_embed.spec import EmbeddingSpec
from ser_embed.store.writer import StoreWriter
from ser_head.reporting import run_report


def pytest_configure(config: pytest.Config) -> None:
    """Ignore a warning that Keras' own use of NumPy causes; every other warning is still an error."""
    config.addinivalue_line("filterwarnings", "ignore:__array__ implementation doesn't accept:DeprecationWarning")


@pytest.fixture(scope="module", autouse=True)
def _pictures(request: pytest.FixtureRequest) -> Iterator[None]:
    """Draw the plots of a report only in modules marked `pictures`: they take longer than a tiny training."""
    with pytest.MonkeyPatch.context() as patch:
        if not request.node.get_closest_marker("pictures"):
            patch.setattr(run_report, "draw_plots", lambda *_: {})
        yield


@dataclass(frozen=True)
class Recipe:
    """Content of a store: every speaker of every corpus says every emotion `takes` times.

    `signal` is the distance between emotions, in standard deviations of the noise, in the layers `informative`
    (None: all); `voice` is the distance between speakers, in all layers.
    """

    corpora: Sequence[str] = ("demo",)
    speakers: int = 6
    emotions: Sequence[str] = ("sad", "angry", "happy")
    takes: int = 4
    layers: tuple[str, ...] = ("0",)
    width: int = 8
    signal: float = 2.0
    voice: float = 0.0
    informative: tuple[str, ...] | None = None
    named: bool = True
    seed: int = 0


def rows_of(recipe: Recipe) -> list[dict[str, str]]:
    """Return the clips of a recipe as rows for `build_manifest`."""
    return [
        {
            "utterance_id": f"{corpus}/{speaker}-{emotion}-{take}",
            "path": f"{corpus}/{speaker}-{emotion}-{take}.wav",
            "corpus": corpus,
            "speaker": f"{corpus}/{speaker}" if recipe.named else "",
            "emotion": emotion,
        }
        for corpus in recipe.corpora
        for speaker in range(1, recipe.speakers + 1)
        for emotion in recipe.emotions
        for take in range(recipe.takes)
    ]


def write_store(
    path: Path,
    recipe: Recipe,
    rows: list[dict[str, str]] | None = None,
    training_clips: pd.DataFrame | None = None,
) -> Path:
    """Write the store of a recipe, with its own rows or those given, and return its path.

    With `training_clips` its encoder was fine-tuned on them.
    """
    training_clips = no_training_clips() if training_clips is None else merge_training_clips(training_clips)
    clips = build_manifest(rows_of(recipe) if rows is None else rows)
    random = np.random.default_rng(recipe.seed)
    shape = (len(recipe.layers), recipe.width)
    centres = {
        name: random.normal(size=shape)
        for name in dict.fromkeys([*sorted(clips["emotion"]), *sorted(clips["speaker"])])
    }
    is_informative = np.array([recipe.informative is None or name in recipe.informative for name in recipe.layers])[
        :, None
    ]
    vectors = [
        (
            10.0
            + is_informative * recipe.signal * centres[clip.emotion]
            + recipe.voice * centres[clip.speaker]
            + random.normal(size=shape)
        ).astype(np.float32)
        for clip in clips.itertuples()
    ]
    spec = EmbeddingSpec(
        model="tiny",
        revision="",
        digest="d1",
        layers=recipe.layers,
        width=recipe.width,
        pooling="mean",
        rate_hz=16_000,
        normalization="none",
        trim_db=None,
        level_db=None,
        arithmetic="float32",
        tuned_on=describe(training_clips),
    )
    with StoreWriter(path, spec, {}) as writer:
        for start in range(0, len(clips), 100):
            writer.add(clips.iloc[start : start + 100], vectors[start : start + 100])
        writer.add_training_clips(training_clips)
        writer.commit()
    return path


@pytest.fixture
def make_store(tmp_path: Path) -> Callable[..., Path]:
    """Write a store by recipe: `make_store(speakers=4, layers=("0", "1"))`."""

    def make(
        name: str = "tiny.h5",
        rows: list[dict[str, str]] | None = None,
        training_clips: pd.DataFrame | None = None,
        **recipe: object,
    ) -> Path:
        return write_store(tmp_path / name, Recipe(**recipe), rows, training_clips)

    return make
