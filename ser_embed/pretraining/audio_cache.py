"""Decoded once, read ever after: all clips as 16-bit samples in one memory-mapped file.

The folder holds `samples.i16`, every clip's samples at 16 kHz one after another, `clips.csv`, which says where each
begins, and `source.json`. A clip longer than 30 s is kept as several pieces, cut between frames. The folder appears by
renaming, so a killed run leaves none that is half full.
"""

import dataclasses
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from ser_embed.audio.decode import AudioPreprocessing, load_clip
from ser_embed.cli import quiet
from ser_embed.errors import ClipError, InputError
from ser_embed.files import atomic_folder, digest_of
from ser_embed.pretraining.features.frames import HOP, WINDOW, num_frames

FULL_SCALE = 32_767.0
PIECE = 1_500 * HOP  # samples: 30 s, so that no clip makes a batch of features outgrow memory
_BATCH_SAMPLES = 960_000  # samples whose features are worked out together: 60 s


@dataclasses.dataclass(frozen=True)
class Waveforms:
    """The clips of a data folder.

    Attributes:
        samples: int16 (all samples,), memory-mapped, 32767 at full scale.
        starts: where each clip, or piece of a clip, begins in `samples`: int64 (clips,).
        counts: how many samples it has: int64 (clips,).
        speakers: who speaks, "" where that is unknown: str (clips,).
        unreadable: the files that could not be used, as {"path", "reason"}.
        key: hash of what was decoded.
    """

    samples: np.ndarray
    starts: np.ndarray
    counts: np.ndarray
    speakers: np.ndarray
    unreadable: tuple[dict[str, str], ...]
    key: str

    @property
    def frame_counts(self) -> np.ndarray:
        """Frames of each clip, int64 (clips,)."""
        return num_frames(self.counts)

    @property
    def frame_starts(self) -> np.ndarray:
        """First frame of each clip where all frames lie one after another, int64 (clips,)."""
        return np.cumsum(self.frame_counts) - self.frame_counts

    def clip(self, row: int) -> np.ndarray:
        """Return one clip as float32 (samples,), full scale at 1."""
        samples = self.samples[self.starts[row] : self.starts[row] + self.counts[row]]
        return samples.astype(np.float32) / np.float32(FULL_SCALE)

    def batches(self, rows: Sequence[int]) -> Iterator[list[int]]:
        """Yield rows in order, about a minute of audio together."""
        held: list[int] = []
        total = 0
        for row in rows:
            held.append(row)
            total += int(self.counts[row])
            if total >= _BATCH_SAMPLES:
                yield held
                held, total = [], 0
        if held:
            yield held


def load_waveforms(data: Path, clips: pd.DataFrame, folder: Path, workers: int) -> Waveforms:
    """Return the clips of a data folder from their cache, decoding them first if it is not there or out of date.

    Args:
        data: the folder the clips' paths start from.
        clips: `path` and `speaker` of each clip.
        folder: where the cache is, or will be.
        workers: threads that decode.

    Raises:
        InputError: no clip can be read, or the folder holds something else.
    """
    key = _key(data, clips)
    source = folder / "source.json"
    if folder.exists() and not source.is_file():
        raise InputError(f"expected a folder of decoded audio, or none, at {folder}")
    if not source.is_file() or json.loads(source.read_text("utf-8"))["key"] != key:
        _decode_all(data, clips, folder, workers, key)
    about = json.loads(source.read_text("utf-8"))
    table = pd.read_csv(folder / "clips.csv", dtype={"path": str, "speaker": str}, keep_default_na=False)
    samples = np.memmap(folder / "samples.i16", dtype=np.int16, mode="r")
    starts, counts = (table[name].to_numpy(np.int64) for name in ("start", "count"))
    return Waveforms(samples, starts, counts, table["speaker"].to_numpy(str), tuple(about["unreadable"]), key)


def _key(data: Path, clips: pd.DataFrame) -> str:
    """Hash names, speakers and sizes; a file replaced by another of the very same size goes unnoticed."""
    sizes = [(data / path).stat().st_size if (data / path).is_file() else -1 for path in clips["path"]]
    rows = list(zip(clips["path"], clips["speaker"], sizes, strict=True))
    return digest_of(json.dumps(rows).encode())


def _decode_all(data: Path, clips: pd.DataFrame, folder: Path, workers: int, key: str) -> None:
    with atomic_folder(folder) as draft:
        rows, unreadable = _decode_into(draft / "samples.i16", data, clips, workers)
        if not rows:
            first = unreadable[0]
            raise InputError(f"no clip in {data} can be read, such as {first['path']}: {first['reason']}")
        pd.DataFrame(rows).to_csv(draft / "clips.csv", index=False)
        (draft / "source.json").write_text(json.dumps({"key": key, "unreadable": unreadable}), "utf-8")


def _decode_into(
    path: Path, data: Path, clips: pd.DataFrame, workers: int
) -> tuple[list[dict[str, object]], list[dict[str, str]]]:
    rows: list[dict[str, object]] = []
    unreadable: list[dict[str, str]] = []
    start = 0

    def read(clip: str) -> np.ndarray | ClipError:
        try:
            return load_clip(data / clip, AudioPreprocessing())[0]
        except ClipError as error:
            return error

    with path.open("wb") as file, ThreadPoolExecutor(workers, thread_name_prefix="decode") as pool:
        outcomes = tqdm(pool.map(read, clips["path"]), "decoding", len(clips), unit="clip", disable=quiet())
        for clip, speaker, outcome in zip(clips["path"], clips["speaker"], outcomes, strict=True):
            if isinstance(outcome, ClipError):
                unreadable.append({"path": clip, "reason": str(outcome)})
                continue
            for first in range(0, len(outcome) - WINDOW + 1, PIECE):
                piece = outcome[first : first + PIECE]
                file.write((np.clip(piece, -1, 1) * FULL_SCALE).round().astype(np.int16).tobytes())
                rows.append({"path": clip, "speaker": speaker, "start": start, "count": len(piece)})
                start += len(piece)
    return rows, unreadable
