"""TensorBoard tracker: event files, written by its own record writer, so that TensorFlow is not loaded.

Every series of curves is a run of TensorBoard's, such as `<run>/fold_1`, so that folds lie in one chart. Settings and
tables are texts, and files lie beside the event files.
"""

import io
import shutil
import socket
import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from itertools import chain, count
from pathlib import Path
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.text.summary_v2 import text_pb
from tensorboard.summary.writer.record_writer import RecordWriter

from ser_embed.tracking.base import CurvePoint, TrackedResults, TrackedRun, TrackedTable


class TensorboardTracker:
    """Writes event files.

    Attributes:
        folder: of the run, new: a number is added to the run's name if it is taken.
    """

    def __init__(self, run: TrackedRun, folder: Path) -> None:
        """Make the run's folder, and write its settings."""
        self.folder = _new_folder(folder, run.name)
        self._files = ExitStack()
        self._writers: dict[str, _EventFile] = {}
        settings = TrackedTable(("setting", "value"), [(name, str(value)) for name, value in run.config.items()])
        self._write("", 0, [_text_value("config", settings)])

    def log_point(self, point: CurvePoint) -> None:
        """Add a point to the curves of its series."""
        self._write(point.series, point.step, _scalars(point.values.items()))

    def log_results(self, results: TrackedResults) -> None:
        """Write figures as scalars and tables as texts, and copy the files."""
        tables = [_text_value(name, table) for name, table in results.tables.items()]
        self._write("", 0, [*_scalars(results.figures.items()), *tables])
        for path in results.files:
            shutil.copy(path, self.folder)

    def close(self, is_complete: bool) -> None:
        """Close the event files."""
        self._files.close()

    def _write(self, series: str, step: int, values: Sequence[Any]) -> None:
        if series not in self._writers:
            self._writers[series] = self._files.enter_context(_EventFile(self.folder / series))
        self._writers[series].write(Event(step=step, summary=Summary(value=values)))


class _EventFile:
    """A new event file of TensorBoard's in a folder."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = (folder / f"events.out.tfevents.{time.time():.0f}.{socket.gethostname()}").open("xb")
        self._records = RecordWriter(self._file)
        self.write(Event(file_version="brain.Event:2"))

    def write(self, event: Any) -> None:
        """Write one event, which a reader then sees."""
        event.wall_time = time.time()
        self._records.write(event.SerializeToString())
        self._file.flush()

    def __enter__(self) -> "_EventFile":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def _new_folder(folder: Path, name: str) -> Path:
    """Make a folder of a run: of its name, or with a number added to it."""
    numbers = count(2)
    path = folder / name
    while True:
        try:
            path.mkdir(parents=True)
        except FileExistsError:
            path = folder / f"{name}-{next(numbers)}"
        else:
            return path


def _scalars(values: Iterable[tuple[str, float]]) -> list[Any]:
    return [Summary.Value(tag=name, simple_value=value) for name, value in values]


def _text_value(tag: str, table: TrackedTable) -> Any:
    """Return a table as a text, in Markdown."""
    text = io.StringIO()
    for row in chain([table.columns, ["---"] * len(table.columns)], table.rows):
        cells = ["" if cell is None else str(cell).replace("|", "\\|") for cell in row]
        text.write(f"| {' | '.join(cells)} |\n")
    return text_pb(tag, text.getvalue()).value[0]
