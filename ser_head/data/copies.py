"""Augmented copies among clips: which they are, and which recording each was made from.

The manifest names the source of a copy in the column `augmented_from`, an utterance_id, "" for a recording. An
experiment is about recordings: they are split, validated and tested, speakers are enrolled with them, and scaling is
measured on them. Copies only add to the clips that are trained on, where their recording is one of those.
"""

import numpy as np
import pandas as pd

from ser_embed.manifest import AUGMENTED_FROM


def recording_names(clips: pd.DataFrame) -> np.ndarray:
    """Return the recording behind each clip, object (clips,): through copies of copies, or the clip itself.

    Copies in a circle have no recording: all get the name of one of them.
    """
    names = clips["utterance_id"].to_numpy(object)
    if AUGMENTED_FROM not in clips:
        return names
    sources = dict(zip(names, clips[AUGMENTED_FROM], strict=True))

    def recording(name: str) -> str:
        seen = set()
        while sources.get(name) and name not in seen:
            seen.add(name)
            name = sources[name]
        return min(seen) if name in seen else name

    return np.array([recording(name) for name in names], dtype=object)


def recording_rows(clips: pd.DataFrame) -> np.ndarray:
    """Return the row of the recording of each clip, int64 (clips,): its own for a recording, -1 for none among them."""
    names = clips["utterance_id"].to_numpy(object)
    is_copy = clips[AUGMENTED_FROM].to_numpy(object) != "" if AUGMENTED_FROM in clips else np.zeros(len(clips), bool)
    rows = {name: row for row, name in enumerate(names) if not is_copy[row]}
    return np.array([rows.get(name, -1) for name in recording_names(clips)], dtype=np.int64)
