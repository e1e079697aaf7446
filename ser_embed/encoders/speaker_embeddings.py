"""What is known of speakers after a pre-training with speaker embeddings. No framework is loaded here.

`speakers.safetensors` holds `table` (rows, 64), `linear` (width, 64), and `vectors` (rows, width), their product: e_s,
which is added to every frame, and so to the mean over time, of the network's output. Row 0 is nobody known, and zero;
the names of the others stand in the file's metadata, as a JSON list under `speakers`.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors import safe_open

SPEAKERS_FILE = "speakers.safetensors"
OUTPUT = "final"  # the layer of a store that is the network's output


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


def stored_speakers(folder: Path, layers: tuple[str, ...], width: int) -> dict[str, np.ndarray]:
    """Return what to add to a clip's vectors for its speaker, as a store has them.

    Args:
        folder: of the model; one without speaker embeddings gives none, and so does a Hub id.
        layers: of the store. e_s belongs to the network's output, the last of them.
        width: of the store. Of mean and standard deviation, e_s, the same for all frames, moves the mean.

    Returns:
        float32 (layers, width) for each speaker; none if the output is not among the layers.
    """
    found: dict[str, np.ndarray] = {}
    for name, vector in speaker_vectors(folder).items() if OUTPUT in layers else ():
        found[name] = np.zeros((len(layers), width), np.float32)
        found[name][layers.index(OUTPUT), : len(vector)] = vector
    return found


def same_speakers(one: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> bool:
    """Return whether two tables of speakers say the same."""
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)
