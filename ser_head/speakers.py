"""Speakers as a personalised head knows them: rows of a table, row 0 for a voice it has never heard.

Row 0 is trained like any other: in each batch some clips, drawn anew, lose their speaker. A speaker who was not in
training has row 0.
"""

from collections.abc import Iterable, Sequence

import numpy as np

UNKNOWN = 0
# Share of the clips that lose their speaker in each batch: row 0 then sees as many clips as several speakers together.
DROPPED = 0.15


def speaker_rows(speakers: Iterable[str], known: Sequence[str]) -> np.ndarray:
    """Return the row of each clip's speaker, int32 (clips,).

    Args:
        speakers: speaker of each clip.
        known: the speakers of rows 1, 2, ...

    >>> speaker_rows(["b", "stranger"], known=["a", "b"]).tolist()
    [2, 0]
    """
    row = {name: place for place, name in enumerate(known, start=1)}
    return np.array([row.get(name, UNKNOWN) for name in speakers], dtype=np.int32)


def drop_speakers(rows: np.ndarray, random: np.random.Generator, share: float = DROPPED) -> np.ndarray:
    """Return `rows` with about `share` of them, drawn at random, set to the unknown speaker's."""
    return np.where(random.random(len(rows)) < share, np.int32(UNKNOWN), rows)
