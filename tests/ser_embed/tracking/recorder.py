"""A tracker that keeps what it is given, and fails when it is told to."""

from pathlib import Path

from ser_embed.tracking.base import CurvePoint, TrackedResults, TrackedRun
from ser_embed.tracking.registry import TrackerSpec

MOMENTS = ("start", "log_point", "log_results", "close")


class Recorder:
    """Keeps runs, points and results; `fails_at` is one of `MOMENTS`."""

    def __init__(self, fails_at: str = "") -> None:
        self.spec = TrackerSpec(self.start, "json", "show {folder}")
        self.calls: list[str] = []
        self.runs: list[TrackedRun] = []
        self.points: list[CurvePoint] = []
        self.results: list[TrackedResults] = []
        self.endings: list[bool] = []
        self._fails_at = fails_at

    def start(self, run: TrackedRun, folder: Path) -> "Recorder":
        self._call("start")
        self.runs.append(run)
        return self

    def log_point(self, point: CurvePoint) -> None:
        self._call("log_point")
        self.points.append(point)

    def log_results(self, results: TrackedResults) -> None:
        self._call("log_results")
        self.results.append(results)

    def close(self, is_complete: bool) -> None:
        self._call("close")
        self.endings.append(is_complete)

    def _call(self, name: str) -> None:
        self.calls.append(name)
        if name == self._fails_at:
            raise RuntimeError(f"no {name}\ntoday")
