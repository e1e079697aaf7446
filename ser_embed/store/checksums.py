"""Checksums of what a store holds: of each clip's vectors, of each column, and of the store's own description.

CRC-32 is that of zlib, computed by zlib-ng, which is four times as fast: checking vectors then costs less than reading
them.
"""

import json
from collections.abc import Iterable

import h5py
import numpy as np
from zlib_ng import zlib_ng

CONTENTS = "contents"  # attribute of a store: JSON, the checksum of each of its columns and other attributes, by name


def checksum(vectors: np.ndarray) -> int:
    """Return the CRC-32 of a clip's vectors as little-endian float32."""
    return zlib_ng.crc32(np.ascontiguousarray(vectors, dtype="<f4").data)


def row_checksums(rows: np.ndarray) -> np.ndarray:
    """Return the CRC-32 of each row of vectors, float32 (rows, ...), as `checksum` gives it: uint32 (rows,)."""
    flat = np.ascontiguousarray(rows, dtype="<f4").reshape(len(rows), -1)
    return np.fromiter(map(zlib_ng.crc32, flat), np.uint32, len(flat))


def column_checksum(values: np.ndarray) -> int:
    """Return the CRC-32 of a column: of numbers as little-endian float64, of texts as UTF-8, each ended by a zero byte.

    Args:
        values: numbers of any shape, or texts (clips,).
    """
    if values.dtype == object:
        return zlib_ng.crc32(b"".join(text.encode() + b"\0" for text in values))
    return zlib_ng.crc32(np.ascontiguousarray(values, dtype="<f8").tobytes())


def all_finite(vectors: np.ndarray) -> bool:
    """Return whether float32 vectors hold neither NaN nor infinity; their sum tells so in one pass."""
    with np.errstate(all="ignore"):
        return bool(np.isfinite(vectors.sum()) or np.isfinite(vectors).all())  # a sum may overflow


def describe_contents(file: h5py.File, names: Iterable[str]) -> str:
    """Return what `CONTENTS` is to hold.

    Args:
        file: the store, complete.
        names: the datasets and attributes to sum.
    """
    return json.dumps({name: column_checksum(read_value(file, name)) for name in names}, sort_keys=True)


def read_value(file: h5py.File, name: str) -> np.ndarray:
    """Read a column, or an attribute of the file, by its name: texts as objects, numbers as they are."""
    if name in file.attrs:
        return np.array([str(file.attrs[name])], dtype=object)
    dataset = file[name]
    if h5py.check_string_dtype(dataset.dtype) is None:
        return dataset[:]
    return dataset.asstr()[:].astype(object)
