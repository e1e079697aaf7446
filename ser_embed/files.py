"""One process at a time on a store, or on a folder that is written to for long."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from ser_embed.errors import InputError


@contextlib.contextmanager
def only_writer(store: Path, work: str = "extraction", flag: str = "--store") -> Iterator[None]:
    """Hold the lock of a store or folder while writing to it; a killed process lets go of it by dying.

    Args:
        store: what is written to.
        work: what the other process does, for the message.
        flag: how to choose another place, for the message.

    Raises:
        InputError: another process holds it, or the folder cannot be written to.
    """
    path = store.with_name(store.name + ".lock")
    try:
        store.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path)
        lock.acquire(timeout=0)
    except Timeout as error:
        raise InputError(f"another {work} is writing to {store}; wait for it or choose another {flag}") from error
    except OSError as error:
        raise InputError(f"cannot write in {store.parent}: {error.strerror or error}") from error
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        lock.release()
