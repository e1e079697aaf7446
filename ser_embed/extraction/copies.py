"""Augmented copies of the recordings of an extraction, `extract --augment LIST --augment-copies K`.

A copy is a clip of its own: the recording's row of the manifest under the utterance_id `<recording>~<number>`, with the
recording in the column `augmented_from`, and in `augmentation` what decides its samples beside the recording's file:
the augmentations and their version, the seed, the number of the copy, the voices of its babble. A clip whose
`augmentation` is another than the stored one is extracted again.

Babble is mixed of other recordings of the same speaker, because every other speaker is tested by some fold that trains
on the copy; see `ser_embed.audio.augmentation.augment`.
"""

import dataclasses
import functools
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ser_embed.audio.augmentation import CopySeed, augment, describe_arithmetic, needs_voices
from ser_embed.audio.decode import AudioPreprocessing, load_clip, read_bytes
from ser_embed.errors import ClipError, InputError
from ser_embed.files import digest_of
from ser_embed.manifest import AUGMENTATION, AUGMENTED_FROM, tidy

_MOST_VOICES = 3  # of the babble in one copy


@dataclasses.dataclass(frozen=True)
class CopyRecipe:
    """What a copy is made by.

    Attributes:
        names: the augmentations asked for.
        copy_seed: the source of its random choices.
        voices: paths of the recordings that its babble is mixed of, relative to the data folder.
    """

    names: tuple[str, ...]
    copy_seed: CopySeed
    voices: tuple[str, ...] = ()

    def make(self, waveform: np.ndarray, data: Path) -> np.ndarray:
        """Return the copy of a recording, float32 (samples,); a voice that cannot be read is left out.

        Args:
            waveform: the recording, float32 (samples,) at 16 kHz.
            data: the folder that paths are relative to.
        """
        voices = [voice for voice in (_read_voice(data / path) for path in self.voices) if voice is not None]
        return augment(waveform, self.names, self.copy_seed, voices)


def plan_copies(
    recordings: pd.DataFrame, data: Path, names: tuple[str, ...], num_copies: int, seed: int
) -> tuple[pd.DataFrame, Mapping[str, CopyRecipe]]:
    """Plan the copies of recordings.

    Args:
        recordings: manifest of the run; rows that are copies already, by their `augmented_from`, get none.
        data: the folder that its paths are relative to.
        names: augmentations; none for no copies.
        num_copies: copies of each recording.
        seed: of the random choices.

    Returns:
        The manifest with the copies after the recordings, and the recipe of each copy by its utterance_id. Without
        augmentations, the manifest as it is.

    Raises:
        InputError: a recording has the name of a copy.
    """
    if not names:
        return recordings, {}
    recordings = recordings.assign(
        augmented_from=recordings.get(AUGMENTED_FROM, ""), augmentation=recordings.get(AUGMENTATION, "")
    )
    originals = recordings[recordings[AUGMENTED_FROM] == ""]
    recipes: dict[str, CopyRecipe] = {}
    identities, rows = [], []
    planner = _VoicePlanner(originals, data)
    for row, name in enumerate(originals["utterance_id"]):
        for number in range(1, num_copies + 1):
            copy_seed = CopySeed(seed, name, number)
            voices = planner.voices_of(row, copy_seed) if needs_voices(names, copy_seed) else ()
            recipes[f"{name}~{number}"] = CopyRecipe(names, copy_seed, voices)
            rows.append(row)
            identities.append(f"{describe_arithmetic(names)} seed {seed} copy {number}{planner.describe(voices)}")
    copies = originals.iloc[rows]
    copies = copies.assign(utterance_id=list(recipes), augmented_from=copies["utterance_id"], augmentation=identities)
    if taken := sorted(set(recordings["utterance_id"]) & set(recipes)):
        raise InputError(f"a recording has the name that a copy would have, {taken[0]!r}; rename its file")
    return tidy(pd.concat([recordings, copies], ignore_index=True)), recipes


class _VoicePlanner:
    """Chooser of the voices of babble among the recordings of each speaker."""

    def __init__(self, originals: pd.DataFrame, data: Path) -> None:
        self._names = originals["utterance_id"].tolist()
        self._paths = originals["path"].tolist()
        self._speakers = originals["speaker"].tolist()
        self._rows: dict[str, list[int]] = {}
        for row, speaker in enumerate(self._speakers):
            self._rows.setdefault(speaker, []).append(row)
        self._digest = functools.cache(lambda path: _digest(data / path))

    def voices_of(self, row: int, copy_seed: CopySeed) -> tuple[str, ...]:
        """Return the paths of the voices of a copy; none where the speaker is unknown or has no other recording.

        Every candidate has a random rank of its own, so that a further recording of the speaker seldom changes the
        choice (Thaler and Ravishankar, 1998).

        Args:
            row: of the recording.
            copy_seed: of the copy.
        """
        speaker = self._speakers[row]
        others = [other for other in self._rows[speaker] if other != row] if speaker else []
        key = json.dumps(dataclasses.astuple(copy_seed))
        ranked = sorted(others, key=lambda other: hashlib.blake2b(f"{key}{self._names[other]}".encode()).digest())
        return tuple(self._paths[other] for other in ranked[:_MOST_VOICES])

    def describe(self, voices: Sequence[str]) -> str:
        """Return what identifies the voices: their names and bytes, hashed; "" for none."""
        if not voices:
            return ""
        return f" voices {digest_of(json.dumps([[path, self._digest(path)] for path in voices]).encode())}"


def _read_voice(path: Path) -> np.ndarray | None:
    try:
        return load_clip(path, AudioPreprocessing())[0]
    except ClipError:
        return None


def _digest(path: Path) -> str:
    """Return the hash of a file's bytes, "" for one that cannot be read."""
    try:
        return digest_of(read_bytes(path))
    except ClipError:
        return ""
