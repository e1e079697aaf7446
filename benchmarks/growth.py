"""Does memory depend on the corpus, and how does the store grow?

    python -m benchmarks.growth [--clips 1000 10000 100000]

A stub encoder of 1024 numbers a clip, so that reading, chunking, part files and the merge are all that happens; each
size in a process of its own, with its peak memory as the operating system counts it.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

from benchmarks.measure import Row, noise, peak_memory_mib, table

WIDTH = 1024


def write_corpus(folder: Path, num_clips: int) -> Path:
    """Write a corpus of `num_clips` names for one short clip, with a manifest."""
    corpus = folder / "data" / "many"
    corpus.mkdir(parents=True)
    soundfile.write(folder / "clip.wav", noise(np.array([4_000]))[0], 16_000)
    lines = ["path,emotion,speaker"]
    for index in range(num_clips):
        (corpus / f"{index:06}.wav").symlink_to(folder / "clip.wav")
        lines.append(f"{index:06}.wav,{('angry', 'sad')[index % 2]},s{index % 90}")
    (corpus / "manifest.csv").write_text("\n".join(lines))
    return folder / "data"


def extract_with_stub(data: Path, store: Path) -> None:
    """Extract with an encoder that costs nothing."""
    from ser_embed.encoders.features import FeatureEncoder
    from ser_embed.extraction import pipeline
    from ser_embed.extraction.config import ExtractConfig
    from ser_embed.spec import EmbeddingSpec

    spec = EmbeddingSpec("stub", "", "stub", ("0",), "mean", WIDTH, 16_000, "none", None, None, "float32")
    encoder = FeatureEncoder(spec, lambda waveform: np.full((1, WIDTH), waveform[0], np.float32))
    pipeline.load_encoder = lambda model, options: encoder  # type: ignore[assignment]
    started = time.perf_counter()
    report = pipeline.run_extraction(ExtractConfig(model="mfcc", data=data, store=store))
    print(report.clips, time.perf_counter() - started)


def run(sizes: tuple[int, ...] = (1_000, 10_000, 100_000)) -> list[Row]:
    """Measure and return the rows, each size against the first."""
    rows, first = [], 0.0
    for size in sizes:
        with tempfile.TemporaryDirectory() as name:
            data, store = write_corpus(Path(name), size), Path(name) / "s.h5"
            peak, output = peak_memory_mib(["benchmarks.growth", "--extract", str(data), str(store)])
            clips, seconds = output.split()
            payload = int(clips) * WIDTH * 4
            first = first or peak
            rows.append(
                Row(
                    f"peak memory, {size} clips through a stub encoder",
                    f"{peak:.0f} MiB, {int(clips) / float(seconds):.0f} clips/s",
                    f"{sizes[0]} clips: {first:.0f} MiB",
                    f"{(peak - first) * 2**20 / max(1, size - sizes[0]):.0f} bytes a clip",
                )
            )
            overhead = store.stat().st_size / payload
            rows.append(
                Row(
                    f"store, {size} clips",
                    f"{store.stat().st_size / 2**20:.1f} MiB",
                    "vectors alone",
                    f"{overhead:.3f}x",
                )
            )
    return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--extract", type=Path, nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.extract:
        extract_with_stub(*args.extract)
    else:
        print(table(run(tuple(args.clips))))
