"""Reading of files that may be damaged or hostile: an error is one line, and no file takes more memory than its length.

JSON is strict: UTF-8, finite numbers, no key twice. Arrays are .npz files as `numpy.savez` writes them: uncompressed,
without Python objects, so that what a file declares can be held against its length before anything is allocated.
Documents can be signed with a digest of their content, which tells an edit or a flipped bit from what was written.
"""

import contextlib
import io
import json
import math
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePath
from typing import Any, NoReturn

import numpy as np

from ser_embed.errors import InputError
from ser_embed.files import digest_of

DIGEST = "digest"  # the key of a signed document that holds the digest of all others
_MOST_JSON_BYTES = 256 << 20  # a run of a thousand folds, each with the names of a thousand speakers, has 20 MB
_LONGEST_REASON = 300  # characters
_NUMBERS = "biuf"  # kinds of dtype
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


@contextlib.contextmanager
def input_error_on_read(failure: str, *, of_parts: bool = False) -> Iterator[None]:
    """Turn whatever a damaged file makes its reader raise into an error of one line.

    Any exception is meant: what parsers of zip archives, HDF5, CSV or Keras configurations raise on garbage is written
    down nowhere, and differs from version to version.

    Args:
        failure: what could not be done with which file, such as "the profile x.json is damaged".
        of_parts: whether the block's own InputErrors tell of a part of the file without naming it, as those of
            settings do; else they name a file, and pass as they are.

    Raises:
        InputError: `failure` with the reason.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, InputError) and not of_parts:
            raise
        raise InputError(f"{failure} ({reason_of(error)})") from error


def reason_of(error: Exception) -> str:
    """Return what went wrong, in one line."""
    if isinstance(error, KeyError):
        return shortened(f"it has no {error}")
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return shortened(reason or type(error).__name__)


def shortened(text: str) -> str:
    """Return a text in one line of at most 300 characters."""
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST_REASON else f"{line[:_LONGEST_REASON]} ..."


def expect(is_right: bool, expected: str, value: Any) -> None:
    """Check a value that was read.

    Args:
        is_right: the outcome.
        expected: what the value has to be.
        value: what it is.

    Raises:
        ValueError: it is not right; the message has both.
    """
    if not is_right:
        raise ValueError(f"expected {expected}, not {shortened(repr(value))}")


def is_number(value: Any) -> bool:
    """Tell whether a JSON value is a finite number."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def is_count(value: Any) -> bool:
    """Tell whether a JSON value is a whole number from 0 on."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def are_names(values: Any) -> bool:
    """Tell whether a JSON value is a list of texts that differ."""
    return isinstance(values, list) and all(isinstance(value, str) for value in values) and _differ(values)


def path_inside(folder: Path, name: Any) -> Path:
    """Return the path of a file or folder that a document in `folder` names.

    Raises:
        ValueError: `name` is no relative path, or it or a link leads out of the folder.
    """
    expect(isinstance(name, str), "the name of a file", name)
    path, root = folder / name, folder.resolve()
    is_plain = not PurePath(name).is_absolute() and ".." not in PurePath(name).parts
    expect(is_plain and root in path.resolve().parents, f"a path inside {folder}", name)
    return path


def read_json(path: Path) -> Any:
    """Read a JSON document.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no regular file, is too large, or is not strict JSON in UTF-8.
        RecursionError: it is nested too deeply.
    """
    expect(path.is_file(), "a file", str(path))
    size = path.stat().st_size
    expect(size <= _MOST_JSON_BYTES, f"at most {_MOST_JSON_BYTES} bytes", size)
    return parse_json(path.read_bytes())


def parse_json(data: bytes) -> Any:
    """Parse a JSON document; see `read_json`.

    >>> parse_json(b'{"rate_hz": 16000}')
    {'rate_hz': 16000}
    """
    document = json.loads(
        data.decode("utf-8"), object_pairs_hook=_object, parse_float=_finite, parse_constant=_not_finite
    )
    _canonical(document)  # has no bytes where a text holds half a character
    return document


def signed(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return a JSON document with the digest of its content, in place of an older one."""
    content = {key: value for key, value in document.items() if key != DIGEST}
    return {**content, DIGEST: digest_of(_canonical(content))}


def is_as_signed(document: Mapping[str, Any]) -> bool:
    """Tell whether a document with a digest has the content that was signed."""
    return signed(document)[DIGEST] == document[DIGEST]


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Read all arrays of an .npz file that `numpy.savez` wrote.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no regular file, declares more than it holds, or holds anything but arrays of numbers.
        zipfile.BadZipFile: it is no archive, or one of its checksums is wrong.
    """
    with open_archive(path) as archive:
        names = archive.namelist()
        expect(_differ(names) and all(name.endswith(".npy") for name in names), "arrays by their names", names)
        return {name.removesuffix(".npy"): _parse_array(archive.read(name), name) for name in names}


@contextlib.contextmanager
def open_archive(path: Path, expansion: int = 1) -> Iterator[zipfile.ZipFile]:
    """Open a zip archive whose members together are not longer than the archive itself.

    Args:
        path: the archive.
        expansion: so many times longer they may be, for members that are compressed.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no regular file, or declares more than that.
        zipfile.BadZipFile: it is no archive.
    """
    expect(path.is_file(), "a file", str(path))
    with zipfile.ZipFile(path) as archive:
        declared, size = sum(member.file_size for member in archive.infolist()), path.stat().st_size
        expect(declared <= expansion * size, f"at most {expansion * size} bytes in a file of {size}", declared)
        yield archive


def _parse_array(data: bytes, name: str) -> np.ndarray:
    """Return the array of an .npy file after its header has been held against its length."""
    buffer = io.BytesIO(data)
    version = np.lib.format.read_magic(buffer)
    expect(version in _HEADERS, f"a version of {name} among {', '.join(map(str, _HEADERS))}", version)
    shape, _, dtype = _HEADERS[version](buffer)
    expect(dtype.kind in _NUMBERS, f"numbers in {name}", dtype)
    declared, length = math.prod(shape) * dtype.itemsize, len(data) - buffer.tell()
    expect(declared == length, f"{length} bytes of numbers in {name}", declared)
    buffer.seek(0)
    return np.lib.format.read_array(buffer, allow_pickle=False)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = [key for key, _ in pairs]
    expect(_differ(keys), "each key once", keys)
    return dict(pairs)


def _finite(text: str) -> float:
    expect(math.isfinite(float(text)), "a finite number", text)
    return float(text)


def _not_finite(text: str) -> NoReturn:
    raise ValueError(f"expected a finite number, not {text}")


def _canonical(document: Any) -> bytes:
    """Return the one form of a JSON document that its digest is taken of."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _differ(values: list[str]) -> bool:
    return len(set(values)) == len(values)
