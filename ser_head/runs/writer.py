"""RunWriter: a run folder that appears whole, or not at all."""

import itertools
import json
import os
import shutil
from pathlib import Path
from typing import Any

from ser_embed.errors import InputError
from ser_embed.files import input_error_on_write, temporary_path
from ser_head.config import RUNS


class RunWriter:
    """Writes a new run in one piece: its folder appears with `commit`, whole, or not at all.

    Used in a `with` statement; leaving it without `commit` removes the temporary folder.

    Attributes:
        folder: the temporary folder to write to.
    """

    def __init__(self, wanted: Path | None, name: str) -> None:
        """Make a temporary folder.

        Args:
            wanted: where the run shall lie; None for a new folder in `RUNS`.
            name: that folder's name, to which a number is added if it is taken.

        Raises:
            InputError: `wanted` exists and is not an empty folder, or is the one that is worked in, or its place cannot
                be written to.
        """
        if wanted is not None and (not wanted.name or wanted.is_file() or (wanted.is_dir() and any(wanted.iterdir()))):
            raise InputError(f"expected a new folder for the run, but {wanted} exists")
        self._wanted = wanted
        self._place = RUNS / name if wanted is None else wanted
        self.folder = temporary_path(self._place)
        with input_error_on_write(self.folder.parent):
            self.folder.mkdir(parents=True)

    def write_json(self, name: str, document: dict[str, Any]) -> None:
        """Write one JSON file."""
        text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
        (self.folder / name).write_text(text + "\n", "utf-8")

    def commit(self) -> Path:
        """Rename the folder to its place and return that."""
        place = self._place
        for number in itertools.count(2):
            try:
                os.rename(self.folder, place)
                break
            except OSError:
                if self._wanted is not None or not place.exists():
                    raise
                place = self._place.with_name(f"{self._place.name}-{number}")
        return place

    def __enter__(self) -> "RunWriter":
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
