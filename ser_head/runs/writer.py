"""RunWriter: a run folder that appears whole, or not at all."""

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

from ser_embed.errors import InputError
from ser_embed.files import exclusive_lock, input_error_on_write, require_writable_folder, temporary_path
from ser_embed.reading import read_json
from ser_head.runs import location
from ser_head.runs.document import RUN_FILE, sign_run


class RunWriter:
    """Writes a new run in one piece: its folder appears with `commit`, whole, or not at all.

    Used in a `with` statement; leaving it without `commit` removes the temporary folder.

    Attributes:
        folder: the temporary folder to write to.
    """

    def __init__(self, destination: Path | None, name: str) -> None:
        """Make a temporary folder.

        Args:
            destination: where the run shall be; None for a new folder in `runs/`.
            name: name of that new folder; a number is added if it is taken.

        Raises:
            InputError: `destination` exists and is not an empty folder, or is the working directory, or cannot be
                written to, or another training is to write there.
        """
        with contextlib.ExitStack() as stack:
            if destination is not None:
                if not destination.name or _is_taken(destination):
                    raise InputError(f"expected a new folder for the run, but {destination} exists")
                require_writable_folder(destination.parent)
                stack.enter_context(exclusive_lock(destination, "training", "--out"))
            self._make_folder(destination, name)
            self._lock = stack.pop_all()

    def _make_folder(self, destination: Path | None, name: str) -> None:
        """Choose the destination and make the temporary folder beside it."""
        self._may_number = destination is None
        self._destination = location.RUNS / name if destination is None else destination
        self.folder = temporary_path(self._destination)
        with input_error_on_write(self.folder.parent):
            self.folder.mkdir(parents=True)

    @property
    def name(self) -> str:
        """The name the run's folder would have if it appeared now."""
        return next((path for path in self._destinations() if not path.exists()), self._destination).name

    def write_json(self, name: str, document: dict[str, Any]) -> None:
        """Write one JSON file."""
        text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
        (self.folder / name).write_text(text + "\n", "utf-8")

    def commit(self) -> Path:
        """Sign run.json, rename the folder to its destination and return that; see `ser_head.runs.document`."""
        self.write_json(RUN_FILE, sign_run(self.folder, read_json(self.folder / RUN_FILE)))
        for destination in self._destinations():
            try:
                os.rename(self.folder, destination)
                break
            except OSError:
                if not self._may_number or not destination.exists():
                    raise
        return destination

    def _destinations(self) -> Iterator[Path]:
        """Yield the paths at which the run may appear, the first that is free."""
        yield self._destination
        if self._may_number:
            yield from (self._destination.with_name(f"{self._destination.name}-{number}") for number in count(2))

    def __enter__(self) -> "RunWriter":
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        self._lock.close()


def _is_taken(path: Path) -> bool:
    return path.is_file() or (path.is_dir() and any(path.iterdir()))
