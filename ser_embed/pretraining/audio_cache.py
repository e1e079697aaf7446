"""Audio cache: all clips of a data folder, decoded once, as 16-bit samples in one memory-mapped file.

The cache folder has `samples.i16`, the samples of every clip at 16 kHz one after another; `clips.csv`, with the start
and length of each; and `source.json`. A clip longer than 30 s is stored as several pieces, cut between frames. The
folder is written under a temporary name and renamed, so a process that is killed leaves no incomplete cache.
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
PIECE_SAMPLES = 1_500 * HOP  # 30 s, so that the features of a single clip fit into memory
_BATCH_SAMPLES = 960_000  # samples whose features are computed together: 60 s


@dataclasses.dataclass(frozen=True)
class Waveforms:
    """Decoded clips of a data folder. A long clip counts as several, one per piece.

    Attributes:
        samples: int16 (all samples,), memory-mapped, 32767 at full scale.
        starts: the first sample of each clip in `samples`, int64 (clips,).
        counts: the number of samples of each clip, int64 (clips,).
        speakers: the speaker of each clip, "" where unknown, str (clips,).
        unreadable: the files that could not be used, as {"path", "reason"}.
        key: hash of the names, speakers and sizes of the files that were decoded.
    """

    samples: np.ndarray
    starts: np.ndarray
    counts: np.ndarray
    speakers: np.ndarray
    unreadable: tuple[dict[str, str], ...]
    key: str

    @property
    def frame_counts(self) -> np.ndarray:
        """Number of frames of each clip, int64 (clips,)."""
        return num_frames(self.counts)

    @property
    def frame_starts(self) -> np.ndarray:
        """First frame of each clip in an array of the frames of all clips, int64 (clips,)."""
        return np.cumsum(self.frame_counts) - self.frame_counts

    def clip(self, row: int) -> np.ndarray:
        """Return one clip as float32 (samples,), full scale at 1."""
        samples = self.samples[self.starts[row] : self.starts[row] + self.counts[row]]
        return samples.astype(np.float32) / np.float32(FULL_SCALE)

    def batches(self, rows: Sequence[int]) -> Iterator[list[int]]:
        """Yield the rows in order, in lists of about a minute of audio."""
        batch: list[int] = []
        batch_samples = 0
        for row in rows:
            batch.append(row)
            batch_samples += int(self.counts[row])
            if batch_samples >= _BATCH_SAMPLES:
                yield batch
                batch, batch_samples = [], 0
        if batch:
            yield batch


def load_waveforms(data: Path, clips: pd.DataFrame, folder: Path, workers: int) -> Waveforms:
    """Return the clips of a data folder from their cache, decoding them first if the cache is missing or out of date.

    Args:
        data: the folder that the clips' paths are relative to.
        clips: `path` and `speaker` of each clip.
        folder: the folder of the cache, which is created if it does not exist.
        workers: threads that decode.

    Returns:
        The clips that can be decoded, in the order of `clips`.

    Raises:
        InputError: no clip can be read, or `folder` exists and is not a cache.
    """
    key = _cache_key(data, clips)
    source_path = folder / "source.json"
    if folder.exists() and not source_path.is_file():
        raise InputError(f"expected a folder of decoded audio, or none, at {folder}")
    if not source_path.is_file() or json.loads(source_path.read_text("utf-8"))["key"] != key:
        _write_cache(data, clips, folder, workers, key)
    source = json.loads(source_path.read_text("utf-8"))
    table = pd.read_csv(folder / "clips.csv", dtype={"path": str, "speaker": str}, keep_default_na=False)
    samples = np.memmap(folder / "samples.i16", dtype=np.int16, mode="r")
    starts, counts = (table[column].to_numpy(np.int64) for column in ("start", "count"))
    return Waveforms(samples, starts, counts, table["speaker"].to_numpy(str), tuple(source["unreadable"]), key)


def _cache_key(data: Path, clips: pd.DataFrame) -> str:
    """Hash names, speakers and sizes; a file replaced by another one of exactly the same size is not noticed."""
    sizes = [(data / path).stat().st_size if (data / path).is_file() else -1 for path in clips["path"]]
    rows = list(zip(clips["path"], clips["speaker"], sizes, strict=True))
    return digest_of(json.dumps(rows).encode())


def _write_cache(data: Path, clips: pd.DataFrame, folder: Path, workers: int, key: str) -> None:
    with atomic_folder(folder) as draft:
        rows, unreadable = _decode_clips(data, clips, draft / "samples.i16", workers)
        if not rows:
            first = unreadable[0]
            raise InputError(f"no clip in {data} can be read, such as {first['path']}: {first['reason']}")
        pd.DataFrame(rows).to_csv(draft / "clips.csv", index=False)
        (draft / "source.json").write_text(json.dumps({"key": key, "unreadable": unreadable}), "utf-8")


def _decode_clips(
    data: Path, clips: pd.DataFrame, samples_path: Path, workers: int
) -> tuple[list[dict[str, object]], list[dict[str, str]]]:
    """Write the samples of all clips; return the rows of `clips.csv`, and {"path", "reason"} of unreadable files."""
    rows: list[dict[str, object]] = []
    unreadable: list[dict[str, str]] = []
    start = 0

    def decode(path: str) -> np.ndarray | ClipError:
        try:
            return load_clip(data / path, AudioPreprocessing())[0]
        except ClipError as error:
            return error

    with samples_path.open("wb") as file, ThreadPoolExecutor(workers, thread_name_prefix="decode") as pool:
        decoded_clips = tqdm(pool.map(decode, clips["path"]), "decoding", len(clips), unit="clip", disable=quiet())
        for path, speaker, decoded in zip(clips["path"], clips["speaker"], decoded_clips, strict=True):
            if isinstance(decoded, ClipError):
                unreadable.append({"path": path, "reason": str(decoded)})
                continue
            for first in range(0, len(decoded) - WINDOW + 1, PIECE_SAMPLES):
                piece = decoded[first : first + PIECE_SAMPLES]
                file.write((np.clip(piece, -1, 1) * FULL_SCALE).round().astype(np.int16).tobytes())
                rows.append({"path": path, "speaker": speaker, "start": start, "count": len(piece)})
                start += len(piece)
    return rows, unreadable
