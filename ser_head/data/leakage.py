"""What training could know of the clips it is judged by: the audit that stands in front of every training.

A test clip leaks if something of it is also among the clips of its fold that training or the choice of the epoch sees:

- `speaker`: another clip of the same person;
- `bytes`: the same file (the manifest's `digest`);
- `audio`: the same decoded samples (`audio_digest`);
- `augmented`: a copy made from it, what it was made from, or another copy of that. A manifest says so in the column
  `augmented_from`, the utterance_id of the source, "" for a recording;
- `sentence`: the same words (`sentence`).

A clip without a value, or a manifest without the column, cannot be audited for it; the audit counts these clips.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ser_embed.errors import InputError
from ser_head.data.splits import Split

SOURCE = "augmented_from"
SPEAKER = "speaker"


@dataclass(frozen=True)
class Finding:
    """What the test clips of all folds share with the clips their heads learnt from.

    Attributes:
        clips: test clips that share it, each counted in the fold that tests it.
        tested: test clips of all folds.
        unknown: clips of the data set of which it is not known.
        example: a test clip and a training or validation clip of its fold that share it; None if none does.
    """

    clips: int
    tested: int
    unknown: int
    example: tuple[str, str] | None


@dataclass(frozen=True)
class Audit:
    """What was found.

    Attributes:
        findings: by what is shared: speaker, bytes, audio, augmented, sentence.
        duplicates: groups of clips of the data set with the same audio, wherever they fall.
    """

    findings: dict[str, Finding]
    duplicates: tuple[tuple[str, ...], ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the audit as metrics.json keeps it."""
        found: dict[str, Any] = {
            name: {
                "clips": finding.clips,
                "unknown": finding.unknown,
                "example": list(finding.example) if finding.example else None,
            }
            for name, finding in self.findings.items()
        }
        example = list(self.duplicates[0]) if self.duplicates else None
        return {**found, "duplicates": {"clips": sum(map(len, self.duplicates)), "example": example}}


def audit(clips: pd.DataFrame, splits: Sequence[Split]) -> Audit:
    """Look for what test clips share with the training and validation clips of their fold.

    Args:
        clips: manifest rows of the data set, (clips,); the positions in `splits` are rows of it.
        splits: the folds.
    """
    names = clips["utterance_id"].to_numpy(object)
    audio = _column(clips, "audio_digest")
    shared = {
        SPEAKER: _column(clips, "speaker"),
        "bytes": _column(clips, "digest"),
        "audio": audio,
        "augmented": _recordings(clips),
        "sentence": _column(clips, "sentence"),
    }
    return Audit(
        {name: _compare(values, names, splits) for name, values in shared.items()},
        _duplicates(names, np.where(audio == "", shared["bytes"], audio)),
    )


def require_disjoint(found: Audit, protocol: str) -> None:
    """Make sure that a protocol that parts speakers has parted them.

    Args:
        found: the audit.
        protocol: as on the command line; all but "random" part speakers.

    Raises:
        InputError: test clips share their speaker with clips trained on.
    """
    speakers = found.findings[SPEAKER]
    if protocol != "random" and speakers.example:
        raise InputError(
            f"{protocol} has to keep the speakers of training and test apart, but {speakers.clips} of "
            f"{speakers.tested} test clips are of speakers trained on, for example {' and '.join(speakers.example)}"
        )


def _column(clips: pd.DataFrame, name: str) -> np.ndarray:
    """Return a text column, "" for every clip where the manifest has none."""
    return clips[name].to_numpy(object) if name in clips else np.full(len(clips), "", object)


def _recordings(clips: pd.DataFrame) -> np.ndarray:
    """Return the recording behind each clip, through copies of copies; itself where it is one."""
    source = dict(zip(clips["utterance_id"], _column(clips, SOURCE), strict=True))

    def recording(name: str) -> str:
        seen = set()
        while source.get(name) and name not in seen:
            seen.add(name)
            name = source[name]
        return min(seen) if name in seen else name  # a circle of copies has no first

    return np.array([recording(name) for name in clips["utterance_id"]], dtype=object)


def _compare(values: np.ndarray, names: np.ndarray, splits: Sequence[Split]) -> Finding:
    codes = pd.factorize(values)[0]
    codes[values == ""] = -1
    count, example = 0, None
    for split in splits:
        held = np.concatenate([split.train, split.validation])
        known = split.test[codes[split.test] >= 0]
        leaks = known[np.isin(codes[known], codes[held])]
        count += len(leaks)
        if len(leaks) and example is None:
            other = held[np.flatnonzero(codes[held] == codes[leaks[0]])[0]]
            example = (str(names[leaks[0]]), str(names[other]))
    return Finding(count, sum(len(split.test) for split in splits), int(np.sum(codes < 0)), example)


def _duplicates(names: np.ndarray, audio: np.ndarray) -> tuple[tuple[str, ...], ...]:
    groups = pd.Series(names)[audio != ""].groupby(audio[audio != ""], sort=False)
    return tuple(tuple(map(str, group)) for _, group in groups if len(group) > 1)
