"""Places to write to: one that cannot be written is told before the work, so that no answer is lost for it."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ser_embed.errors import InputError


@contextlib.contextmanager
def writing(place: Path) -> Iterator[None]:
    """Say of a write that fails where it was.

    Raises:
        InputError: in place of any OSError.
    """
    try:
        yield
    except OSError as error:
        raise InputError(f"cannot write to {place}: {error.strerror or error}") from error


def require_folder(folder: Path) -> None:
    """Make sure that files can be written to a folder, which need not exist yet; nothing is left there.

    Raises:
        InputError: they cannot.
    """
    with writing(folder):
        there = next(each for each in (folder, *folder.absolute().parents) if each.exists())
        tempfile.TemporaryFile(dir=there).close()


def require_file(path: Path) -> None:
    """Make sure that a file can be written, new or in place of an old one, which stays as it is.

    Raises:
        InputError: it cannot.
    """
    with writing(path):
        if path.exists():
            path.open("ab").close()
        else:
            require_folder(path.parent)
