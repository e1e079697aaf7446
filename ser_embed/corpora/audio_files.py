"""Listing and finding the audio files of a folder. No file is opened."""

import os
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from ser_embed.errors import InputError

SUFFIXES = (".wav", ".flac", ".ogg", ".opus", ".mp3")  # best first: of a clip in several formats the first is used


def audio_files(folder: Path) -> list[PurePosixPath]:
    """Return the audio files under `folder`, as sorted paths relative to it.

    Links to folders are followed, each folder once. Hidden files and folders are not listed, and so neither are the
    `._*` files that macOS leaves in archives.
    """
    return sorted(_walk(folder))


def _walk(folder: Path) -> Iterator[PurePosixPath]:
    seen = set()
    for top, folders, names in os.walk(folder, followlinks=True):
        place = os.path.realpath(top)
        if place in seen:
            folders.clear()
            continue
        seen.add(place)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        inside = PurePosixPath(Path(top).relative_to(folder).as_posix())
        for name in names:
            if name.lower().endswith(SUFFIXES) and not name.startswith("."):
                yield inside / name


def as_on_disk(folder: Path, path: str) -> str:
    """Return a path inside `folder` in the Unicode form its file has: archives made on a Mac part accents from letters.

    A path whose file is there in neither form stays as it is.
    """
    if path.isascii():
        return path
    forms = (path, unicodedata.normalize("NFC", path), unicodedata.normalize("NFD", path))
    return next((form for form in forms if os.path.exists(folder / form)), path)  # False too where none may look


def printable(path: PurePosixPath) -> str:
    r"""Return a path as text that can be stored and printed, with `\x..` for bytes that are not UTF-8."""
    return os.fsencode(str(path)).decode("utf-8", "backslashreplace")


Found = tuple[PurePosixPath, dict[str, Any]]  # a file's path in the data folder, and what its name tells


def one_file_each(data: Path, files: Sequence[Found]) -> list[Found]:
    """Return one file per clip: of several formats the best, of several copies the least nested.

    Raises:
        InputError: two files of one format claim to be the same clip but differ in size.
    """
    copies: dict[str, list[Found]] = defaultdict(list)
    for path, fields in files:
        copies[fields["clip"]].append((path, fields))
    for clip, claimants in copies.items():
        if len(claimants) > 1:
            claimants.sort(key=_preference)
            _require_equal_sizes(data, clip, [path for path, _ in claimants])
    return [claimants[0] for claimants in copies.values()]


def _preference(file: Found) -> tuple[int, int, PurePosixPath]:
    path = file[0]
    return SUFFIXES.index(path.suffix.lower()), len(path.parts), path


def _require_equal_sizes(data: Path, clip: str, paths: Sequence[PurePosixPath]) -> None:
    first = paths[0]
    for path in paths[1:]:
        if path.suffix.lower() == first.suffix.lower() and _size(data / path) != _size(data / first):
            raise InputError(f"two different files in {data} are named as clip {clip}: {first} and {path}")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else -1
