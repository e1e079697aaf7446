"""Mutations of files: bits, bytes, JSON values and arrays changed at random, and files swapped, removed or replaced."""

import io
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

Generator = np.random.Generator
_VALUES: list[Any] = [
    None, True, False, 0, 1, -1, 2, 10**30, 0.5, 1e308, -1e-308, float("nan"), float("inf"), "", "x", "\ud800", "\0",
    "../x", "/etc/passwd", ".", "a" * 5000, [], [None], [[]], {}, {"x": 1}, ["x", "x"],
]  # fmt: skip


def change_bytes(random: Generator, data: bytes) -> bytes:
    """Return a file's bytes with some of them flipped, zeroed, cut off, inserted or replaced."""
    changed = bytearray(data)
    start, length = int(random.integers(len(data) + 1)), int(random.integers(1, 200))
    kind = random.choice(["flip", "flip", "flip", "zero", "truncate", "insert", "garbage", "empty", "repeat"])
    if kind == "flip" and data:
        for position in random.integers(len(data), size=random.integers(1, 4)):
            changed[position] ^= 1 << int(random.integers(8))
    elif kind == "zero":
        changed[start : start + length] = bytes(len(changed[start : start + length]))
    elif kind == "truncate":
        del changed[start:]
    elif kind == "insert":
        changed[start:start] = random.bytes(length)
    elif kind == "garbage":
        changed = bytearray(random.bytes(length))
    elif kind == "empty":
        changed.clear()
    else:
        changed += changed[-length:]
    return bytes(changed)


def change_json(random: Generator, data: bytes) -> bytes:
    """Return a JSON document with one value replaced, removed, reversed or nested deeply."""
    document = json.loads(data)
    container, key = _any_place(random, document)
    kind = random.choice(["value", "value", "value", "scale", "remove", "reverse", "nest", "number"])
    value = container[key]
    if kind == "remove":
        del container[key]
    elif kind == "reverse" and isinstance(value, list):
        container[key] = value[::-1]
    elif kind == "scale" and isinstance(value, (int, float)):
        container[key] = value * float(random.choice([-1.0, 0.0, 2.0, 1e300]))
    elif kind == "nest":
        depth = int(random.choice([10, 100_000]))
        return data.replace(json.dumps(value).encode(), b"[" * depth + b"]" * depth, 1)
    elif kind == "number":
        return data.replace(
            json.dumps(value).encode(), random.choice([b"1e999", b"-NaN", b"1_0", b"00", b"9" * 5000]), 1
        )
    else:
        container[key] = _VALUES[int(random.integers(len(_VALUES)))]
    return json.dumps(document, indent=2).encode()


def change_arrays(random: Generator, data: bytes) -> bytes:
    """Return an .npz file with one array of another type, shape, order or with other values, or without it."""
    with np.load(io.BytesIO(data)) as file:
        arrays = dict(file)
    name = str(random.choice(list(arrays)))
    array = arrays[name]
    changes: list[Callable[[], np.ndarray]] = [
        lambda: array.astype(random.choice(["f2", "f8", "i4", "u1", "S3", "c8", "?"])),
        lambda: np.full_like(array, random.choice([0, 1, 100])),
        lambda: (array * np.nan).astype(array.dtype) if array.dtype.kind == "f" else -1 - array,
        lambda: array[..., np.newaxis],
        lambda: array.T,
        lambda: np.concatenate([array, array]) if array.ndim else np.stack([array, array]),
        lambda: array[:0] if array.ndim else array,
        lambda: array[::-1] if array.ndim else -array,
        lambda: -array,
        lambda: np.array([{"x": name}, None], dtype=object),
        lambda: random.permutation(array.ravel()).reshape(array.shape),
    ]
    if random.random() < 0.1:
        del arrays[name]
    else:
        arrays[name] = changes[int(random.integers(len(changes)))]()
    buffer = io.BytesIO()
    (np.savez_compressed if random.random() < 0.1 else np.savez)(buffer, **arrays)
    return buffer.getvalue()


@contextmanager
def changed_file(random: Generator, path: Path, others: Sequence[Path]) -> Iterator[None]:
    """Change a file for the length of a block.

    Args:
        random: draws the change.
        path: the file.
        others: files whose content may take its place.
    """
    data = path.read_bytes()
    special = {".json": change_json, ".npz": change_arrays}.get(path.suffix, change_bytes)
    kind = random.choice(["bytes", "special", "swap", "remove", "folder"], p=[0.5, 0.4, 0.06, 0.02, 0.02])
    if kind in ("remove", "folder"):
        path.unlink()
        if kind == "folder":
            path.mkdir()
    elif kind == "swap":
        path.write_bytes(others[int(random.integers(len(others)))].read_bytes())
    else:
        path.write_bytes((change_bytes if kind == "bytes" else special)(random, data))
    try:
        yield
    finally:
        if path.is_dir():
            shutil.rmtree(path)
        path.write_bytes(data)


def _any_place(random: Generator, document: Any) -> tuple[Any, Any]:
    """Return a container inside a JSON document and one of its keys, more often near the top."""
    container: Any = document
    while True:
        keys = list(container) if isinstance(container, dict) else range(len(container))
        key = keys[int(random.integers(len(keys)))]
        if not isinstance(container[key], (dict, list)) or not container[key] or random.random() < 0.2:
            return container, key
        container = container[key]
