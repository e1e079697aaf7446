"""Corpora come with second copies of their files, in nested folders or in other formats: each clip counts once."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from ser_embed.corpora.audio_files import SUFFIXES
from ser_embed.errors import InputError

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
