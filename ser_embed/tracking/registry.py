"""Tracker registry: the tools that can write a training down. To add one, write a module and a line of `TRACKERS`."""

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ser_embed.errors import InputError
from ser_embed.tracking.base import TrackedRun, Tracker


@dataclass(frozen=True)
class TrackerSpec:
    """A tool of tracking.

    Attributes:
        start: begins a run in a folder, and returns its tracker.
        package: that has to be installed, by the name it is imported by; the extra is called like the tracker.
        opened_with: the command that shows what was tracked; {folder} stands for the folder.
    """

    start: Callable[[TrackedRun, Path], Tracker]
    package: str
    opened_with: str


def _start_wandb(run: TrackedRun, folder: Path) -> Tracker:
    from ser_embed.tracking.wandb_tracker import WandbTracker

    return WandbTracker(run, folder)


def _start_trackio(run: TrackedRun, folder: Path) -> Tracker:
    from ser_embed.tracking.trackio_tracker import TrackioTracker

    return TrackioTracker(run, folder)


def _start_tensorboard(run: TrackedRun, folder: Path) -> Tracker:
    from ser_embed.tracking.tensorboard_tracker import TensorboardTracker

    return TensorboardTracker(run, folder)


def _start_mlflow(run: TrackedRun, folder: Path) -> Tracker:
    from ser_embed.tracking.mlflow_tracker import MlflowTracker

    return MlflowTracker(run, folder)


TRACKERS: dict[str, TrackerSpec] = {
    "wandb": TrackerSpec(_start_wandb, "wandb", "wandb leet {folder}"),
    "trackio": TrackerSpec(_start_trackio, "trackio", "TRACKIO_DIR={folder} trackio show"),
    "tensorboard": TrackerSpec(_start_tensorboard, "tensorboard", "tensorboard --logdir {folder}"),
    "mlflow": TrackerSpec(_start_mlflow, "mlflow", "mlflow ui --backend-store-uri sqlite:///{folder}/mlflow.db"),
}

TRACK_HELP = (
    f"also write settings, curves and results for {', '.join(TRACKERS)}, or several of them, comma-separated, into "
    "tracking/; nothing leaves the machine unless their own settings say so"
)


def parse_trackers(names: str | Sequence[str]) -> tuple[str, ...]:
    """Return the names of the trackers that are meant, in the order of `TRACKERS`.

    Args:
        names: "wandb,tensorboard", or a sequence of names.

    Raises:
        InputError: there is no such tracker.

    >>> parse_trackers("tensorboard, wandb")
    ('wandb', 'tensorboard')
    """
    parts = names.split(",") if isinstance(names, str) else names
    chosen = [name.strip() for name in parts]
    for name in chosen:
        if name not in TRACKERS:
            raise InputError(f"--track has to be made of {', '.join(TRACKERS)}, not {name!r}")
    return tuple(name for name in TRACKERS if name in chosen)


def require_trackers(names: Sequence[str]) -> None:
    """Check that what trackers need is installed.

    Raises:
        InputError: naming the extra that installs it.
    """
    for name in names:
        package = TRACKERS[name].package
        if importlib.util.find_spec(package) is None:
            raise InputError(f"--track {name} needs {package}, which is not installed: pip install '.[{name}]'")
