"""Files: atomic writes, exclusive locks, hashes, and destinations that are checked before the work begins.

Whatever the library writes appears whole or not at all: it is written under a temporary name beside its destination,
flushed to disk, and renamed. Temporary names are hidden and end in `.tmp-<machine>-<process id>`; whoever next writes
to the same folder removes those of processes that were killed.
"""

import contextlib
import hashlib
import os
import platform
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from ser_embed.errors import InputError

_HASHED_AT_ONCE = 1 << 20  # bytes
_MACHINE = re.sub(r"\W", "_", platform.node())
_REPLACED = "-replaced"
_DRAFT = re.compile(rf"\.(?P<name>.+)\.tmp-{_MACHINE}-(?P<process>\d+)(?P<replaced>{_REPLACED})?")


def temporary_path(path: Path) -> Path:
    """Return the name under which this process writes `path` before renaming it, after `sweep_drafts`."""
    sweep_drafts(path.parent)
    return path.with_name(f".{path.name}.tmp-{_MACHINE}-{os.getpid()}")


def sweep_drafts(folder: Path) -> None:
    """Remove what processes of this machine that were killed had begun to write in a folder.

    A folder that one of them had moved out of the way, and not yet replaced, is put back.
    """
    names = [entry.name for entry in os.scandir(folder)] if folder.is_dir() else []
    for draft in filter(None, map(_DRAFT.fullmatch, names)):
        if not _is_running(int(draft["process"])):
            with contextlib.suppress(OSError):  # another process sweeps too, or this one may not
                _sweep(folder / draft[0], folder / draft["name"], bool(draft["replaced"]))


def _sweep(path: Path, destination: Path, was_moved: bool) -> None:
    """Remove one draft, or put back what was moved out of its way."""
    if was_moved and not destination.exists():
        path.rename(destination)
    elif path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _is_running(process: int) -> bool:
    if os.name == "nt":
        return True  # asking would end it
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Write a file in one piece: give a temporary path to write to, and rename it to `path` when the block ends.

    If the block raises, the temporary file is removed, and what `path` held before is untouched.

    >>> with atomic_write(Path("answers.csv")) as draft:  # doctest: +SKIP
    ...     table.to_csv(draft)
    """
    draft = temporary_path(path)
    try:
        yield draft
        flush_to_disk(draft)
        os.replace(draft, path)
        flush_to_disk(path.parent)
    finally:
        draft.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(folder: Path) -> Iterator[Path]:
    """Write a folder in one piece: give a new empty one to fill, which takes the place of `folder` when the block ends.

    If the block raises, the temporary folder is removed, and what `folder` held before is untouched.
    """
    draft = temporary_path(folder)
    replaced = draft.with_name(draft.name + _REPLACED)
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    try:
        yield draft
        if folder.exists():
            os.rename(folder, replaced)
        try:
            os.rename(draft, folder)
        except OSError:
            if replaced.exists():
                os.rename(replaced, folder)
            raise
        flush_to_disk(folder.parent)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
        shutil.rmtree(replaced, ignore_errors=True)


def flush_to_disk(path: Path) -> None:
    """Make the operating system write a file, or a folder's list of names, to the disk before going on."""
    if os.name == "nt" and path.is_dir():
        return  # Windows has no such call for folders
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def exclusive_lock(path: Path, work: str = "extraction", flag: str = "--store", wait_s: float = 0) -> Iterator[None]:
    """Hold the lock of a store or folder while writing to it; a killed process lets go of it by dying.

    Args:
        path: the store or folder.
        work: what another process that holds it is doing, for the message.
        flag: the option that chooses another place, for the message.
        wait_s: how long to wait for another process that holds it, in seconds.

    Raises:
        InputError: another process holds the lock, or the folder cannot be written to.
    """
    lock_path = path.with_name(path.name + ".lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(lock_path)
        lock.acquire(timeout=wait_s)
    except Timeout as error:
        raise InputError(f"another {work} is writing to {path}; wait for it or choose another {flag}") from error
    except OSError as error:
        raise InputError(f"cannot write in {path.parent}: {error.strerror or error}") from error
    try:
        yield
    finally:
        lock_path.unlink(missing_ok=True)
        lock.release()


@contextlib.contextmanager
def input_error_on_write(path: Path) -> Iterator[None]:
    """Turn a failed write into an error that names the destination.

    Raises:
        InputError: in place of any OSError raised in the block.
    """
    try:
        yield
    except OSError as error:
        raise InputError(f"cannot write to {path}: {error.strerror or error}") from error


def require_writable_folder(folder: Path) -> None:
    """Check that files can be written to a folder, which need not exist yet; nothing is left there.

    Raises:
        InputError: they cannot.
    """
    with input_error_on_write(folder):
        nearest = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
        tempfile.TemporaryFile(dir=nearest).close()


def require_writable_file(path: Path) -> None:
    """Check that a file can be written, new or in place of an old one, which stays as it is.

    Raises:
        InputError: it cannot.
    """
    with input_error_on_write(path):
        if path.exists():
            path.open("ab").close()
        require_writable_folder(path.parent)


def digest_of(data: bytes) -> str:
    """Return a 128-bit BLAKE2b hash in hexadecimal."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def digest_of_file(path: Path) -> str:
    """Return the hash `digest_of` gives a file's bytes, read a block at a time.

    Raises:
        OSError: the file cannot be read.
    """
    digest = hashlib.blake2b(digest_size=16)
    with path.open("rb") as file:
        while block := file.read(_HASHED_AT_ONCE):
            digest.update(block)
    return digest.hexdigest()
