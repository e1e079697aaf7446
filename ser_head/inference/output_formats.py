"""Output formats of predictions, by the suffix of the file. A new format is a function and one entry of `WRITERS`."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ser_embed.errors import InputError
from ser_embed.files import atomic_write, require_writable_file

if TYPE_CHECKING:
    from ser_head.inference.prediction_table import Predictions


def require_output(path: Path) -> None:
    """Check that predictions can be written to a file, before anything is scored.

    Raises:
        InputError: there is no such format, or the file cannot be written.
    """
    if path.suffix.lower() not in WRITERS:
        raise InputError(f"--output has to end in {' or '.join(WRITERS)}, not {str(path)!r}")
    require_writable_file(path)


def write_output(predictions: "Predictions", path: Path) -> None:
    """Write predictions to a file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as draft:
        WRITERS[path.suffix.lower()](predictions, draft)


def _write_csv(predictions: "Predictions", path: Path) -> None:
    predictions.table.to_csv(path, index=False)


def _write_json(predictions: "Predictions", path: Path) -> None:
    path.write_text(json.dumps(predictions.to_json(), indent=2, ensure_ascii=False) + "\n", "utf-8", "backslashreplace")


WRITERS: dict[str, Callable[["Predictions", Path], None]] = {".csv": _write_csv, ".json": _write_json}
