"""Live monitoring: delay from sound to committed event, sources at a time, and memory over hours.

    python -m benchmarks.live [--data ../shared/data] [--run emodb] [--sources 1 10 20 30] [--seconds 60] [--vad on|off]
    python -m benchmarks.live --hours 6 [--run emodb]

Real speech at real speed: clips of EmoDB, RAVDESS and EMOVO one after another with pauses, drawn by a seed for each
source. The delay is from the end of a window's audio to its commit, by the clock of the machine. All sources begin at
the same moment, so that their windows are complete together: the worst case for the queue. Of the encoder, the share of
wall time in its forward pass is shown.

With --hours, one source is read at full speed; memory is that of the process, and events have to be without gaps.
"""

import argparse
import dataclasses
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from benchmarks.measure import Row, describe_machine, markdown_table
from ser_monitor.config import WatchConfig
from ser_monitor.events import WINDOW, Event, Item, SessionEnd

RATE_HZ = 16_000
CORPORA = ("emodb", "ravdess", "emovo")
PAUSE_S = (0.2, 1.5)  # between two clips
NOISE = 1e-4  # of the room, in the pauses too
WARM_UP_S = 10.0
SETTLED_AFTER_S = 600.0  # of audio, after which memory should not grow


def clips_of(data: Path, seed: int) -> Iterator[np.ndarray]:
    """Yield clips of the corpora and pauses for ever, float32 (samples,) at 16 kHz."""
    from ser_embed.audio.decode import AudioPreprocessing, load_clip

    files = [path for corpus in CORPORA for path in sorted((data / corpus).rglob("*.flac"))]
    random = np.random.default_rng(seed)
    while True:
        yield load_clip(files[random.integers(len(files))], AudioPreprocessing())[0]
        yield np.zeros(int(random.uniform(*PAUSE_S) * RATE_HZ), np.float32)


def write_conversation(path: Path, data: Path, seed: int, seconds: float) -> Path:
    """Write a wav file of clips and pauses; return its path.

    Args:
        path: the file.
        data: folder of the corpora.
        seed: draws clips and pauses.
        seconds: its length.
    """
    random, left = np.random.default_rng(seed), round(seconds * RATE_HZ)
    with soundfile.SoundFile(path, "w", RATE_HZ, 1) as file:
        for samples in clips_of(data, seed):
            part = samples[:left] + random.normal(0, NOISE, len(samples[:left])).astype(np.float32)
            file.write(part)
            left -= len(part)
            if left <= 0:
                return path
    return path


@dataclasses.dataclass
class Watched:
    """What is noted while listening.

    Attributes:
        delays_s: from the end of each window's audio to its commit.
        hops_s: hops of the windows.
        num_skipped: windows that were left out.
    """

    delays_s: list[float] = dataclasses.field(default_factory=list)
    hops_s: set[float] = dataclasses.field(default_factory=set)
    num_skipped: int = 0

    def take(self, items: Sequence[Item]) -> None:
        """Take committed items."""
        now = datetime.now(UTC)
        for item in items:
            if isinstance(item, Event) and item.kind == WINDOW:
                self.hops_s.add(item.hop_s)
                if item.end_s > WARM_UP_S:
                    self.delays_s.append((now - item.ended_at).total_seconds())
            if isinstance(item, SessionEnd):
                self.num_skipped += item.facts["skipped_windows"]


def measure_delay(data: Path, run: str, num_sources: int, seconds: float, vad: str) -> Row:
    """Listen to sources at real speed, and return a row.

    Args:
        data: folder of the corpora.
        run: the run.
        num_sources: listened to at the same time.
        seconds: length of each.
        vad: "on" or "off".
    """
    from ser_monitor.sessions.opening import open_monitor

    watched = Watched()
    with tempfile.TemporaryDirectory() as folder:
        paths = [
            write_conversation(Path(folder) / f"{number}.wav", data, number, seconds) for number in range(num_sources)
        ]
        config = WatchConfig(run=Path(run), database=str(Path(folder) / "m.db"), speed="1", vad=vad)
        with open_monitor(config, list(map(str, paths)), watched.take) as (monitor, sources):
            started_s = time.monotonic()
            monitor.run(sources)
            wall_s = time.monotonic() - started_s
    p50, p95, worst = np.percentile(watched.delays_s, [50, 95, 100])
    hops = "" if watched.hops_s == {1.0} else f", hops up to {max(watched.hops_s):g} s, {watched.num_skipped} left out"
    share = monitor.scorer.encoding_s / wall_s
    return Row(
        f"sources: {num_sources}, voice activity {vad}",
        f"p50 {p50 * 1000:.0f} ms, p95 {p95 * 1000:.0f} ms, longest {worst * 1000:.0f} ms{hops}",
        f"encoder {share:.0%} of the time, {len(watched.delays_s)} windows",
    )


def measure_hours(data: Path, run: str, hours: float, vad: str) -> list[Row]:
    """Listen to hours of audio at full speed, and return the rows.

    Args:
        data: folder of the corpora.
        run: the run.
        hours: of audio.
        vad: "on" or "off".
    """
    import psutil

    import ser_monitor

    process, memory = psutil.Process(os.getpid()), dict[float, float]()
    numbers: list[tuple[int, float]] = []

    def take(items: Sequence[Item]) -> None:
        for item in items:
            if isinstance(item, Event):
                numbers.append((item.number, item.start_s))
                if not memory or item.end_s >= max(memory) + 60:
                    memory[item.end_s] = process.memory_info().rss / 2**20

    with tempfile.TemporaryDirectory() as folder:
        path = write_conversation(Path(folder) / "long.wav", data, 0, hours * 3600)
        started_s = time.monotonic()
        ser_monitor.watch(path, take, run=run, database=str(Path(folder) / "m.db"), speed="max", vad=vad)
        wall_s = time.monotonic() - started_s
    settled = next(value for at_s, value in memory.items() if at_s >= min(SETTLED_AFTER_S, hours * 1800))
    later = [value for at_s, value in memory.items() if at_s >= SETTLED_AFTER_S] or [settled]
    is_whole = [number for number, _ in numbers] == list(range(len(numbers)))
    starts = np.diff([start_s for _, start_s in numbers])
    gaps = int((np.abs(starts - 1.0) > 1e-6).sum())
    return [
        Row(
            "audio at full speed",
            f"{hours:g} h in {wall_s / 60:.1f} min",
            f"{hours * 3600 / wall_s:.1f} times real time",
        ),
        Row(
            "memory after 10 min of audio",
            f"{settled:.0f} MiB",
            f"at most {max(later):.0f}, at the end {later[-1]:.0f}",
        ),
        Row("events", f"{len(numbers)}", f"numbers without gaps: {is_whole}, hops that are not 1 s: {gaps}"),
    ]


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print a table."""
    parser = argparse.ArgumentParser("python -m benchmarks.live", description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of the corpora")
    parser.add_argument("--run", default="emodb", help="run folder, or the name of one that ships")
    parser.add_argument("--sources", type=int, nargs="+", default=[1, 10, 20, 30], help="sources at a time")
    parser.add_argument("--seconds", type=float, default=60.0, help="length of each source in seconds")
    parser.add_argument("--vad", choices=("on", "off"), default="on", help="voice activity")
    parser.add_argument("--hours", type=float, help="listen to so many hours at full speed instead")
    args: Any = parser.parse_args(argv)
    print(describe_machine())
    if args.hours:
        print(markdown_table(measure_hours(args.data, args.run, args.hours, args.vad)))
        return 0
    rows = [measure_delay(args.data, args.run, number, args.seconds, args.vad) for number in args.sources]
    print(markdown_table(rows))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
