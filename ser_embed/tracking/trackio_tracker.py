"""Trackio tracker: a SQLite file, which `trackio show` displays.

What the user has set in the environment is kept, such as `TRACKIO_DIR`, or a Space or server to send runs to.
"""

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path

from ser_embed.tracking.base import PROJECT, CurvePoint, TrackedResults, TrackedRun, environment_defaults


class TrackioTracker:
    """Writes a run of Trackio."""

    def __init__(self, run: TrackedRun, folder: Path) -> None:
        """Begin the run, in `folder` unless Trackio was imported with another before."""
        folder.mkdir(parents=True, exist_ok=True)
        with environment_defaults(TRACKIO_DIR=folder):  # read when it is imported
            import trackio
        self._trackio = trackio
        self._last_step = 0
        config = {**run.config, "command": run.command}
        with _silence():
            self._run = trackio.init(
                PROJECT, name=run.name, config=config, embed=False, auto_log_gpu=False, auto_log_cpu=False
            )

    def log_point(self, point: CurvePoint) -> None:
        """Add a point to the curves."""
        self._last_step = max(self._last_step, point.step)
        self._run.log(point.named(), step=point.step)

    def log_results(self, results: TrackedResults) -> None:
        """Log figures, tables and files at the last step."""
        import pandas as pd

        tables = {}
        for name, table in results.tables.items():
            rows = pd.DataFrame([list(row) for row in table.rows], columns=list(table.columns))
            tables[name] = self._trackio.Table(dataframe=rows)
        self._run.log({**results.figures, **tables}, step=self._last_step)
        with _silence():
            for path in results.files:
                artifact = self._trackio.Artifact(f"{self._run.name}-{path.stem}", type=path.stem)
                artifact.add_file(str(path))
                self._run.log_artifact(artifact)

    def close(self, is_complete: bool) -> None:
        """Finish the run: write what is still queued."""
        with _silence():
            self._trackio.finish()


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Drop what Trackio prints: standard output is for the results of a command."""
    with contextlib.redirect_stdout(io.StringIO()):
        yield
