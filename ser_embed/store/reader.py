"""Reader of a store: one HDF5 file of vectors with the manifest of the clips that they were extracted from.

Layout (see also the README):

    /                      attributes: format, version, spec (JSON), software (JSON)
    /vectors               float32 (clips, layers, width), or (frames, layers, width) with frames pooling
    /layers                names of the layers
    /checksums             uint32 (clips,), CRC-32 of each clip's vectors as stored
    /utterances/<column>   one 1-D dataset per manifest column, text as UTF-8, numbers as float64
    /unreadable/<column>   utterance_id, path, reason
    /speakers              names, and vectors float32 (speakers, layers, width), which PAPT adds to the speaker's clips;
                           present only if the model was pre-trained with speaker embeddings

`ser_embed.store.writer` writes this file. Vectors are not compressed: compression hardly reduces the size of such
float32 values, and rows of an uncompressed chunk can be read one by one.
"""

import json
import os
import zlib
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

from ser_embed.errors import InputError
from ser_embed.manifest import UNREADABLE_COLUMNS, tidy
from ser_embed.spec import EmbeddingSpec

FileIdentity = tuple[int, int]  # device and inode
FORMAT = "ser-embeddings"
VERSION = 1
# Up to this many chunks, asking HDF5 for each offset (0.3 ms) is faster than iterating over all (60 ms for 10 000).
_MAX_SINGLE_LOOKUPS = 30


class Store:
    """Read access to a store, to be used in a `with` statement. Opening reads no vectors and no manifest.

    Attributes:
        path: the file.
        spec: what the vectors are.
        software: versions of the software that made the vectors, and the data folder.
        layers: names of the layers, in the order of the layer axis.

    >>> with Store("embeddings/mfcc.h5") as store:  # doctest: +SKIP
    ...     vectors = store.read(range(10))
    """

    def __init__(self, path: str | Path, identity: FileIdentity | None = None) -> None:
        """Open the store at `path`.

        Args:
            path: the file.
            identity: of the store that is expected there; None for any.

        Raises:
            InputError: the file does not exist, may not be read, is not a store of this version or not that one.
        """
        self.path = Path(path)
        self._file = _open(self.path)
        try:
            self._check_format()
            self.spec = EmbeddingSpec.from_json(str(self._file.attrs["spec"]))
            self.software: dict[str, Any] = json.loads(str(self._file.attrs["software"]))
            self.layers = tuple(str(name) for name in self._file["layers"].asstr()[:])
            self._chunk_offsets: dict[int, int] = {}
            if identity not in (None, self.identity):
                raise InputError(f"the store {self.path} was replaced by another while it was in use; start again")
        except (KeyError, OSError, ValueError) as error:
            self._file.close()
            if isinstance(error, InputError):
                raise
            raise InputError(f"the store {self.path} is damaged: {error}") from error

    def _check_format(self) -> None:
        """Check the format, its version, and that all groups and datasets are present.

        Raises:
            InputError: the file is not a store of this version, or is damaged.
        """
        file_format, version = self._file.attrs.get("format"), self._file.attrs.get("version")
        if (file_format, version) != (FORMAT, VERSION):
            raise InputError(f"expected a store ({FORMAT} {VERSION}), but {self.path} is {file_format} {version}")
        for name in ("vectors", "utterances", "unreadable", "checksums"):
            if name not in self._file:
                raise InputError(f"the store {self.path} is damaged: it has no /{name}")

    @cached_property
    def vectors(self) -> h5py.Dataset:
        """The vectors on disk, float32 (clips or frames, layers, width)."""
        return self._file["vectors"]

    @cached_property
    def utterances(self) -> pd.DataFrame:
        """The manifest of the stored clips; row i describes clip i."""
        return tidy(self.table(self.columns))

    @cached_property
    def unreadable(self) -> pd.DataFrame:
        """The clips that could not be read, with the reason for each."""
        return _read_table(self._file["unreadable"], UNREADABLE_COLUMNS)

    @cached_property
    def speaker_vectors(self) -> dict[str, np.ndarray]:
        """The speakers' vectors that a pre-training with speaker embeddings learned, float32 (layers, width) each."""
        if "speakers" not in self._file:
            return {}
        names = self._file["speakers/names"].asstr()[:].tolist()
        return dict(zip(names, self._file["speakers/vectors"][:], strict=True))

    @cached_property
    def _rows_per_chunk(self) -> int:
        """Rows of `/vectors` in one HDF5 chunk; all of them if the dataset is not chunked."""
        return self.vectors.chunks[0] if self.vectors.chunks else len(self.vectors)

    @cached_property
    def _is_plain(self) -> bool:
        """Whether a chunk on disk is whole rows of little-endian float32, unfiltered.

        `StoreWriter` writes such chunks; other software may have repacked them.
        """
        vectors = self.vectors
        return (
            hasattr(os, "pread")
            and vectors.chunks is not None
            and vectors.chunks[1:] == vectors.shape[1:]
            and vectors.dtype == np.dtype("<f4")
            and vectors.id.get_create_plist().get_nfilters() == 0
        )

    @property
    def identity(self) -> FileIdentity:
        """Device and inode of the open file, which a store that replaces it does not share."""
        status = os.fstat(self._handle)
        return status.st_dev, status.st_ino

    @property
    def _handle(self) -> int:
        """The descriptor of the open file. Opened by its path again, it might be another store by now."""
        return self._file.id.get_vfd_handle()

    @property
    def checksums(self) -> np.ndarray:
        """CRC-32 of each clip's vectors, uint32 (clips,)."""
        return self._file["checksums"][:]

    def __len__(self) -> int:
        """Return the number of clips."""
        return self._file["checksums"].shape[0]

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the manifest columns."""
        return tuple(self._file["utterances"])

    def table(self, names: Iterable[str]) -> pd.DataFrame:
        """Return the named manifest columns as a table with one row per clip."""
        return _read_table(self._file["utterances"], names)

    def column(self, name: str) -> np.ndarray:
        """Return one manifest column (clips,), text as objects or numbers as float64; the others are not read."""
        return _read_column(self._file["utterances"][name])

    def read(self, rows: Any, layers: list[int] | None = None) -> np.ndarray:
        """Read rows of `/vectors`, in the order of `rows`.

        Args:
            rows: row numbers, in any order; repeats are allowed.
            layers: positions on the layer axis; None reads all layers.

        Returns:
            float32 (rows, layers, width).
        """
        distinct_rows, positions = np.unique(np.asarray(rows, dtype=np.int64), return_inverse=True)
        layer_selection = slice(None) if layers is None else layers
        num_layers = len(self.layers) if layers is None else len(layers)
        values = np.empty((len(distinct_rows), num_layers, self.spec.width), np.float32)
        # Consecutive rows of one chunk are adjacent in the file, so that each run of them is one read.
        is_run_start = np.ones(len(distinct_rows), dtype=bool)
        is_run_start[1:] = (np.diff(distinct_rows) != 1) | (distinct_rows[1:] % self._rows_per_chunk == 0)
        starts = np.flatnonzero(is_run_start)
        ends = np.append(starts, len(distinct_rows))[1:]
        runs = self._read_runs(distinct_rows[starts], ends - starts)
        for start, end, run in zip(starts, ends, runs, strict=True):
            values[start:end] = run[:, layer_selection]
        return values if np.array_equal(positions, np.arange(len(positions))) else values[positions]

    def _read_runs(self, first_rows: np.ndarray, counts: np.ndarray) -> Iterator[np.ndarray]:
        """Read runs of consecutive rows, each within one chunk.

        HDF5 gives the offset of a chunk in the file. Reading at that offset takes microseconds, while a selection
        through HDF5 takes a fifth of a millisecond, which a batch of 150 scattered rows pays 150 times. The operating
        system is told about all runs first, so that the disk fetches them together: nine times as fast as one after
        the other.

        Args:
            first_rows: first row of each run, int64 (runs,).
            counts: number of rows in each run, int64 (runs,).

        Yields:
            float32 (count, layers, width) for each run.
        """
        if not self._is_plain:
            yield from (self.vectors[row : row + count] for row, count in zip(first_rows, counts, strict=True))
            return
        shape = (-1, len(self.layers), self.spec.width)
        row_bytes = 4 * shape[1] * shape[2]
        chunks, rows_in_chunk = np.divmod(first_rows, self._rows_per_chunk)
        offsets = (self._chunk_offsets_of(chunks) + rows_in_chunk * row_bytes).tolist()
        sizes = (counts * row_bytes).tolist()
        handle = self._handle
        if hasattr(os, "posix_fadvise") and len(offsets) > 1:
            for offset, size in zip(offsets, sizes, strict=True):
                os.posix_fadvise(handle, offset, size, os.POSIX_FADV_WILLNEED)
        for offset, size in zip(offsets, sizes, strict=True):
            yield np.frombuffer(os.pread(handle, size, offset), "<f4").reshape(shape)

    def _chunk_offsets_of(self, chunks: np.ndarray) -> np.ndarray:
        """Return the offsets of chunks in the file, in bytes, int64 (chunks,); HDF5 is asked only once for each."""
        offsets, rows_per_chunk, dataset = self._chunk_offsets, self._rows_per_chunk, self.vectors.id
        missing = [chunk for chunk in dict.fromkeys(chunks.tolist()) if chunk not in offsets]
        if len(missing) > _MAX_SINGLE_LOOKUPS:
            dataset.chunk_iter(lambda info: offsets.update({info.chunk_offset[0] // rows_per_chunk: info.byte_offset}))
        else:
            infos = (dataset.get_chunk_info_by_coord((chunk * rows_per_chunk, 0, 0)) for chunk in missing)
            offsets.update(zip(missing, (info.byte_offset for info in infos), strict=True))
        return np.array([offsets[chunk] for chunk in chunks.tolist()], dtype=np.int64)

    def read_clip(self, row: int) -> np.ndarray:
        """Read a clip's vectors: float32 (1, layers, width), or (frames, layers, width) with frames pooling."""
        return self.vectors[self.extent(row)]

    def extent(self, row: int) -> slice:
        """Return the rows of `/vectors` that belong to clip `row`."""
        if self.spec.pooling != "frames":
            return slice(row, row + 1)
        start, count = self._file["utterances/frame_start"][row], self._file["utterances/frame_count"][row]
        return slice(int(start), int(start + count))

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def checksum(vectors: np.ndarray) -> int:
    """Return the CRC-32 of a clip's vectors as little-endian float32."""
    return zlib.crc32(np.ascontiguousarray(vectors, dtype="<f4").tobytes())


def _open(path: Path) -> h5py.File:
    """Open an HDF5 file for reading.

    Raises:
        InputError: there is no such file, it may not be read, or it is not HDF5.
    """
    try:
        if path.is_dir():
            example = next((f", such as {file}" for file in sorted(path.glob("*.h5"))), "")
            raise InputError(f"expected a store file{example}, but {path} is a folder")
        if not path.is_file():
            raise InputError(f"no store at {path}; make one with: python -m ser_embed.extract --model NAME")
        return h5py.File(path, "r")
    except PermissionError as error:
        raise InputError(f"expected a store, but there is no permission to read {path}") from error
    except OSError as error:
        raise InputError(f"expected a store (HDF5), but {path} cannot be read as one ({error})") from error


def _read_table(group: h5py.Group, names: Iterable[str]) -> pd.DataFrame:
    """Read the named datasets of a group as the columns of a table."""
    columns = {name: _read_column(group[name]) for name in names}
    return pd.DataFrame({name: pd.Series(values, dtype=values.dtype) for name, values in columns.items()})


def _read_column(dataset: h5py.Dataset) -> np.ndarray:
    """Read a 1-D dataset: text as an array of objects, numbers as they are."""
    if h5py.check_string_dtype(dataset.dtype) is None:
        return dataset[:]
    return dataset.asstr()[:].astype(object)
