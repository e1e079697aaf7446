"""Listing and finding the audio files of a folder. No file is opened."""

import os
import unicodedata
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

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
