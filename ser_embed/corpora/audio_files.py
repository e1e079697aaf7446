"""Audio files of a folder: their names, and the choice of one file per clip.

No file is opened. Paths are relative to the folder and in POSIX form.
"""

import os
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from ser_embed.errors import InputError

# In order of preference: of a clip that exists in several formats, the first of these is used.
SUFFIXES = (".wav", ".flac", ".ogg", ".opus", ".mp3")


def audio_files(folder: Path) -> list[PurePosixPath]:
    """Return the audio files under `folder`, as sorted paths relative to it.

    Links to folders are followed, but each folder is listed only once. Hidden files and folders are skipped, and with
    them the `._*` files that macOS leaves in archives.
    """
    return sorted(_walk(folder))


def _walk(folder: Path) -> Iterator[PurePosixPath]:
    visited = set()
    for directory, subfolders, filenames in os.walk(folder, followlinks=True):
        real_path = os.path.realpath(directory)
        if real_path in visited:
            subfolders.clear()
            continue
        visited.add(real_path)
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        relative = PurePosixPath(Path(directory).relative_to(folder).as_posix())
        for filename in filenames:
            if filename.lower().endswith(SUFFIXES) and not filename.startswith("."):
                yield relative / filename


def match_unicode_form(folder: Path, path: str) -> str:
    """Return a path inside `folder` in the Unicode form (NFC or NFD) of the file on disk.

    Archives made on a Mac store an accented letter as the letter followed by its accent (NFD). The path is returned
    unchanged if no file exists in either form.
    """
    if path.isascii():
        return path
    forms = (path, unicodedata.normalize("NFC", path), unicodedata.normalize("NFD", path))
    # os.path.exists also returns False, and does not raise, where access is denied.
    return next((form for form in forms if os.path.exists(folder / form)), path)


def storable(path: PurePosixPath) -> str:
    r"""Return a path as text that can be stored, with `\x..` for bytes that are not UTF-8."""
    return os.fsencode(str(path)).decode("utf-8", "backslashreplace")


ParsedFile = tuple[PurePosixPath, dict[str, Any]]  # a path in the data folder, and the fields parsed from its name


def drop_duplicate_files(data: Path, files: Sequence[ParsedFile]) -> list[ParsedFile]:
    """Return one file per clip: the preferred format, and among copies the one in the fewest folders.

    Raises:
        InputError: two files of one format have the name of the same clip but differ in size.
    """
    files_by_clip: dict[str, list[ParsedFile]] = defaultdict(list)
    for path, fields in files:
        files_by_clip[fields["clip"]].append((path, fields))
    for clip, duplicates in files_by_clip.items():
        if len(duplicates) > 1:
            duplicates.sort(key=_preference)
            _require_equal_sizes(data, clip, [path for path, _ in duplicates])
    return [duplicates[0] for duplicates in files_by_clip.values()]


def _preference(file: ParsedFile) -> tuple[int, int, PurePosixPath]:
    path = file[0]
    return SUFFIXES.index(path.suffix.lower()), len(path.parts), path


def _require_equal_sizes(data: Path, clip: str, paths: Sequence[PurePosixPath]) -> None:
    """Compare the sizes of the files that have the suffix of the first one."""
    first = paths[0]
    for path in paths[1:]:
        if path.suffix.lower() == first.suffix.lower() and _size(data / path) != _size(data / first):
            raise InputError(f"two different files in {data} are named as clip {clip}: {first} and {path}")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else -1
