"""Extraction report: counts of one run, and messages about clips that are kept without a readable file."""

import dataclasses
import logging
from pathlib import Path
from typing import Any

import pandas as pd

from ser_embed.spec import EmbeddingSpec

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class ExtractReport:
    """Result of an extraction.

    Attributes:
        store: path of the store.
        spec: what its vectors are.
        clips: number of clips that the store now holds.
        copies: number of augmented copies among them.
        extracted: number of clips encoded, in this run or in the unfinished run that it continued.
        unchanged: number of clips of the manifest that were already in the store and can be read.
        dropped: number of stored clips that were removed, because the corpora no longer have them, or because they are
            augmented copies that this run did not ask for.
        unreadable: one {"utterance_id", "path", "reason"} for each clip of this run that could not be read.
        audio_s: audio encoded in this run, in seconds.
        elapsed_s: time that the encoding took, in seconds.
    """

    store: Path
    spec: EmbeddingSpec
    clips: int
    copies: int
    extracted: int
    unchanged: int
    dropped: int
    unreadable: tuple[dict[str, str], ...]
    audio_s: float
    elapsed_s: float

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain JSON values."""
        return {**dataclasses.asdict(self), "store": str(self.store)}

    def summary(self) -> str:
        """Return the report as two lines of text."""
        layers = f"{len(self.spec.layers)} layer{'s' if len(self.spec.layers) > 1 else ''} x {self.spec.width}"
        speed = f" ({self.audio_s / self.elapsed_s:.1f} audio-seconds per second)" if self.audio_s else ""
        copies = f" ({self.copies} augmented copies)" if self.copies else ""
        dropped = f", {self.dropped} dropped" if self.dropped else ""
        return (
            f"{self.store}: {self.clips} clips{copies}, {layers}, {self.spec.pooling} of {self.spec.name}\n"
            f"{self.extracted} extracted{speed}, {self.unchanged} unchanged, {len(self.unreadable)} unreadable{dropped}"
        )


def note_stored_but_unreadable(clips: pd.DataFrame) -> None:
    """Log how many clips cannot be read now but keep their stored vectors, if there are any."""
    if len(clips):
        example = clips["utterance_id"].iloc[0]
        logger.warning("%d clips that cannot be read now keep their stored vectors, such as %s", len(clips), example)


def note_stored_but_removed(clips: pd.DataFrame, data: Path) -> None:
    """Log how many clips are no longer in the corpora but are kept in the store, if there are any."""
    if len(clips):
        example = clips["utterance_id"].iloc[0]
        logger.warning(
            "%d stored clips are no longer in %s, such as %s; they are kept in the store; --prune drops them",
            len(clips),
            data,
            example,
        )


def describe_nothing_readable(manifest: pd.DataFrame, unreadable: pd.DataFrame, data: Path) -> str:
    """Return the error message for a run that could read no clip.

    Args:
        manifest: the clips of the run.
        unreadable: those that could not be read: utterance_id, path, reason.
        data: the folder that holds the corpora.
    """
    example = unreadable[unreadable["utterance_id"].isin(manifest["utterance_id"])].iloc[0]
    return (
        f"expected clips that can be read in {data}, but none of the {len(manifest)} can be read, "
        f"such as {example['path']}: {example['reason']}"
    )
