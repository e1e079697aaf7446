"""Group of trackers: what is tracked goes to all of them, and one that fails is left behind, not the training."""

import contextlib
import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from ser_embed.tracking.base import CurvePoint, TrackedResults, TrackedRun, Tracker
from ser_embed.tracking.registry import TRACKERS

FOLDER = Path("tracking")  # below the working folder; one folder in it for each tracker

_logger = logging.getLogger(__name__)


class TrackerGroup:
    """Several trackers as one that never raises.

    The first failure of a tracker is a warning, and the last that is heard of it.
    """

    def __init__(self, names: Sequence[str], run: TrackedRun) -> None:
        """Start the trackers of these names."""
        self._trackers: dict[str, Tracker] = {}
        for name in names:
            with self._left_behind(name, "when it started"):
                self._trackers[name] = TRACKERS[name].start(run, FOLDER / name)
                _logger.info("tracked by %s: %s", name, TRACKERS[name].opened_with.format(folder=FOLDER / name))

    def __bool__(self) -> bool:
        """Return whether anything is tracked."""
        return bool(self._trackers)

    def log_point(self, point: CurvePoint) -> None:
        """Write the finite values of one epoch or step."""
        if values := finite(point.values):
            self._tell_all("in an epoch", lambda tracker: tracker.log_point(replace(point, values=values)))

    def log_results(self, results: TrackedResults) -> None:
        """Write what the training came to."""
        finite_results = replace(results, figures=finite(results.figures))
        self._tell_all("with the results", lambda tracker: tracker.log_results(finite_results))

    def close(self, is_complete: bool) -> None:
        """End the run: complete, or stopped or failed."""
        self._tell_all("when it ended", lambda tracker: tracker.close(is_complete))
        self._trackers.clear()

    def _tell_all(self, moment: str, call: Callable[[Tracker], None]) -> None:
        for name, tracker in list(self._trackers.items()):
            with self._left_behind(name, moment):
                call(tracker)

    @contextlib.contextmanager
    def _left_behind(self, name: str, moment: str) -> Iterator[None]:
        """Warn of an error in the block, and drop the tracker."""
        try:
            yield
        except Exception as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            _logger.warning("--track %s failed %s and is left out from here on: %s", name, moment, reason)
            if (tracker := self._trackers.pop(name, None)) is not None:
                with contextlib.suppress(Exception):  # its files and threads; that it fails has been said
                    tracker.close(False)


@contextlib.contextmanager
def tracked(names: Sequence[str], run: TrackedRun) -> Iterator[TrackerGroup]:
    """Start trackers, and end them as the block ends: complete, or failed if it raises.

    Args:
        names: entries of `TRACKERS`.
        run: what is tracked.
    """
    group = TrackerGroup(names, run)
    is_complete = False
    try:
        yield group
        is_complete = True
    finally:
        group.close(is_complete)


def finite(values: Mapping[str, float | None]) -> dict[str, float]:
    """Return the values that are finite numbers; a mean of nothing, for one, is not."""
    return {name: float(value) for name, value in values.items() if value is not None and math.isfinite(value)}
