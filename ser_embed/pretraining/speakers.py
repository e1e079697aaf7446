"""What is known of speakers after a pre-training with speaker embeddings. No framework is loaded here.

`speakers.safetensors` holds `table` (rows, 64), `linear` (width, 64), and `vectors` (rows, width), their product: e_s,
which is added to every frame, and so to the mean over time, of the network's output. Row 0 is nobody known, and zero;
the names of the others stand in the file's metadata, as a JSON list under `speakers`.
"""

import json
from pathlib import Path

import numpy as np
from safetensors import safe_open

SPEAKERS_FILE = "speakers.safetensors"


def speaker_names(folder: Path) -> list[str]:
    """Return the speakers a model's folder has embeddings of; none if it has no such file."""
    if not (folder / SPEAKERS_FILE).is_file():
        return []
    with safe_open(folder / SPEAKERS_FILE, "numpy") as file:
        return json.loads(file.metadata()["speakers"])


def speaker_vectors(folder: Path) -> dict[str, np.ndarray]:
    """Return e_s of every speaker a model's folder has embeddings of, each float32 (width,)."""
    names = speaker_names(folder)
    if not names:
        return {}
    with safe_open(folder / SPEAKERS_FILE, "numpy") as file:
        return dict(zip(names, file.get_tensor("vectors")[1:], strict=True))
