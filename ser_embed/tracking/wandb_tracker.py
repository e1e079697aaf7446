"""Weights & Biases tracker: offline runs, which `wandb sync` uploads if one wants to.

Nothing of the machine is recorded: no code, host, packages or load. What the user has set in the environment is kept:
`WANDB_MODE=online` uploads at once, `WANDB_PROJECT` names another project, and so on.
"""

from contextlib import ExitStack
from pathlib import Path

import wandb

from ser_embed.tracking.base import (
    PROJECT,
    CurvePoint,
    TrackedResults,
    TrackedRun,
    TrackedTable,
    environment_defaults,
)


class WandbTracker:
    """Writes a run of Weights & Biases."""

    def __init__(self, run: TrackedRun, folder: Path) -> None:
        """Begin the run.

        Args:
            run: what is tracked.
            folder: called "wandb".
        """
        folder.mkdir(parents=True, exist_ok=True)
        self._environment = ExitStack()
        defaults = environment_defaults(
            WANDB_MODE="offline",
            WANDB_DIR=folder.parent.absolute(),  # to which it adds "wandb" itself
            # Copies of files, until they are uploaded, and a log: both would lie in the home folder.
            WANDB_DATA_DIR=(folder / "data").absolute(),
            WANDB_CACHE_DIR=(folder / "cache").absolute(),
            WANDB_PROJECT=PROJECT,
            WANDB_SILENT="true",
            WANDB_CONSOLE="off",
            WANDB_ERROR_REPORTING="false",
        )
        self._environment.enter_context(defaults)
        settings = wandb.Settings(
            disable_code=True,
            disable_git=True,
            x_disable_machine_info=True,
            x_disable_meta=True,
            x_disable_stats=True,
            x_save_requirements=False,
        )
        self._run = wandb.init(
            name=run.name, job_type=run.command, config=dict(run.config), settings=settings, reinit="create_new"
        )
        self._series: set[str] = set()

    def log_point(self, point: CurvePoint) -> None:
        """Add a point to the curves, drawn over the axis of their series."""
        prefix = f"{point.series}/" if point.series else ""
        axis = prefix + point.axis
        if point.series not in self._series:
            self._series.add(point.series)
            self._run.define_metric(axis, hidden=True)
            self._run.define_metric(f"{prefix}*", step_metric=axis)
        self._run.log({axis: point.step, **point.named()})

    def log_results(self, results: TrackedResults) -> None:
        """Write figures to the summary, and log tables and files."""
        self._run.summary.update(dict(results.figures))
        if results.tables:
            self._run.log({name: _as_table(table) for name, table in results.tables.items()})
        for path in results.files:
            artifact = wandb.Artifact(f"{self._run.id}-{path.stem}", type=path.stem)
            artifact.add_file(str(path))
            self._run.log_artifact(artifact)

    def close(self, is_complete: bool) -> None:
        """Finish the run."""
        with self._environment:
            self._run.finish(exit_code=0 if is_complete else 1)


def _as_table(table: TrackedTable) -> wandb.Table:
    return wandb.Table(columns=list(table.columns), data=[list(row) for row in table.rows])
