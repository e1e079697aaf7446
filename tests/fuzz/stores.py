"""Fuzz target of stores: whatever is changed in the file, what is read is what was written, or it is refused."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

from ser_embed.encoders.training_clips import describe, merge_training_clips
from ser_embed.errors import InputError
from ser_embed.manifest import TRAINING_CLIP_COLUMNS
from ser_embed.store.reader import Store
from ser_embed.store.writer import StoreWriter
from tests.fuzz.mutations import change_bytes
from tests.ser_embed.store.conftest import make_manifest, make_spec

_CLIPS = 40


def prepare(folder: Path) -> Callable[[int], str]:
    """Make stores in an empty folder; return the function that tries, by a seed, one of them changed."""
    paths = {pooling: _write(folder / f"{pooling}.h5", pooling) for pooling in ("mean", "frames")}
    whole = {pooling: path.read_bytes() for pooling, path in paths.items()}
    expected = {pooling: _content(path) for pooling, path in paths.items()}
    path = folder / "changed.h5"

    def case(seed: int) -> str:
        draws = np.random.default_rng(seed)
        pooling = str(draws.choice(["mean", "mean", "frames"]))
        if draws.random() < 0.7:
            path.write_bytes(_damage(draws, whole[pooling]))
        else:
            path.write_bytes(whole[pooling])
            try:
                with h5py.File(path, "r+") as file:
                    _edit(draws, file, paths["mean"])
            except (OSError, ValueError, TypeError, KeyError, RuntimeError):
                return "right"  # h5py would not write that
        try:
            content = _content(path)
        except InputError as error:
            return "refused" if "\n" not in str(error) else f"wrong: lines {str(error)!r}"
        return "right" if content == expected[pooling] else f"wrong: {pooling}, case {seed}"

    return case


def _write(path: Path, pooling: str) -> Path:
    random = np.random.default_rng(1)
    clips = make_manifest(_CLIPS, age=[float(age) for age in range(_CLIPS)], note=[f"n{i % 7}" for i in range(_CLIPS)])
    shape = [(int(random.integers(1, 6)), 2, 8) if pooling == "frames" else (2, 8) for _ in range(_CLIPS)]
    vectors = [random.normal(size=size).astype(np.float32) for size in shape]
    unreadable = make_manifest(2).assign(reason="empty: 0 bytes", utterance_id=["c/x", "c/y"])
    learned = pd.DataFrame(
        [{**dict.fromkeys(TRAINING_CLIP_COLUMNS, f"l{i}"), "part": "train"} for i in range(_CLIPS)], dtype=object
    )
    learned = merge_training_clips(learned)
    spec = dataclasses.replace(make_spec(2, 8, pooling), tuned_on=describe(learned))
    with StoreWriter(path, spec, {"python": "3", "data": "/data"}) as writer:
        writer.add(clips, vectors)
        writer.add_unreadable(unreadable)
        writer.add_training_clips(learned)
        writer.commit()
    return path


def _content(path: Path) -> list[Any]:
    """Return all that a store can be asked for."""
    with Store(path) as store:
        rows = range(len(store))
        vectors = [store.read_clip(row).tobytes() for row in rows]
        if store.spec.pooling != "frames":
            vectors += [store.read(list(rows)[::3], [1]).tobytes()]
        tables = [table.to_json() for table in (store.utterances, store.unreadable)]
        return [
            store.spec,
            store.software,
            store.layers,
            *tables,
            vectors,
            sorted(store.speaker_vectors),
            store.training_clips.to_json(),
        ]


def _damage(random: np.random.Generator, data: bytes) -> bytes:
    if random.random() < 0.2:
        start, end = sorted(int(position) for position in random.integers(len(data) + 1, size=2))
        return data[:start] + bytes(end - start) + data[end:]  # blocks never written
    return change_bytes(random, data)


def _edit(random: np.random.Generator, file: h5py.File, other: Path) -> None:
    """Change something in a store as other software might, or an attacker."""
    names: list[str] = []
    file.visit(names.append)
    name = names[int(random.integers(len(names)))]
    node = file[name]
    kind = int(random.integers(9))
    if kind == 0:
        del file[name]
    elif kind == 1 and isinstance(node, h5py.Dataset) and node.size:
        row = int(random.integers(node.shape[0]))
        node[row] = b"c/0003" if node.dtype.kind == "O" else random.choice([0, 1, -1, 1e300, np.nan, np.inf])
    elif kind == 2:
        del file[name]
        shape = tuple(random.choice([0, 1, 40, 2**20, 2**40], size=int(random.integers(0, 4))).tolist())
        file.create_dataset(name, shape, random.choice(["f4", "f8", "i8", "S3"]), chunks=bool(shape) or None)
    elif kind == 3:
        del file[name]
        link = random.choice(np.array([h5py.ExternalLink(other, name), h5py.SoftLink("/vectors")], dtype=object))
        file[name] = link
    elif kind == 4:
        file.move(name, name + random.choice(["x", "-", "é"]))
    elif kind == 5:
        attribute = str(random.choice(list(file.attrs)))
        values: list[Any] = ["", "{}", "[]", "null", "\x00", 7, 1.5, [1, 2], "NaN", str(file.attrs[attribute])[:-3]]
        file.attrs[attribute] = values[int(random.integers(len(values)))]
    elif kind == 6 and isinstance(node, h5py.Dataset) and node.ndim:
        values = node[:]
        del file[name]
        file[name] = values[::-1] if random.random() < 0.5 else values[:-1]
    elif kind == 7:
        del file[name]
        file.create_group(name)
    else:
        file.create_dataset(f"utterances/{random.choice(['new', 'a b', 'x.y'])}", data=random.normal(size=_CLIPS))
