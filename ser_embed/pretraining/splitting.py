"""Who validates: speakers nobody learns from, or clips of every speaker."""

import numpy as np

from ser_embed.errors import InputError


def split(speakers: np.ndarray, by: str, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Part clips into those to learn from and those held out.

    Args:
        speakers: who speaks in each clip, str (clips,); clips of nobody known, "", are never held out as a speaker.
        by: "speakers" or "clips".
        share: of the speakers, or clips, to hold out; at least one, unless the share is 0.
        seed: draws them.

    Returns:
        Two sorted int64 arrays of clips.

    Raises:
        InputError: there are fewer than two speakers, or clips, to part.
    """
    keys = speakers if by == "speakers" else np.arange(len(speakers))
    units = np.unique(keys[keys != ""]) if by == "speakers" else keys
    if share and len(units) < 2:
        raise InputError(f"holding out {by} for validation needs two at least, found {len(units)}; see --validation 0")
    count = min(len(units) - 1, max(1, round(share * len(units)))) if share else 0
    held = np.isin(keys, np.random.default_rng(seed).permutation(units)[:count])
    return np.flatnonzero(~held), np.flatnonzero(held)
