"""Does a store larger than memory train? A million clips: how long to open it, how fast are random batches?

    python -m benchmarks.large_store [--clips 1000000]

The peer is the same number of rows read from the same file in order, which is as fast as the disk gives them. Rates are
the median over stretches of twenty batches, with the slowest and the fastest.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from benchmarks.measure import Row, table
from ser_embed.manifest import build_manifest
from ser_embed.spec import EmbeddingSpec
from ser_embed.store.reader import Store
from ser_embed.store.writer import StoreWriter

WIDTH, BLOCK, BATCH = 1024, 10_000, 150


def write_store(path: Path, num_clips: int) -> None:
    """Write a store of random vectors, block by block."""
    spec = EmbeddingSpec("stub", "", "stub", ("0",), "mean", WIDTH, 16_000, "none", None, None, "float32")
    vectors = np.random.default_rng(0).standard_normal((BLOCK, 1, WIDTH)).astype(np.float32)
    with StoreWriter(path, spec, {}) as writer:
        for start in range(0, num_clips, BLOCK):
            names = range(start, min(start + BLOCK, num_clips))
            rows = [
                {
                    "utterance_id": f"m/{i:07}",
                    "path": f"{i}.wav",
                    "corpus": "m",
                    "speaker": f"m/{i % 90}",
                    "emotion": "sad",
                }
                for i in names
            ]
            writer.add(build_manifest(rows), list(vectors[: len(rows)]))
        writer.commit()


def run(num_clips: int = 1_000_000, batches: int = 200) -> list[Row]:
    """Measure and return the rows."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "s.h5"
        write_store(path, num_clips)
        started = time.perf_counter()
        store = Store(path)
        opened = time.perf_counter() - started
        random = np.random.default_rng(1)
        with store:
            scattered = _rates(store, (random.integers(0, num_clips, BATCH) for _ in range(batches)))
            in_order = _rates(store, (np.arange(i * BATCH, (i + 1) * BATCH) % num_clips for i in range(batches)))
            size = path.stat().st_size / 2**30
    return [
        Row(f"opening a store of {num_clips} x {WIDTH} ({size:.1f} GiB)", f"{1000 * opened:.0f} ms", "wanted: 1000 ms"),
        Row(
            f"random batches of {BATCH} from it",
            f"{_spread(scattered)} batches/s",
            f"in order: {_spread(in_order)} batches/s",
            f"{statistics.median(scattered) / statistics.median(in_order):.2f}x",
        ),
    ]


def _rates(store: Store, batches: Iterable[np.ndarray]) -> list[float]:
    """Read batches; return how many a second, from the first twenty to the last."""
    seconds = []
    for rows in batches:
        started = time.perf_counter()
        store.read(rows)
        seconds.append(time.perf_counter() - started)
    return [1 / statistics.mean(seconds[start : start + 20]) for start in range(0, len(seconds), 20)]


def _spread(rates: list[float]) -> str:
    return f"{statistics.median(rates):.0f} ({min(rates):.0f} to {max(rates):.0f})"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=1_000_000)
    args = parser.parse_args()
    print(table(run(args.clips)))
