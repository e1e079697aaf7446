"""Reader of a store: one HDF5 file of vectors with the manifest of the clips that they were extracted from.

Everything is checked: when the file is opened, all but the vectors, against its seal; when vectors are read, against
their checksums and for NaN and infinity, once for each clip. `ser_embed.store.layout` describes the file and
`ser_embed.store.writer` writes it.
"""

import json
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

from ser_embed.encoders.training_clips import describe, no_training_clips
from ser_embed.errors import InputError
from ser_embed.manifest import FRAME_COLUMNS, TRAINING_CLIP_COLUMNS, UNREADABLE_COLUMNS, tidy
from ser_embed.spec import EmbeddingSpec
from ser_embed.store.checksums import all_finite
from ser_embed.store.layout import check_format, check_shapes, identity_of, open_file, read_value, reading
from ser_embed.store.seal import DamagedStore, FileIdentity
from ser_embed.store.vectors import VectorReader


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
        self._file = open_file(self.path)
        try:
            with reading(self.path, "description"):
                check_format(self._file, self.path)
                self.spec = EmbeddingSpec.from_json(str(self._file.attrs["spec"]))
                self.software: dict[str, Any] = json.loads(str(self._file.attrs["software"]))
                check_shapes(self._file, self.spec, self.path)
                self.layers = tuple(map(str, self._value("layers")))
            if self.layers != self.spec.layers:
                raise DamagedStore(self.path, f"/layers names {' '.join(self.layers)}")
            if identity not in (None, self.identity):
                raise InputError(f"the store {self.path} was replaced by another while it was in use; start again")
        except InputError as error:
            self._file.close()
            if str(self.path) in str(error):
                raise
            raise DamagedStore(self.path, str(error)) from error

    def _value(self, name: str) -> np.ndarray:
        """Read a column by its path, such as "utterances/speaker": texts as an array of objects, numbers as they are.

        Raises:
            InputError: it cannot be read.
        """
        with reading(self.path, name):
            return read_value(self._file, name)

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
        return self._table("unreadable", UNREADABLE_COLUMNS)

    @cached_property
    def speaker_vectors(self) -> dict[str, np.ndarray]:
        """The speakers' vectors that a pre-training with speaker embeddings learned, float32 (layers, width) each."""
        if "speakers" not in self._file:
            return {}
        vectors = self._value("speakers/vectors")
        if not all_finite(vectors):
            raise InputError(f"the speakers' vectors in {self.path} hold NaN or infinity")
        return dict(zip(self._value("speakers/names").tolist(), vectors, strict=True))

    @cached_property
    def training_clips(self) -> pd.DataFrame:
        """The clips that the encoder was fine-tuned on with their labels, `TRAINING_CLIP_COLUMNS`; none if it was not.

        Raises:
            InputError: they are not those that the spec sums up.
        """
        with reading(self.path, "training clips"):
            is_tuned = "training_clips" in self._file
            clips = self._table("training_clips", TRAINING_CLIP_COLUMNS) if is_tuned else no_training_clips()
            if describe(clips) != self.spec.tuned_on:
                raise DamagedStore(
                    self.path,
                    f"its encoder was tuned on {self.spec.tuned_on}, its /training_clips are {describe(clips)}",
                )
        return clips

    @property
    def identity(self) -> FileIdentity:
        """Device and inode of the open file, which a store that replaces it does not share."""
        return identity_of(self._file)

    @property
    def checksums(self) -> np.ndarray:
        """CRC-32 of each clip's vectors, uint32 (clips,)."""
        return self._checksums

    @cached_property
    def _checksums(self) -> np.ndarray:
        return self._value("checksums").astype(np.uint32)

    @property
    def is_sealed(self) -> bool:
        """Whether all but the vectors has a checksum too; a store of an earlier version has those of vectors alone."""
        return self._file.userblock_size > 0

    def __len__(self) -> int:
        """Return the number of clips."""
        return self._file["checksums"].shape[0]

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the manifest columns."""
        return tuple(self._file["utterances"])

    def table(self, names: Iterable[str]) -> pd.DataFrame:
        """Return the named manifest columns as a table with one row per clip."""
        return self._table("utterances", names)

    def column(self, name: str) -> np.ndarray:
        """Return one manifest column (clips,), text as objects or numbers as float64; the others are not read."""
        return self._value(f"utterances/{name}")

    def _table(self, group: str, names: Iterable[str]) -> pd.DataFrame:
        columns = {name: self._value(f"{group}/{name}") for name in names}
        return pd.DataFrame({name: pd.Series(values, dtype=values.dtype) for name, values in columns.items()})

    def read(self, rows: Any, layers: list[int] | None = None) -> np.ndarray:
        """Read the vectors of clips, in the order of `rows`, from a store that has one of each.

        Args:
            rows: row numbers, in any order; repeats are allowed.
            layers: positions on the layer axis; None reads all layers.

        Returns:
            float32 (rows, layers, width).

        Raises:
            InputError: they cannot be read, are not what was written, or hold NaN or infinity.
        """
        with reading(self.path, "vectors"):
            return self._reader.read(np.asarray(rows, dtype=np.int64), layers)

    @cached_property
    def _reader(self) -> VectorReader:
        return VectorReader(self._file, self.path, self._checksums, lambda row: str(self.column("utterance_id")[row]))

    def read_clip(self, row: int) -> np.ndarray:
        """Read a clip's vectors: float32 (1, layers, width), or (frames, layers, width) with frames pooling.

        Raises:
            InputError: they cannot be read, are not what was written, or hold NaN or infinity.
        """
        vectors = self.read_unchecked(row)
        self._reader.check(np.array([row]), vectors[np.newaxis])
        return vectors

    def read_unchecked(self, row: int) -> np.ndarray:
        """Read a clip's vectors as `read_clip` does, whatever they are.

        Raises:
            InputError: they cannot be read.
        """
        with reading(self.path, "vectors"):
            return self.vectors[self.extent(row)].astype(np.float32, copy=False)

    def extent(self, row: int) -> slice:
        """Return the rows of `/vectors` that belong to clip `row`."""
        if self.spec.pooling != "frames":
            return slice(row, row + 1)
        return slice(*self._frame_extents[row].tolist())

    @cached_property
    def _frame_extents(self) -> np.ndarray:
        """First row of each clip and the one after its last, int64 (clips, 2)."""
        starts, counts = (self.column(name) for name in FRAME_COLUMNS)
        extents = np.stack([starts, starts + counts], axis=1)
        is_whole = np.isfinite(extents).all() and (extents == np.floor(extents)).all()
        if not is_whole or (starts < 0).any() or (counts < 1).any() or (extents > len(self.vectors)).any():
            raise DamagedStore(self.path, "frames that it does not have belong to its clips")
        return extents.astype(np.int64)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
