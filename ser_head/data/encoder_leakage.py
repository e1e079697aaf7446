"""Leakage through the encoder: test clips that a fine-tuned encoder has learned from, with their labels.

The store of such an encoder names its training clips. One of the dataset is among them if it has the same utterance_id
(or is an augmented copy of one that has), the same bytes or the same decoded samples, so a file that was renamed or
moved is recognised, one that was encoded anew is not. A speaker is recognised by the name, which has that of the corpus
in it. All layers count, whichever of them were trained.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ser_embed.errors import InputError
from ser_head.data.splits import Protocol, Split

ENCODER = "encoder"  # its entry of "leakage" in metrics.json
_IDENTITIES = ("utterance_id", "digest", "audio_digest")


@dataclass(frozen=True)
class EncoderFinding:
    """Clips and speakers that the encoder was fine-tuned on, over all folds.

    Attributes:
        copies: number of test clips that it has learned from, each counted in the fold that tests it.
        clips: number of test clips of its speakers, those included.
        tested: number of test clips of all folds.
        validation: number of validation clips that it has learned from, or whose speakers it has.
        speakers: the speakers of `clips`, sorted.
        unknown: number of clips of the dataset whose speaker cannot be compared, as one of the two has no name.
        example: a test clip and a training clip of the encoder that is the same or of the same speaker, if any.
    """

    copies: int
    clips: int
    tested: int
    validation: int
    speakers: tuple[str, ...]
    unknown: int
    example: tuple[str, str] | None

    @property
    def is_disjoint(self) -> bool:
        """Whether the encoder has certainly learned from no clip of a speaker who is tested."""
        return self.clips == 0 and self.unknown == 0

    def to_dict(self) -> dict[str, Any]:
        """Return the finding in the form that metrics.json stores; a run that is written has no copies."""
        example = list(self.example) if self.example else None
        return {"clips": self.clips, "unknown": self.unknown, "example": example, "validation": self.validation}


def audit_encoder(
    clips: pd.DataFrame, recordings: np.ndarray, splits: Sequence[Split], training_clips: pd.DataFrame
) -> EncoderFinding | None:
    """Compare the clips of each fold with those that the encoder was fine-tuned on.

    Args:
        clips: manifest rows of the dataset, (clips,).
        recordings: utterance_id of the recording behind each clip, object (clips,).
        splits: the folds, as positions in `clips`.
        training_clips: those of the encoder, see `ser_embed.store.reader.Store.training_clips`.

    Returns:
        The finding; None for an encoder that has learned from no label.
    """
    if training_clips.empty:
        return None
    pairs = [(pd.Series(recordings), "utterance_id"), *((clips[name], name) for name in _IDENTITIES)]
    is_copy = np.any([_is_among(values, training_clips[name]) for values, name in pairs], axis=0)
    is_of_speaker = is_copy | _is_among(clips["speaker"], training_clips["speaker"])
    tested, validation = (np.concatenate([getattr(split, part) for split in splits]) for part in ("test", "validation"))
    copies, leaks = (tested[is_shared[tested]] for is_shared in (is_copy, is_of_speaker))
    is_nameless = (clips["speaker"] == "").to_numpy(bool) | bool((training_clips["speaker"] == "").any())
    return EncoderFinding(
        copies=len(copies),
        clips=len(leaks),
        tested=len(tested),
        validation=int(is_of_speaker[validation].sum()),
        speakers=tuple(sorted(set(clips["speaker"].iloc[leaks]) - {""})),
        unknown=int(is_nameless.sum()),
        example=_example(clips, recordings, [*copies, *leaks][:1], training_clips),
    )


def require_untrained(finding: EncoderFinding | None, protocol: str, store: Path) -> None:
    """Require that the encoder has learned from no test clip and, unless the protocol shares them, no test speaker.

    Args:
        finding: about the folds of the protocol.
        protocol: as on the command line.
        store: of the encoder's vectors, for the message.

    Raises:
        InputError: it has.
    """
    if finding is None or not finding.clips:
        return
    if finding.copies or Protocol.parse(protocol).spec.keeps_speakers_apart:
        speakers = f"{len(finding.speakers)} speaker{'' if len(finding.speakers) == 1 else 's'}"
        example = " and ".join(finding.example or ())
        raise InputError(
            f"{finding.clips} of the {finding.tested} test clips of {protocol} are of {speakers} that the encoder of "
            f"{store} was fine-tuned on with their labels, {finding.copies} of them are its very clips, such as "
            f"{example}; test on speakers that it never heard, as its own fold did, or take "
            "vectors of the encoder that it was tuned from"
        )


def _is_among(values: pd.Series, training_values: pd.Series) -> np.ndarray:
    """Return which values the training clips have too, bool (clips,); "" is unknown and never the same."""
    return values.isin(set(training_values) - {""}).to_numpy(bool)


def _example(
    clips: pd.DataFrame, recordings: np.ndarray, positions: Sequence[int], training_clips: pd.DataFrame
) -> tuple[str, str] | None:
    """Return the utterance_id of a clip, and of a training clip that is the same or of the same speaker."""
    for position in positions:
        values = {"recording": recordings[position], **clips.iloc[position]}
        pairs = [("recording", "utterance_id"), *zip(_IDENTITIES, _IDENTITIES, strict=True), ("speaker", "speaker")]
        for own, other in pairs:
            same = training_clips["utterance_id"][(training_clips[other] == values[own]) & (values[own] != "")]
            if len(same):
                return str(values["utterance_id"]), str(same.iloc[0])
    return None
