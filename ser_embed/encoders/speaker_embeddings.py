"""Speaker embeddings of a pre-trained model: the vector that pre-training learned for each speaker, from its folder.

`speakers.safetensors` holds `table` (rows, 64), `linear` (width, 64), and their product `vectors` (rows, width). A row
of `vectors` is e_s, the vector of speaker s, which is added to every frame of the network's output, and so to its mean
over time. Row 0 stands for an unknown speaker and is zero. The names of the speakers of the other rows are in the
file's metadata, as a JSON list under `speakers`. This module loads no framework.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors import safe_open

SPEAKERS_FILE = "speakers.safetensors"
OUTPUT_LAYER = "final"  # the name that a store gives to the network's output


def speaker_names(folder: Path) -> list[str]:
    """Return the names of the speakers that a model's folder has embeddings of; an empty list without such a file."""
    if not (folder / SPEAKERS_FILE).is_file():
        return []
    with safe_open(folder / SPEAKERS_FILE, "numpy") as file:
        return json.loads(file.metadata()["speakers"])


def speaker_vectors(folder: Path) -> dict[str, np.ndarray]:
    """Return e_s, float32 (width,), of every speaker that a model's folder has embeddings of."""
    names = speaker_names(folder)
    if not names:
        return {}
    with safe_open(folder / SPEAKERS_FILE, "numpy") as file:
        return dict(zip(names, file.get_tensor("vectors")[1:], strict=True))


def stored_speakers(folder: Path, layers: tuple[str, ...], width: int) -> dict[str, np.ndarray]:
    """Return what to add to a clip's vectors for its speaker, in the shape of a store's vectors.

    Args:
        folder: the model's folder. The result is empty if it has no speaker embeddings, or if this is a Hub id.
        layers: the store's layers. e_s belongs to the network's output, which is the last of them.
        width: the store's width. With mean and standard deviation, e_s changes only the mean: it is the same for all
            frames.

    Returns:
        float32 (layers, width) for each speaker; empty if the output is not among the layers.
    """
    if OUTPUT_LAYER not in layers:
        return {}
    additions: dict[str, np.ndarray] = {}
    for name, vector in speaker_vectors(folder).items():
        additions[name] = np.zeros((len(layers), width), np.float32)
        additions[name][layers.index(OUTPUT_LAYER), : len(vector)] = vector
    return additions


def same_speakers(first: Mapping[str, np.ndarray], second: Mapping[str, np.ndarray]) -> bool:
    """Return whether two tables of speakers have the same names and the same vectors."""
    return first.keys() == second.keys() and all(np.array_equal(first[name], second[name]) for name in first)
