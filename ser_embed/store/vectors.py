"""Vectors of a store: rows read at their offsets in the file, and checked, each once.

HDF5 gives the offset of a chunk in the file. Reading at that offset takes microseconds, while a selection through HDF5
takes a fifth of a millisecond, which a batch of 150 scattered rows pays 150 times.
"""

import contextlib
import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from pathlib import Path

import h5py
import numpy as np

from ser_embed.errors import InputError
from ser_embed.store.checksums import all_finite, are_as_summed, row_checksums
from ser_embed.store.seal import DamagedStore

# Up to this many chunks, asking HDF5 for each offset (0.3 ms) is faster than iterating over all (60 ms for 10 000).
_MAX_SINGLE_LOOKUPS = 30
_CHECKED_IN_A_THREAD = 1 << 22  # bytes; less is checked sooner than a thread has started
_CHECKED_AT_ONCE = 1 << 22  # bytes; a check of each run by itself would wait for Python more than it works
_MOST_PENDING = 8  # pieces that were read and wait to be checked


class VectorReader:
    """Reader of the dataset `vectors` of an open store."""

    def __init__(self, file: h5py.File, path: Path, checksums: np.ndarray, name_of: Callable[[int], str]) -> None:
        """Take the store; nothing is read yet.

        Args:
            file: the store, open.
            path: of the file, for messages.
            checksums: CRC-32 of each clip's vectors, uint32 (clips,).
            name_of: returns the name of the clip in a row, for messages.
        """
        self._file, self._path, self._checksums, self._name_of = file, path, checksums, name_of
        self._vectors: h5py.Dataset = file["vectors"]
        self._chunk_offsets: dict[int, int] = {}
        self._is_checked = np.zeros(len(checksums), dtype=bool)

    @cached_property
    def _rows_per_chunk(self) -> int:
        """Rows of `/vectors` in one HDF5 chunk; all of them if the dataset is not chunked."""
        return self._vectors.chunks[0] if self._vectors.chunks else len(self._vectors)

    @cached_property
    def _is_plain(self) -> bool:
        """Whether a chunk on disk is whole rows of little-endian float32 or float16, unfiltered.

        `StoreWriter` writes such chunks; other software may have repacked them.
        """
        vectors = self._vectors
        return (
            hasattr(os, "preadv")
            and vectors.chunks is not None
            and vectors.chunks[1:] == vectors.shape[1:]
            and vectors.dtype in (np.dtype("<f4"), np.dtype("<f2"))
            and vectors.id.get_create_plist().get_nfilters() == 0
        )

    def read(self, rows: np.ndarray, layers: list[int] | None = None) -> np.ndarray:
        """Read the vectors of clips, in the order of `rows`.

        Args:
            rows: int64 (rows,), in any order; repeats are allowed.
            layers: positions on the layer axis; None reads all layers.

        Returns:
            float32 (rows, layers, width).

        Raises:
            InputError: vectors are not what was written, or hold NaN or infinity.
            OSError: they cannot be read.
        """
        distinct_rows, positions = np.unique(rows, return_inverse=True)
        num_layers, width = self._vectors.shape[1:]
        num_chosen = num_layers if layers is None else len(layers)
        values = np.empty((len(distinct_rows), num_chosen, width), np.float32)
        # Consecutive rows of one chunk are adjacent in the file, so that each run of them is one read.
        is_run_start = np.ones(len(distinct_rows), dtype=bool)
        is_run_start[1:] = (np.diff(distinct_rows) != 1) | (distinct_rows[1:] % self._rows_per_chunk == 0)
        starts = np.flatnonzero(is_run_start)
        ends = np.append(starts, len(distinct_rows))[1:]
        runs = self._read_runs(distinct_rows, starts, ends, values if layers is None else None)
        with self._checker(distinct_rows, values.nbytes) as check:
            checked = 0  # of `values`
            for start, end, run in zip(starts, ends, runs, strict=True):
                if layers is not None:
                    check(distinct_rows[start:end], run)
                    values[start:end] = run[:, layers]
                elif (end - checked) * values[0].nbytes >= _CHECKED_AT_ONCE or end == len(values):
                    check(distinct_rows[checked:end], values[checked:end])
                    checked = end
        return values if np.array_equal(positions, np.arange(len(positions))) else values[positions]

    def _read_runs(
        self, rows: np.ndarray, starts: np.ndarray, ends: np.ndarray, values: np.ndarray | None
    ) -> Iterator[np.ndarray]:
        """Read runs of consecutive rows, each within one chunk.

        The operating system is told about all runs first, so that the disk fetches them together: nine times as fast as
        one after the other.

        Args:
            rows: rows to read, int64 (rows,).
            starts: position in `rows` of the first row of each run, (runs,).
            ends: position after its last.
            values: where they are read to, float32 (rows, layers, width); None for a new array for each run.

        Yields:
            float32 (rows of a run, layers, width).
        """
        shape = self._vectors.shape[1:]
        targets = (
            np.empty((end - start, *shape), np.float32) if values is None else values[start:end]
            for start, end in zip(starts, ends, strict=True)
        )
        if not self._is_plain:
            for row, target in zip(rows[starts], targets, strict=True):
                target[:] = self._vectors[row : row + len(target)]
                yield target
            return
        chunks, rows_in_chunk = np.divmod(rows[starts], self._rows_per_chunk)
        row_bytes = self._vectors.dtype.itemsize * shape[0] * shape[1]
        offsets = (self._chunk_offsets_of(chunks) + rows_in_chunk * row_bytes).tolist()
        handle = self._file.id.get_vfd_handle()  # opened by its path again, it might be another store by now
        if hasattr(os, "posix_fadvise") and len(offsets) > 1:
            for offset, size in zip(offsets, ((ends - starts) * row_bytes).tolist(), strict=True):
                os.posix_fadvise(handle, offset, size, os.POSIX_FADV_WILLNEED)
        for offset, target in zip(offsets, targets, strict=True):
            stored = target if self._vectors.dtype == np.float32 else np.empty(target.shape, self._vectors.dtype)
            if os.preadv(handle, [stored.data], offset) != stored.nbytes:
                raise OSError("the file ends before them")
            if stored is not target:
                target[:] = stored
            yield target

    def _chunk_offsets_of(self, chunks: np.ndarray) -> np.ndarray:
        """Return the offsets of chunks in the file, in bytes, int64 (chunks,); HDF5 is asked only once for each."""
        offsets, rows_per_chunk, dataset = self._chunk_offsets, self._rows_per_chunk, self._vectors.id
        missing = [chunk for chunk in dict.fromkeys(chunks.tolist()) if chunk not in offsets]
        if len(missing) > _MAX_SINGLE_LOOKUPS:
            dataset.chunk_iter(lambda info: offsets.update({info.chunk_offset[0] // rows_per_chunk: info.byte_offset}))
        else:
            infos = (dataset.get_chunk_info_by_coord((chunk * rows_per_chunk, 0, 0)) for chunk in missing)
            offsets.update(zip(missing, (info.byte_offset for info in infos), strict=True))
        return np.array([offsets[chunk] for chunk in chunks.tolist()], dtype=np.int64)

    @contextlib.contextmanager
    def _checker(self, rows: np.ndarray, num_bytes: int) -> Iterator[Callable[[np.ndarray, np.ndarray], object]]:
        """Give a function that checks vectors as `check` does, those of many in a thread, while the next are read.

        Args:
            rows: the clips that will be checked, int64 (clips,).
            num_bytes: size of their vectors.

        Raises:
            InputError: at the end of the block at the latest, if vectors are not what was written.
        """
        if self._is_checked[rows].all():
            yield lambda *_: None
            return
        if num_bytes < _CHECKED_IN_A_THREAD:
            yield self.check
            return
        pending: deque[Future] = deque()
        with ThreadPoolExecutor(1) as thread:

            def submit(run_rows: np.ndarray, run: np.ndarray) -> None:
                pending.append(thread.submit(self.check, run_rows, run))
                if len(pending) > _MOST_PENDING:
                    pending.popleft().result()

            yield submit
            for future in pending:
                future.result()

    def check(self, rows: np.ndarray, vectors: np.ndarray) -> None:
        """Check vectors that were just read, the first time they are.

        Args:
            rows: their clips, int (clips,).
            vectors: float32 (clips, ...).

        Raises:
            InputError: they are not what was written, or hold NaN or infinity.
        """
        if self._is_checked[rows].all():
            return
        expected = self._checksums[rows]
        if not are_as_summed(vectors, expected) and (is_damaged := row_checksums(vectors) != expected).any():
            raise DamagedStore(
                self._path,
                f"the vectors of {self._name_of(rows[is_damaged][0])} are not those that were written (checksum); "
                "inspect --verify lists all such clips, extract --force replaces them",
            )
        if not all_finite(vectors):
            is_finite = np.isfinite(vectors).reshape(len(vectors), -1).all(axis=1)
            raise InputError(
                f"the vectors of {self._name_of(rows[~is_finite][0])} in {self._path} hold NaN or infinity; "
                "extract --force replaces them"
            )
        self._is_checked[rows] = True
