"""Large stores, as for training on more vectors than fit in memory: time to open one, and rate of random batches.

    python -m benchmarks.large_store [--clips 1000000]

The peer reads the same number of rows from the same file in order, which is limited only by the disk. Rates are medians
over intervals of twenty batches, with the slowest and the fastest interval.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from benchmarks.measure import Row, markdown_table, speedup, time_in_turn
from ser_embed.manifest import build_manifest
from ser_embed.spec import EmbeddingSpec
from ser_embed.store.reader import Store
from ser_embed.store.writer import StoreWriter

WIDTH, BLOCK, BATCH = 1024, 10_000, 150
_READ_WHOLE = 100_000  # clips: 400 MB, which training keeps in memory
INTERVAL = 20  # batches over which a rate is averaged


def write_store(path: Path, num_clips: int) -> None:
    """Write a store of random vectors, block by block."""
    spec = EmbeddingSpec("stub", "", "stub", ("0",), "mean", WIDTH, 16_000, "none", None, None, "float32")
    vectors = np.random.default_rng(0).standard_normal((BLOCK, 1, WIDTH)).astype(np.float32)
    with StoreWriter(path, spec, {}) as writer:
        for start in range(0, num_clips, BLOCK):
            clip_indices = range(start, min(start + BLOCK, num_clips))
            rows = [
                {
                    "utterance_id": f"m/{i:07}",
                    "path": f"{i}.wav",
                    "corpus": "m",
                    "speaker": f"m/{i % 90}",
                    "emotion": "sad",
                }
                for i in clip_indices
            ]
            writer.add(build_manifest(rows), list(vectors[: len(rows)]))
        writer.commit()


def run(num_clips: int = 1_000_000, batches: int = 200) -> list[Row]:
    """Measure, and return the rows.

    Args:
        num_clips: size of the store.
        batches: the number of batches to read each way.
    """
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "s.h5"
        write_store(path, num_clips)
        started = time.perf_counter()
        store = Store(path)
        opening_s = time.perf_counter() - started
        rng = np.random.default_rng(1)
        with store:
            random_rates = _batch_rates(store, (rng.integers(0, num_clips, BATCH) for _ in range(batches)))
            ordered_rates = _batch_rates(
                store, (np.arange(i * BATCH, (i + 1) * BATCH) % num_clips for i in range(batches))
            )
            size_gib = path.stat().st_size / 2**30
        whole = min(num_clips, _READ_WHOLE)
        reading_times = {
            place: _reading_times(path, whole, place == "disk") for place in ("disk", "the operating system's memory")
        }
    return [
        Row(
            f"opening a store of {num_clips} x {WIDTH} ({size_gib:.1f} GiB)",
            f"{1000 * opening_s:.0f} ms",
            "target: 1000 ms",
        ),
        Row(
            f"random batches of {BATCH} from it",
            f"{_format_rates(random_rates)} batches/s",
            f"in order: {_format_rates(ordered_rates)} batches/s",
            f"{statistics.median(random_rates) / statistics.median(ordered_rates):.2f}x",
        ),
        *(
            Row(
                f"reading {whole} of its vectors from {place}, checked",
                f"{statistics.median(seconds['checked']):.3f} s",
                f"unchecked: {statistics.median(seconds['unchecked']):.3f} s",
                speedup(seconds["checked"], seconds["unchecked"]),
            )
            for place, seconds in reading_times.items()
        ),
    ]


def _reading_times(path: Path, num_clips: int, from_disk: bool) -> dict[str, list[float]]:
    """Read the first vectors of a store in one piece, as training does, with and without checking them.

    Args:
        path: the store.
        num_clips: number of clips to read.
        from_disk: make the operating system forget the file before each reading.

    Returns:
        Seconds of each reading, round by round.
    """

    def read(is_checked: bool) -> None:
        with Store(path) as store:
            if not is_checked:
                store._reader._is_checked[:] = True
            store.read(np.arange(num_clips))
        if from_disk:
            with path.open("rb") as file:
                os.fsync(file.fileno())
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)

    return time_in_turn({"checked": lambda: read(True), "unchecked": lambda: read(False)}, rounds=25)


def _batch_rates(store: Store, batches: Iterable[np.ndarray]) -> list[float]:
    """Read batches of rows; return the batches per second of each interval."""
    seconds = []
    for rows in batches:
        started = time.perf_counter()
        store.read(rows)
        seconds.append(time.perf_counter() - started)
    return [1 / statistics.mean(seconds[start : start + INTERVAL]) for start in range(0, len(seconds), INTERVAL)]


def _format_rates(rates: list[float]) -> str:
    return f"{statistics.median(rates):.0f} ({min(rates):.0f} to {max(rates):.0f})"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=1_000_000, help="size of the store (default: %(default)s)")
    args = parser.parse_args()
    print(markdown_table(run(args.clips)))
