"""The store: one HDF5 file of vectors with the manifest of the clips they came from.

Layout (see also the README):

    /                      attributes: format, version, spec (JSON), software (JSON)
    /vectors               float32 (clips, layers, width), or (frames, layers, width) with frames pooling
    /layers                names of the layers
    /checksums             uint32 (clips,), CRC-32 of each clip's vectors as stored
    /utterances/<column>   one 1-D dataset per manifest column, text as UTF-8, numbers as float64
    /unreadable/<column>   utterance_id, path, reason
    /speakers              names, and vectors float32 (speakers, layers, width), added to their clips by PAPT; only
                           there with a model that was pre-trained with speaker embeddings

This module reads; `ser_embed.store.writer` writes. Vectors are not compressed: float32 of this kind hardly shrinks, and an
uncompressed chunk can be read row by row.
"""

import io
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

FORMAT = "ser-embeddings"
VERSION = 1
_FEW_CHUNKS = 30  # up to so many HDF5 locates sooner one by one (0.3 ms each) than all at once (60 ms for 10 000)


class Store:
    """Read access to a store. Opening reads no vectors and no clips; use it in a `with` statement.

    >>> with Store("embeddings/mfcc.h5") as store:  # doctest: +SKIP
    ...     vectors = store.read(range(10))
    """

    def __init__(self, path: str | Path) -> None:
        """Open the store at `path`.

        Raises:
            InputError: there is no such file, it may not be read, or it is not a store of this version.
        """
        self.path = Path(path)
        self._file = _open(self.path)
        try:
            self._check_format()
            self.spec = EmbeddingSpec.from_json(str(self._file.attrs["spec"]))
            self.software: dict[str, Any] = json.loads(str(self._file.attrs["software"]))
            self.layers = tuple(str(name) for name in self._file["layers"].asstr()[:])
            self._chunk_offsets: dict[int, int] = {}
        except (KeyError, OSError, ValueError) as error:
            self._file.close()
            if isinstance(error, InputError):
                raise
            raise InputError(f"the store {self.path} is damaged: {error}") from error

    def _check_format(self) -> None:
        found = self._file.attrs.get("format"), self._file.attrs.get("version")
        if found != (FORMAT, VERSION):
            raise InputError(f"expected a store ({FORMAT} {VERSION}), but {self.path} is {found[0]} {found[1]}")
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
        """What a pre-training with speaker embeddings learned of speakers, float32 (layers, width) each."""
        if "speakers" not in self._file:
            return {}
        names = self._file["speakers/names"].asstr()[:].tolist()
        return dict(zip(names, self._file["speakers/vectors"][:], strict=True))

    @cached_property
    def _rows_per_chunk(self) -> int:
        return self.vectors.chunks[0] if self.vectors.chunks else len(self.vectors)

    @cached_property
    def _is_plain(self) -> bool:
        """Whether each chunk is whole rows of float32 as they are, which other software may have repacked."""
        vectors = self.vectors
        return (
            vectors.chunks is not None
            and vectors.chunks[1:] == vectors.shape[1:]
            and vectors.dtype == np.dtype("<f4")
            and vectors.id.get_create_plist().get_nfilters() == 0
        )

    @cached_property
    def _raw(self) -> io.FileIO:
        """The file itself, for reading what HDF5 has located."""
        return io.FileIO(self.path)

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
        """Return some of the manifest columns, (clips,)."""
        return _read_table(self._file["utterances"], names)

    def column(self, name: str) -> np.ndarray:
        """Return one manifest column, text as objects or numbers as float64 (clips,), without reading the others."""
        return _read_column(self._file["utterances"][name])

    def read(self, rows: Any, layers: list[int] | None = None) -> np.ndarray:
        """Read rows of `/vectors` in the order asked for.

        Args:
            rows: row numbers, in any order, repeats allowed.
            layers: positions on the layer axis; None reads them all.

        Returns:
            float32 (rows, layers, width).
        """
        wanted, where = np.unique(np.asarray(rows, dtype=np.int64), return_inverse=True)
        picked = slice(None) if layers is None else layers
        num_layers = len(self.layers) if layers is None else len(layers)
        values = np.empty((len(wanted), num_layers, self.spec.width), np.float32)
        # Neighbours within a chunk lie side by side in the file, so each run of them is one read.
        begins_run = np.ones(len(wanted), dtype=bool)
        begins_run[1:] = (np.diff(wanted) != 1) | (wanted[1:] % self._rows_per_chunk == 0)
        starts = np.flatnonzero(begins_run)
        ends = np.append(starts, len(wanted))[1:]
        for start, end, run in zip(starts, ends, self._runs(wanted[starts], ends - starts), strict=True):
            values[start:end] = run[:, picked]
        return values if np.array_equal(where, np.arange(len(where))) else values[where]

    def _runs(self, firsts: np.ndarray, counts: np.ndarray) -> Iterator[np.ndarray]:
        """Read runs of rows, none across the border of a chunk: float32 (count, layers, width) each.

        HDF5 says where in the file a chunk lies. Reading from there takes microseconds, where a selection through HDF5
        takes a fifth of a millisecond, which a batch of 150 scattered rows pays 150 times. The system is told of all
        runs first, so that a disk fetches them together: nine times as fast as one after the other.
        """
        if not self._is_plain:
            yield from (self.vectors[first : first + count] for first, count in zip(firsts, counts, strict=True))
            return
        shape = (-1, len(self.layers), self.spec.width)
        row_bytes = 4 * shape[1] * shape[2]
        chunks, rows = np.divmod(firsts, self._rows_per_chunk)
        places = (self._offsets_of(chunks) + rows * row_bytes).tolist()
        sizes = (counts * row_bytes).tolist()
        if hasattr(os, "posix_fadvise") and len(places) > 1:
            for place, size in zip(places, sizes, strict=True):
                os.posix_fadvise(self._raw.fileno(), place, size, os.POSIX_FADV_WILLNEED)
        for place, size in zip(places, sizes, strict=True):
            self._raw.seek(place)
            yield np.frombuffer(self._raw.read(size), "<f4").reshape(shape)

    def _offsets_of(self, chunks: np.ndarray) -> np.ndarray:
        """Return where in the file chunks begin, in bytes; HDF5 is asked for each only once."""
        offsets, rows, vectors = self._chunk_offsets, self._rows_per_chunk, self.vectors.id
        unknown = [chunk for chunk in dict.fromkeys(chunks.tolist()) if chunk not in offsets]
        if len(unknown) > _FEW_CHUNKS:
            vectors.chunk_iter(lambda found: offsets.update({found.chunk_offset[0] // rows: found.byte_offset}))
        else:
            found = (vectors.get_chunk_info_by_coord((chunk * rows, 0, 0)) for chunk in unknown)
            offsets.update(zip(unknown, (each.byte_offset for each in found), strict=True))
        return np.array([offsets[chunk] for chunk in chunks.tolist()], dtype=np.int64)

    def read_clip(self, row: int) -> np.ndarray:
        """Read all the vectors of clip `row`: float32 (1, layers, width), or (frames, layers, width)."""
        return self.vectors[self.extent(row)]

    def extent(self, row: int) -> slice:
        """Return which rows of `/vectors` belong to clip `row`."""
        if self.spec.pooling != "frames":
            return slice(row, row + 1)
        start, count = self._file["utterances/frame_start"][row], self._file["utterances/frame_count"][row]
        return slice(int(start), int(start + count))

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        if "_raw" in vars(self):
            self._raw.close()

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def checksum(vectors: np.ndarray) -> int:
    """Return the CRC-32 of a clip's vectors as little-endian float32."""
    return zlib.crc32(np.ascontiguousarray(vectors, dtype="<f4").tobytes())


def _open(path: Path) -> h5py.File:
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
    columns = {name: _read_column(group[name]) for name in names}
    return pd.DataFrame({name: pd.Series(values, dtype=values.dtype) for name, values in columns.items()})


def _read_column(column: h5py.Dataset) -> np.ndarray:
    if h5py.check_string_dtype(column.dtype) is None:
        return column[:]
    return column.asstr()[:].astype(object)
