"""Leakage audit: what the test clips of a fold share with its training and validation clips, checked before training.

A test clip leaks if one of these is among the clips that its fold trains on or chooses the epoch by:

- `speaker`: another clip of the same person;
- `bytes`: the same file (the manifest's `digest`);
- `audio`: the same decoded samples (`audio_digest`);
- `augmented`: an augmented copy of the clip, the clip it is a copy of, or another copy of that one; see
  `ser_head.data.copies`. Copies go where their recording goes, so that this says whether they did;
- `sentence`: a clip of the same words (`sentence`).

It also leaks if the encoder was fine-tuned on it or on its speaker (`encoder`), see `ser_head.data.encoder_leakage`.

Clips without a value, or all clips where the manifest has no such column, cannot be audited for it and are counted as
unknown.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ser_embed.errors import InputError
from ser_head.data.copies import recording_names
from ser_head.data.encoder_leakage import ENCODER, EncoderFinding, audit_encoder
from ser_head.data.splits import Protocol, Split

SPEAKER = "speaker"


@dataclass(frozen=True)
class Finding:
    """Leakage of one kind: test clips of all folds that share something with the training or validation clips.

    Attributes:
        clips: number of test clips that share it, each counted in the fold that tests it.
        tested: number of test clips of all folds.
        unknown: number of recordings of the dataset without a value.
        example: a test clip and a training or validation clip of its fold that share it; None if there are none.
    """

    clips: int
    tested: int
    unknown: int
    example: tuple[str, str] | None


@dataclass(frozen=True)
class Audit:
    """Result of the audit.

    Attributes:
        findings: by what is shared: speaker, bytes, audio, augmented, sentence.
        duplicates: groups of recordings of the dataset with the same audio, in whichever parts of the splits.
        encoder: what the encoder was fine-tuned on; None if it has learned from no label.
    """

    findings: dict[str, Finding]
    duplicates: tuple[tuple[str, ...], ...]
    encoder: EncoderFinding | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the audit in the form that metrics.json stores."""
        findings: dict[str, Any] = {
            name: {
                "clips": finding.clips,
                "unknown": finding.unknown,
                "example": list(finding.example) if finding.example else None,
            }
            for name, finding in self.findings.items()
        }
        if self.encoder is not None:
            findings[ENCODER] = self.encoder.to_dict()
        example = list(self.duplicates[0]) if self.duplicates else None
        return {**findings, "duplicates": {"clips": sum(map(len, self.duplicates)), "example": example}}


def audit(clips: pd.DataFrame, splits: Sequence[Split], training_clips: pd.DataFrame | None = None) -> Audit:
    """Compare the test clips of each fold with its training and validation clips, and with those of the encoder.

    Args:
        clips: manifest rows of the dataset, (clips,).
        splits: the folds, as positions in `clips`.
        training_clips: those that the encoder was fine-tuned on; None or none where it has learned from no label.
    """
    names = clips["utterance_id"].to_numpy(object)
    audio, recordings = _column(clips, "audio_digest"), recording_names(clips)
    values_by_kind = {
        SPEAKER: _column(clips, "speaker"),
        "bytes": _column(clips, "digest"),
        "audio": audio,
        "augmented": recordings,
        "sentence": _column(clips, "sentence"),
    }
    is_recording = names == recordings
    same_audio = np.where(audio == "", values_by_kind["bytes"], audio)
    return Audit(
        {kind: _compare(values, names, splits, is_recording) for kind, values in values_by_kind.items()},
        # Two copies may come out the same, as of a clip that is at full scale already; they are never apart.
        _duplicates(names[is_recording], same_audio[is_recording]),
        None if training_clips is None else audit_encoder(clips, recordings, splits, training_clips),
    )


def require_disjoint(result: Audit, protocol: str) -> None:
    """Require that a protocol that keeps speakers apart has done so.

    Args:
        result: the audit of the splits.
        protocol: as on the command line.

    Raises:
        InputError: test clips share their speaker with clips trained on.
    """
    speakers = result.findings[SPEAKER]
    if Protocol.parse(protocol).spec.keeps_speakers_apart and speakers.example:
        raise InputError(
            f"{protocol} has to keep the speakers of training and test apart, but {speakers.clips} of "
            f"{speakers.tested} test clips are of speakers trained on, for example {' and '.join(speakers.example)}"
        )


def _column(clips: pd.DataFrame, name: str) -> np.ndarray:
    """Return a text column, object (clips,); "" for every clip where the manifest lacks it."""
    return clips[name].to_numpy(object) if name in clips else np.full(len(clips), "", object)


def _compare(values: np.ndarray, names: np.ndarray, splits: Sequence[Split], is_recording: np.ndarray) -> Finding:
    """Find test clips whose value occurs among the training and validation clips of their fold.

    Args:
        values: what may be shared, object (clips,), "" where unknown.
        names: utterance_id of each clip, (clips,).
        splits: the folds.
        is_recording: which clips are no augmented copies, bool (clips,): of these, those without a value are counted.
    """
    codes = pd.factorize(values)[0]
    codes[values == ""] = -1
    count, example = 0, None
    for split in splits:
        seen = np.concatenate([split.train, split.validation])
        tested = split.test[codes[split.test] >= 0]
        leaks = tested[np.isin(codes[tested], codes[seen])]
        count += len(leaks)
        if len(leaks) and example is None:
            source = seen[np.flatnonzero(codes[seen] == codes[leaks[0]])[0]]
            example = (str(names[leaks[0]]), str(names[source]))
    return Finding(count, sum(len(split.test) for split in splits), int(np.sum(is_recording & (codes < 0))), example)


def _duplicates(names: np.ndarray, audio: np.ndarray) -> tuple[tuple[str, ...], ...]:
    """Return groups of clips with the same audio, in the order of the dataset, without clips of unknown audio ("")."""
    groups = pd.Series(names)[audio != ""].groupby(audio[audio != ""], sort=False)
    return tuple(tuple(map(str, group)) for _, group in groups if len(group) > 1)
