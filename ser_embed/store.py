"""The store: one HDF5 file of vectors with the manifest of the clips they came from.

Layout (see also the README):

    /                      attributes: format, version, spec (JSON), software (JSON)
    /vectors               float32 (clips, layers, width), or (frames, layers, width) with frames pooling
    /layers                names of the layers
    /checksums             uint32 (clips,), CRC-32 of each clip's vectors as stored
    /utterances/<column>   one 1-D dataset per manifest column, text as UTF-8, numbers as float64
    /unreadable/<column>   utterance_id, path, reason

A store is never written in place. `StoreWriter` fills a temporary file beside it, which replaces the old one in a
single rename once it is whole and on disk. Vectors are not compressed: float32 of this kind hardly shrinks, and an
uncompressed chunk lets HDF5 read one row or one layer without the rest.
"""

import io
import json
import os
import zlib
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

from ser_embed.errors import InputError
from ser_embed.manifest import build_manifest, tidy
from ser_embed.spec import EmbeddingSpec

FORMAT = "ser-embeddings"
VERSION = 1
CLIPS_PER_CHUNK = 100  # one part file's worth of clips
FRAMES_PER_CHUNK = 1000  # 20 s of HuBERT frames
UNREADABLE_COLUMNS = ("utterance_id", "path", "reason")
_TEXT = h5py.string_dtype("utf-8")


class Store:
    """Read access to a store. Opening reads no vectors and no clips; use it in a `with` statement.

    >>> with Store("embeddings/mfcc.h5") as store:  # doctest: +SKIP
    ...     vectors = store.read(range(10))
    """

    def __init__(self, path: str | Path) -> None:
        """Open the store at `path`.

        Raises:
            InputError: there is no such file, or it is not a store of this version.
        """
        self.path = Path(path)
        if not self.path.is_file():
            raise InputError(f"no store at {self.path}; make one with: python -m ser_embed.extract --model NAME")
        try:
            self._file = h5py.File(self.path, "r")
        except OSError as error:
            raise InputError(f"expected a store (HDF5), but {self.path} cannot be read as one ({error})") from error
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

    @property
    def vectors(self) -> h5py.Dataset:
        """The vectors on disk, float32 (clips or frames, layers, width)."""
        return self._file["vectors"]

    @cached_property
    def utterances(self) -> pd.DataFrame:
        """The manifest of the stored clips; row i describes clip i."""
        return tidy(_read_table(self._file["utterances"]))

    @cached_property
    def unreadable(self) -> pd.DataFrame:
        """The clips that could not be read, with the reason for each."""
        return _read_table(self._file["unreadable"])[list(UNREADABLE_COLUMNS)]

    @cached_property
    def _rows_per_chunk(self) -> int:
        return self.vectors.chunks[0]

    @cached_property
    def _is_filtered(self) -> bool:
        return self.vectors.id.get_create_plist().get_nfilters() > 0

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
        ends = np.flatnonzero((np.diff(wanted) != 1) | (wanted[1:] % self._rows_per_chunk == 0)) + 1
        start = 0
        for end in [*ends.tolist(), len(wanted)] if len(wanted) else []:
            values[start:end] = self._neighbours(int(wanted[start]), end - start)[:, picked]
            start = end
        return values if np.array_equal(where, np.arange(len(where))) else values[where]

    def _neighbours(self, start: int, count: int) -> np.ndarray:
        """Read rows that follow one another within a chunk: float32 (count, layers, width).

        HDF5 says where in the file a chunk lies. Reading it from there takes microseconds, where a selection through
        HDF5 takes a fifth of a millisecond, which a batch of 150 scattered rows pays 150 times.
        """
        if self._is_filtered:  # repacked by other software: only HDF5 can decode it
            return self.vectors[start : start + count]
        chunk, row = divmod(start, self._rows_per_chunk)
        offset = self._chunk_offsets.get(chunk)
        if offset is None:
            offset = self.vectors.id.get_chunk_info_by_coord((start - row, 0, 0)).byte_offset
            self._chunk_offsets[chunk] = offset
        shape = (count, len(self.layers), self.spec.width)
        row_bytes = 4 * shape[1] * shape[2]
        self._raw.seek(offset + row * row_bytes)
        return np.frombuffer(self._raw.read(count * row_bytes), "<f4").reshape(shape)

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


class StoreWriter:
    """Writes a new store in one piece: nothing appears at `path` before `commit`, and then all of it.

    Used in a `with` statement; leaving it without `commit` removes the temporary file.
    """

    def __init__(self, path: Path, spec: EmbeddingSpec, software: Mapping[str, Any]) -> None:
        """Open a temporary file beside `path`.

        Raises:
            OSError: the folder cannot be written to.
        """
        self.path = path
        self._temporary = path.with_name(f"{path.name}.tmp-{os.getpid()}")
        self._frames = spec.pooling == "frames"
        self._disk = _CheckedFile(self._temporary, "w+")
        self._file = h5py.File(self._disk, "w")
        self._file.attrs.update(
            format=FORMAT, version=VERSION, spec=spec.to_json(), software=json.dumps(dict(software))
        )
        self._file.create_dataset("layers", data=list(spec.layers), dtype=_TEXT)
        shape = (len(spec.layers), spec.width)
        rows = FRAMES_PER_CHUNK if self._frames else CLIPS_PER_CHUNK
        self._vectors = self._file.create_dataset(
            "vectors", (0, *shape), "float32", maxshape=(None, *shape), chunks=(rows, *shape)
        )
        self._clips: list[pd.DataFrame] = []
        self._checksums: list[int] = []
        self._unreadable: list[pd.DataFrame] = []

    def add(self, clips: pd.DataFrame, vectors: list[np.ndarray]) -> None:
        """Append clips with their vectors.

        Args:
            clips: manifest rows.
            vectors: one float32 (layers, width) per clip, or (frames, layers, width) with frames pooling.
        """
        if not vectors:
            return
        start = self._vectors.shape[0]
        if self._frames:
            counts = np.array([len(vector) for vector in vectors], dtype=np.float64)
            clips = clips.assign(frame_start=start + np.cumsum(counts) - counts, frame_count=counts)
        rows = np.concatenate(vectors) if self._frames else np.stack(vectors)
        self._vectors.resize(start + len(rows), axis=0)
        self._vectors[start:] = rows
        self._clips.append(clips)
        self._checksums += [checksum(vector) for vector in vectors]
        self._check_disk()

    def add_unreadable(self, clips: pd.DataFrame) -> None:
        """Append clips that could not be read: utterance_id, path, reason."""
        self._unreadable.append(clips[list(UNREADABLE_COLUMNS)])

    def commit(self) -> None:
        """Write the tables, flush everything to disk and rename the file to `path`."""
        empty = pd.DataFrame(columns=list(UNREADABLE_COLUMNS), dtype=object)
        clips = tidy(pd.concat(self._clips, ignore_index=True)) if self._clips else build_manifest([])
        _write_table(self._file.create_group("utterances"), clips)
        _write_table(self._file.create_group("unreadable"), pd.concat([empty, *self._unreadable], ignore_index=True))
        self._file.create_dataset("checksums", data=np.array(self._checksums, dtype=np.uint32))
        self._file.close()
        self._check_disk()
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

    def _check_disk(self) -> None:
        if self._disk.error is not None:
            raise OSError(
                self._disk.error.errno, f"cannot write the store: {self._disk.error.strerror}", str(self.path)
            )


class _CheckedFile(io.FileIO):
    """A file that remembers the first failed write and lets the later ones pass.

    A full disk met inside HDF5 leaves it unable to close its file, which it then reports at length and at the wrong
    time. It is never told here; the writer looks at `error` and gives up in good order.
    """

    error: OSError | None = None

    def write(self, data: Any) -> int:
        """Write all of `data`, or remember why not."""
        rest = memoryview(data).cast("B")
        while len(rest) and self.error is None:
            try:
                rest = rest[super().write(rest) :]
            except OSError as error:
                self.error = error
        return len(memoryview(data).cast("B"))

    def truncate(self, size: int | None = None) -> int:
        """Set the file's size, or remember why not."""
        try:
            return super().truncate(size)
        except OSError as error:
            self.error = self.error or error
            return size or 0


def checksum(vectors: np.ndarray) -> int:
    """Return the CRC-32 of a clip's vectors as little-endian float32."""
    return zlib.crc32(np.ascontiguousarray(vectors, dtype="<f4").tobytes())


def flush_to_disk(path: Path) -> None:
    """Make the operating system write a file, or a folder's list of names, to the disk before going on."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _write_table(group: h5py.Group, table: pd.DataFrame) -> None:
    for name in table.columns:
        column = table[name]
        if pd.api.types.is_numeric_dtype(column):
            group.create_dataset(name, data=column.to_numpy(np.float64))
        else:
            group.create_dataset(name, data=column.to_numpy(object), dtype=_TEXT)


def _read_table(group: h5py.Group) -> pd.DataFrame:
    return pd.DataFrame({name: _read_column(group[name]) for name in group})


def _read_column(column: h5py.Dataset) -> np.ndarray:
    if h5py.check_string_dtype(column.dtype) is None:
        return column[:]
    return column.asstr()[:].astype(object)
