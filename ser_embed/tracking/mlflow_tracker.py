"""MLflow tracker: a SQLite database beside a folder of artefacts, which `mlflow ui` displays.

What the user has set in the environment is kept: `MLFLOW_TRACKING_URI` for another database or a server,
`MLFLOW_EXPERIMENT_NAME` for another experiment.
"""

import os
import re
import time
import warnings
from collections.abc import Mapping
from pathlib import Path

from ser_embed.tracking.base import PROJECT, CurvePoint, TrackedResults, TrackedRun, environment_defaults

_MAX_PARAMETERS = 100  # of one request; MLflow's own limit
_MAX_METRICS = 1000


class MlflowTracker:
    """Writes a run of MLflow."""

    def __init__(self, run: TrackedRun, folder: Path) -> None:
        """Begin the run.

        Args:
            run: what is tracked.
            folder: of database and artefacts, where the user has named no server.
        """
        folder.mkdir(parents=True, exist_ok=True)
        is_local = "MLFLOW_TRACKING_URI" not in os.environ
        with (
            environment_defaults(
                MLFLOW_TRACKING_URI=f"sqlite:///{(folder / 'mlflow.db').absolute()}",
                MLFLOW_DISABLE_TELEMETRY="true",
                MLFLOW_LOGGING_LEVEL="WARNING",
            ),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore", DeprecationWarning)  # MLflow 3.17 of SQLAlchemy 2.1
            import mlflow
            from mlflow.entities import Metric, Param, RunStatus

            self._client = mlflow.MlflowClient()
        self._metric, self._status = Metric, RunStatus
        artifacts = (folder / "artifacts").absolute().as_uri() if is_local else None
        experiment = self._experiment(os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT), artifacts)
        self._id = self._client.create_run(experiment, tags={"command": run.command}, run_name=run.name).info.run_id
        parameters = [Param(name, str(value)) for name, value in run.config.items()]
        for start in range(0, len(parameters), _MAX_PARAMETERS):
            self._client.log_batch(self._id, params=parameters[start : start + _MAX_PARAMETERS])

    def log_point(self, point: CurvePoint) -> None:
        """Add a point to the curves."""
        self._log(point.named(), point.step)

    def log_results(self, results: TrackedResults) -> None:
        """Write figures as metrics, tables and files as artefacts."""
        self._log(results.figures, 0)
        for name, table in results.tables.items():
            rows = [list(row) for row in table.rows]
            self._client.log_dict(self._id, {"columns": list(table.columns), "data": rows}, f"{name}.json")
        for path in results.files:
            self._client.log_artifact(self._id, str(path))

    def close(self, is_complete: bool) -> None:
        """End the run."""
        status = self._status.FINISHED if is_complete else self._status.FAILED
        self._client.set_terminated(self._id, self._status.to_string(status))

    def _experiment(self, name: str, artifacts: str | None) -> str:
        experiment = self._client.get_experiment_by_name(name)
        return experiment.experiment_id if experiment else self._client.create_experiment(name, artifacts)

    def _log(self, values: Mapping[str, float], step: int) -> None:
        now_ms = int(time.time() * 1000)
        metrics = [self._metric(_allowed(name), value, now_ms, step) for name, value in values.items()]
        for start in range(0, len(metrics), _MAX_METRICS):
            self._client.log_batch(self._id, metrics=metrics[start : start + _MAX_METRICS])


def _allowed(name: str) -> str:
    """Return a name of only those characters that MLflow takes, such as "mfcc_100" for "mfcc=100"."""
    return re.sub(r"[^\w\-. :/]", "_", name, flags=re.ASCII)
