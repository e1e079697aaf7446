"""Layout of a store: which datasets its HDF5 file has, of which shapes, and where they are: in this file alone.

    /                      attributes: format, version, spec (JSON), software (JSON)
    /vectors               float32 (clips, layers, width), or (frames, layers, width) with frames pooling; float16 if
                           the spec says so
    /layers                names of the layers
    /checksums             uint32 (clips,), CRC-32 of each clip's vectors as float32
    /utterances/<column>   one 1-D dataset per manifest column, text as UTF-8, numbers as float64
    /unreadable/<column>   utterance_id, path, reason
    /speakers              names, and vectors float32 (speakers, layers, width), which PAPT adds to the speaker's clips;
                           present only if the model was pre-trained with speaker embeddings
    /training_clips/<column>   the clips that the encoder was fine-tuned on with their labels, one row each, see
                           `ser_embed.encoders.training_clips`; present only if it was, as the spec's `tuned_on` says

Vectors are not compressed: compression hardly reduces the size of such float32 values, and rows of an uncompressed
chunk can be read one by one. Before the HDF5 file lies its seal, see `ser_embed.store.seal`.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np

from ser_embed.errors import InputError
from ser_embed.manifest import COLUMNS, FRAME_COLUMNS, TRAINING_CLIP_COLUMNS, UNREADABLE_COLUMNS
from ser_embed.reading import reason_of
from ser_embed.spec import EmbeddingSpec
from ser_embed.store.probe import require_harmless
from ser_embed.store.seal import DamagedStore, FileIdentity, check_seal

FORMAT = "ser-embeddings"
VERSION = 2
_READABLE = (1, 2)  # version 1 had no seal
_LARGEST_RATIO = 1100  # of numbers to their compressed bytes; deflate's is 1032


def open_file(path: Path) -> h5py.File:
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
        has_seal, identity = check_seal(path)
        if not has_seal:
            require_harmless(path)
        file = h5py.File(path, "r")
        if identity_of(file) != identity:
            file.close()
            raise InputError(f"the store {path} was replaced by another while it was in use; start again")
        return file
    except InputError:
        raise
    except PermissionError as error:
        raise InputError(f"expected a store, but there is no permission to read {path}") from error
    except (OSError, ValueError) as error:
        raise InputError(f"expected a store (HDF5), but {path} cannot be read as one ({error})") from error


def identity_of(file: h5py.File) -> FileIdentity:
    """Return device and inode of an open file, which a store that replaces it does not share."""
    status = os.fstat(file.id.get_vfd_handle())
    return status.st_dev, status.st_ino


def read_value(file: h5py.File, name: str) -> np.ndarray:
    """Read a column by its path: texts as an array of objects, numbers as they are."""
    dataset = file[name]
    if h5py.check_string_dtype(dataset.dtype) is None:
        return dataset[:]
    return dataset.asstr()[:].astype(object)


@contextlib.contextmanager
def reading(path: Path, part: str) -> Iterator[None]:
    """Turn whatever goes wrong while a part of a store is read into one line that names both.

    h5py raises errors of many kinds for a damaged file.

    Raises:
        InputError: in place of any of them.
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        raise DamagedStore(path, f"its {part} cannot be read ({reason_of(error)})") from error


def check_format(file: h5py.File, path: Path) -> None:
    """Check that a file says it is a store of this version, and that all of it is in the file itself.

    Raises:
        InputError: it is not, or a dataset is a link or a view to elsewhere.
    """
    file_format, version = file.attrs.get("format"), file.attrs.get("version")
    if file_format != FORMAT or version not in _READABLE:
        raise InputError(f"expected a store ({FORMAT} {VERSION}), but {path} is {file_format} {version}")
    for name in file:
        _require_own(file, name, path)
        if isinstance(file[name], h5py.Group):
            for column in file[name]:
                _require_own(file, f"{name}/{column}", path)


def _require_own(file: h5py.File, name: str, path: Path) -> None:
    """Refuse what HDF5 would read from another file, or from another place in this one."""
    if isinstance(file.get(name, getlink=True), h5py.HardLink):
        node = file[name]
        if not isinstance(node, h5py.Dataset) or not (node.is_virtual or node.external):
            return
    raise InputError(f"{path} is no store: its /{name} is a link to data elsewhere, which is not followed")


def check_shapes(file: h5py.File, spec: EmbeddingSpec, path: Path) -> None:
    """Check that the datasets are those of a store, and that their shapes agree with each other and with the spec.

    Args:
        file: the store.
        spec: what its vectors are.
        path: of the file.

    Raises:
        InputError: naming the dataset that is missing or does not fit.
    """

    def require(is_met: bool, problem: str) -> None:
        if not is_met:
            raise DamagedStore(path, problem)

    for name in ("vectors", "layers", "checksums", "utterances", "unreadable"):
        require(name in file, f"it has no /{name}")
    clips, vectors, has_frames = file["checksums"].shape[0], file["vectors"], spec.pooling == "frames"
    expected = (vectors.shape[0] if has_frames else clips, len(spec.layers), spec.width)
    require(vectors.shape == expected, f"/vectors has the shape {vectors.shape}, expected {expected}")
    require(vectors.dtype.kind == "f", f"/vectors holds {vectors.dtype}")
    columns = {
        "utterances": (*COLUMNS, *(FRAME_COLUMNS if has_frames and clips else ())),
        "unreadable": UNREADABLE_COLUMNS,
        **({"training_clips": TRAINING_CLIP_COLUMNS} if "training_clips" in file else {}),
    }
    for group, names in columns.items():
        missing = [name for name in names if name not in file[group]]
        require(not missing, f"it has no /{group}/{', '.join(missing)}")
        length = clips if group == "utterances" else file[f"{group}/{names[0]}"].shape[0]
        for name, column in file[group].items():
            require(column.shape == (length,), f"/{group}/{name} has the shape {column.shape}, expected ({length},)")
            is_text = h5py.check_string_dtype(column.dtype) is not None
            require(is_text or column.dtype.kind in "fiu", f"/{group}/{name} holds {column.dtype}")
            # A dataset may claim any length without taking space for it.
            is_there = column.nbytes <= _LARGEST_RATIO * column.id.get_storage_size()
            require(is_there, f"/{group}/{name} claims {length} rows, which are not in the file")
    if "speakers" in file:
        shape = file["speakers/vectors"].shape
        require(shape == (file["speakers/names"].shape[0], *expected[1:]), f"/speakers/vectors has the shape {shape}")
