"""Small stores of fabricated vectors."""

from pathlib import Path

import numpy as np
import pandas as pd

from ser_embed.manifest import build_manifest
from ser_embed.spec import EmbeddingSpec
from ser_embed.store.writer import StoreWriter


def make_spec(layers: int = 2, width: int = 3, pooling: str = "mean") -> EmbeddingSpec:
    """Return a spec with layers named 0, 1, ..."""
    names = tuple(str(index) for index in range(layers))
    return EmbeddingSpec("m", "", "d", names, pooling, width, 16_000, "none", None, None, "float32")


def make_manifest(num_clips: int, **columns: list) -> pd.DataFrame:
    """Return a manifest of one corpus with three speakers and additional columns."""
    rows = [
        {"utterance_id": f"c/{i:04}", "path": f"c/{i}.wav", "corpus": "c", "speaker": f"c/{i % 3}", "emotion": "angry"}
        for i in range(num_clips)
    ]
    for name, values in columns.items():
        rows = [{**row, name: value} for row, value in zip(rows, values, strict=True)]
    return build_manifest(rows)


def write_store(path: Path, clips: pd.DataFrame, vectors: list[np.ndarray], pooling: str = "mean") -> None:
    """Write a store; each clip's vectors are float32 (layers, width), or (frames, layers, width)."""
    with StoreWriter(path, make_spec(*vectors[0].shape[-2:], pooling), {"python": "3"}) as writer:
        writer.add(clips, vectors)
        writer.commit()
