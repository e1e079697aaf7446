"""Growth of memory and store with the size of the corpus, in an extraction with a stub encoder.

    python -m benchmarks.growth [--clips 1000 10000 100000]

The stub returns 1024 constant numbers per clip, so that only reading, chunking, part files and the merge are measured.
Each size runs in a new process; peak memory is the one that the operating system reports.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

from benchmarks.measure import Row, markdown_table, noise, peak_memory_mib

WIDTH = 1024


def write_corpus(folder: Path, num_clips: int) -> Path:
    """Write a corpus of `num_clips` links to one short clip, with a manifest, and return the folder of corpora."""
    corpus_folder = folder / "data" / "many"
    corpus_folder.mkdir(parents=True)
    soundfile.write(folder / "clip.wav", noise(np.array([4_000]))[0], 16_000)
    lines = ["path,emotion,speaker"]
    for index in range(num_clips):
        (corpus_folder / f"{index:06}.wav").symlink_to(folder / "clip.wav")
        lines.append(f"{index:06}.wav,{('angry', 'sad')[index % 2]},s{index % 90}")
    (corpus_folder / "manifest.csv").write_text("\n".join(lines))
    return folder / "data"


def extract_with_stub(data: Path, store: Path) -> None:
    """Extract with the stub encoder; print the number of clips and the seconds."""
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
    """Measure, and return the rows; the peer of each size is the first size.

    Args:
        sizes: numbers of clips.
    """
    rows, first_peak = [], 0.0
    for size in sizes:
        with tempfile.TemporaryDirectory() as name:
            data, store = write_corpus(Path(name), size), Path(name) / "s.h5"
            peak, output = peak_memory_mib(["benchmarks.growth", "--extract", str(data), str(store)])
            clips, seconds = output.split()
            payload = int(clips) * WIDTH * 4
            first_peak = first_peak or peak
            rows.append(
                Row(
                    f"peak memory, {size} clips through a stub encoder",
                    f"{peak:.0f} MiB, {int(clips) / float(seconds):.0f} clips/s",
                    f"{sizes[0]} clips: {first_peak:.0f} MiB",
                    f"{(peak - first_peak) * 2**20 / max(1, size - sizes[0]):.0f} bytes a clip",
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
    parser.add_argument("--clips", type=int, nargs="+", default=[1_000, 10_000, 100_000], help="numbers of clips")
    parser.add_argument("--extract", type=Path, nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.extract:
        extract_with_stub(*args.extract)
    else:
        print(markdown_table(run(tuple(args.clips))))
