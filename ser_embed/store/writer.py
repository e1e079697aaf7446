"""Atomic writing of a store: a temporary file beside the old store replaces it once it is complete and on disk."""

import io
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

from ser_embed.files import flush_to_disk, temporary_path
from ser_embed.manifest import TRAINING_CLIP_COLUMNS, UNREADABLE_COLUMNS, build_manifest, tidy
from ser_embed.spec import EmbeddingSpec
from ser_embed.store.checksums import checksum
from ser_embed.store.layout import FORMAT, VERSION
from ser_embed.store.seal import SEAL_BYTES, write_seal

CLIPS_PER_CHUNK = 100  # of an HDF5 chunk: as many as in one part file
FRAMES_PER_CHUNK = 1000  # 20 s of HuBERT frames
_TEXT = h5py.string_dtype("utf-8")


class StoreWriter:
    """Writer of a new store, which appears at its path complete and only on `commit`.

    To be used in a `with` statement; leaving it without `commit` removes the temporary file.

    Attributes:
        path: where the store will be.
    """

    def __init__(self, path: Path, spec: EmbeddingSpec, software: Mapping[str, Any]) -> None:
        """Open a temporary file beside `path`.

        Args:
            path: where the store will be.
            spec: what the vectors are.
            software: versions and the data folder, plain JSON values.

        Raises:
            OSError: the folder cannot be written to.
        """
        self.path = path
        self._temporary = temporary_path(path)
        self._has_frames = spec.pooling == "frames"
        self._disk = _CheckedFile(self._temporary, "w+")
        self._file = h5py.File(self._disk, "w", userblock_size=SEAL_BYTES)
        self._file.attrs.update(
            format=FORMAT, version=VERSION, spec=spec.to_json(), software=json.dumps(dict(software))
        )
        self._file.create_dataset("layers", data=list(spec.layers), dtype=_TEXT)
        row_shape = (len(spec.layers), spec.width)
        rows_per_chunk = FRAMES_PER_CHUNK if self._has_frames else CLIPS_PER_CHUNK
        self._vectors = self._file.create_dataset(
            "vectors", (0, *row_shape), spec.storage, maxshape=(None, *row_shape), chunks=(rows_per_chunk, *row_shape)
        )
        self._clips: list[pd.DataFrame] = []
        self._checksums: list[np.ndarray] = []
        self._unreadable: list[pd.DataFrame] = []

    def add(self, clips: pd.DataFrame, vectors: list[np.ndarray]) -> None:
        """Append clips with their vectors.

        Args:
            clips: manifest rows.
            vectors: one float32 (layers, width) per clip, or (frames, layers, width) with frames pooling; rounded
                already if the spec's storage is float16.

        Raises:
            OSError: the vectors cannot be written.
        """
        if not vectors:
            return
        start = self._vectors.shape[0]
        if self._has_frames:
            counts = np.array([len(vector) for vector in vectors], dtype=np.float64)
            clips = clips.assign(frame_start=start + np.cumsum(counts) - counts, frame_count=counts)
        rows = np.concatenate(vectors) if self._has_frames else np.stack(vectors)
        self._vectors.resize(start + len(rows), axis=0)
        self._vectors[start:] = rows
        self._clips.append(clips)
        self._checksums.append(np.array([checksum(vector) for vector in vectors], dtype=np.uint32))
        self._raise_write_error()

    def add_unreadable(self, clips: pd.DataFrame) -> None:
        """Append clips that could not be read: utterance_id, path, reason."""
        self._unreadable.append(clips[list(UNREADABLE_COLUMNS)])

    def add_speakers(self, speakers: Mapping[str, np.ndarray]) -> None:
        """Write the speakers' vectors, float32 (layers, width) each; without speakers, the store has no such group."""
        if speakers:
            group = self._file.create_group("speakers")
            group.create_dataset("names", data=list(speakers), dtype=_TEXT)
            group.create_dataset("vectors", data=np.stack(list(speakers.values())).astype(np.float32))

    def add_training_clips(self, clips: pd.DataFrame) -> None:
        """Write the clips that the encoder was fine-tuned on; without any, the store has no such group.

        Args:
            clips: those that the spec sums up, with `TRAINING_CLIP_COLUMNS`.
        """
        if len(clips):
            _write_table(self._file.create_group("training_clips"), clips[list(TRAINING_CLIP_COLUMNS)])

    def commit(self) -> None:
        """Write the tables, flush everything to disk and rename the temporary file to `path`.

        Raises:
            OSError: something cannot be written.
        """
        no_clips = pd.DataFrame(columns=list(UNREADABLE_COLUMNS), dtype=object)
        clips = tidy(pd.concat(self._clips, ignore_index=True)) if self._clips else build_manifest([])
        unreadable = pd.concat([no_clips, *self._unreadable], ignore_index=True)
        _write_table(self._file.create_group("utterances"), clips)
        _write_table(self._file.create_group("unreadable"), unreadable)
        self._file.create_dataset("checksums", data=np.concatenate([np.zeros(0, np.uint32), *self._checksums]))
        self._raise_write_error()
        stretches: list[tuple[int, int]] = []
        self._file.flush()
        self._vectors.id.chunk_iter(lambda chunk: stretches.append((chunk.byte_offset, chunk.size)))
        self._file.close()
        write_seal(self._disk, stretches)
        self._raise_write_error()
        os.fsync(self._disk.fileno())
        os.replace(self._temporary, self.path)
        flush_to_disk(self.path.parent)

    def __enter__(self) -> "StoreWriter":
        return self

    def __exit__(self, *_: object) -> None:
        if self._file:
            self._file.close()
        self._disk.close()
        self._temporary.unlink(missing_ok=True)

    def _raise_write_error(self) -> None:
        """Raise the error of the first write to disk that failed, if one did."""
        if self._disk.error is not None:
            raise OSError(
                self._disk.error.errno, f"cannot write the store: {self._disk.error.strerror}", str(self.path)
            )


class _CheckedFile(io.FileIO):
    """A file that keeps its first write error in `error` and reports success to HDF5, then and for all later writes.

    After a failed write, for example on a full disk, HDF5 can no longer close its file, prints long messages about that
    at some later time, or crashes on reading back what it believes it has written. So HDF5 does not see the error, and
    what cannot be written is kept in memory for it to read. `StoreWriter` checks `error` after every step.
    """

    error: OSError | None = None

    def __init__(self, path: Path, mode: str) -> None:
        super().__init__(path, mode)
        self._unwritten: list[tuple[int, bytes]] = []  # position and content of what could not be written

    def write(self, data: Any) -> int:
        """Write all of `data`, or keep it and the error; return the number of bytes in `data` in either case."""
        start, content = self.tell(), memoryview(data).cast("B")
        remaining = content
        while len(remaining) and self.error is None:
            try:
                remaining = remaining[super().write(remaining) :]
            except OSError as error:
                self.error = error
        if self.error is not None:
            self._unwritten.append((start, bytes(content)))
            self.seek(start + len(content))
        return len(content)

    def readinto(self, buffer: Any) -> int:
        """Read what was written, or what could not be."""
        start, target = self.tell(), memoryview(buffer).cast("B")
        count = super().readinto(target) or 0
        if self.error is None:
            return count
        target[count:] = bytes(len(target) - count)
        for position, content in self._unwritten:
            first, last = max(position, start), min(position + len(content), start + len(target))
            if first < last:
                target[first - start : last - start] = content[first - position : last - position]
        self.seek(start + len(target))
        return len(target)

    def truncate(self, size: int | None = None) -> int:
        """Set the size of the file in bytes, or keep the error."""
        try:
            return super().truncate(size)
        except OSError as error:
            self.error = self.error or error
            return size or 0


def _write_table(group: h5py.Group, table: pd.DataFrame) -> None:
    """Write each column as a dataset: numbers as float64, everything else as UTF-8 text."""
    for name in table.columns:
        column = table[name]
        if pd.api.types.is_numeric_dtype(column):
            group.create_dataset(name, data=column.to_numpy(np.float64))
        else:
            group.create_dataset(name, data=column.to_numpy(object), dtype=_TEXT)
