"""Latency of `ser_head.Predictor`: clips of 2 s one by one after loading, and the encoder's share of the time.

    python -m benchmarks.predictor [--data ../shared/data] [--corpus emodb] [--clips 200] [--run DIR]

Without --run a default head is trained on hubert-mini vectors of the corpus. The clips are the first 2 s of its files,
given as arrays, so that neither disk nor decoding is measured.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measure import Row, describe_machine, markdown_table

CLIP_S = 2


class Stopwatch:
    """A function that adds up the seconds spent in it."""

    def __init__(self, function: Callable[..., Any]) -> None:
        """Wrap a function."""
        self._function = function
        self.seconds = 0.0

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function."""
        start = time.perf_counter()
        try:
            return self._function(*args, **kwargs)
        finally:
            self.seconds += time.perf_counter() - start


def train(data: Path, corpus: str, folder: Path) -> Path:
    """Train a default head on hubert-mini vectors of a corpus; return the run folder."""
    import ser_embed
    import ser_head

    store = ser_embed.extract("hubert-mini", data=data, corpus=corpus, store=folder / "hubert-mini.h5").store
    return ser_head.train(store=store, out=folder / "run").run


def run(data: Path, corpus: str, num_clips: int, run_folder: Path | None = None) -> list[Row]:
    """Measure, and return the rows.

    Args:
        data: folder of the corpora.
        corpus: where the clips are from.
        num_clips: how many are scored, one call each.
        run_folder: the run to score with; None trains one.
    """
    import ser_head
    from ser_embed.audio.decode import AudioPreprocessing, load_clip
    from ser_embed.corpora.scan import scan_data

    with tempfile.TemporaryDirectory() as name:
        predictor = ser_head.Predictor(run_folder or train(data, corpus, Path(name)))
    paths = [data / path for path in scan_data(data, (corpus,)).manifest["path"]]
    clips = [np.resize(load_clip(path, AudioPreprocessing())[0], CLIP_S * 16_000) for path in paths[:num_clips]]
    encode = Stopwatch(predictor.scorer.embedders[0].embed_waveforms)
    predictor.scorer.embedders[0].embed_waveforms = encode
    totals, shares = [], []
    for clip in clips:
        encode.seconds, start = 0.0, time.perf_counter()
        predictor(clip, rate=16_000)
        totals.append(time.perf_counter() - start)
        shares.append(encode.seconds / totals[-1])
    median_ms, share = 1e3 * statistics.median(totals), statistics.median(shares)
    heads = len(predictor.run.scorers)
    quantity = f"Predictor, {len(clips)} clips of {CLIP_S} s one by one, {heads} head{'s' if heads > 1 else ''}"
    return [Row(quantity, f"median {median_ms:.1f} ms a call", "encoder alone", f"{share:.0%} of the call")]


def main() -> None:
    """Run the benchmark and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of the corpora")
    parser.add_argument("--corpus", default="emodb", help="corpus of the clips")
    parser.add_argument("--clips", type=int, default=200, help="number of clips")
    parser.add_argument("--run", type=Path, help="run to score with (default: train one)")
    args = parser.parse_args()
    print(markdown_table(run(args.data, args.corpus, args.clips, args.run)))
    print(describe_machine())


if __name__ == "__main__":
    main()
