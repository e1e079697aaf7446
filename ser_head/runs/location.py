"""Location of runs: those that were trained here are in `runs/`, and the heads that ship are in the package.

A head that ships is read only, and may be shared by everybody on a machine: the profiles of its speakers are in
`profiles/` of the folder where one works.
"""

import logging
from dataclasses import dataclass
from pathlib import Path

from ser_head.runs.document import RUN_FILE

logger = logging.getLogger(__name__)

RUNS = Path("runs")
_PROFILES = "profiles"


@dataclass(frozen=True)
class ShippedRun:
    """A run that comes with the library.

    Attributes:
        folder: where it is.
        summary: what it was trained on, and what it is good for.
    """

    folder: Path
    summary: str


SHIPPED = {
    "emodb": ShippedRun(
        Path(__file__).parents[1] / "emodb_head",
        "EmoDB: German, acted, ten voices; its activation holds for other voices too, its emotions hardly",
    )
}
_DEFAULT = "emodb"  # what scores where nothing has been trained


def resolve_run(run: str | Path | None) -> Path:
    """Return the folder of a run.

    Args:
        run: its folder, or the name of one that ships; None for the newest in `RUNS`, or the one that ships where there
            is none, which is told in the log.
    """
    if run is not None:
        is_shipped = str(run) in SHIPPED and not (Path(run) / RUN_FILE).is_file()
        return SHIPPED[str(run)].folder if is_shipped else Path(run)
    newest = newest_run(RUNS)
    if newest is None:
        logger.info("no run in %s/: taking the head that ships (%s)", RUNS, SHIPPED[_DEFAULT].summary)
        return SHIPPED[_DEFAULT].folder
    return newest


def newest_run(folder: Path) -> Path | None:
    """Return the run in a folder that was written last, None without any; profiles added later do not count."""
    paths = list(folder.glob(f"[!.]*/{RUN_FILE}"))  # a hidden one is being written
    return max(paths, key=lambda path: path.stat().st_mtime).parent if paths else None


def is_shipped(folder: Path) -> bool:
    """Tell whether the run in a folder is one that comes with the library."""
    return folder.resolve() in {shipped.folder.resolve() for shipped in SHIPPED.values()}


def profiles_of(folder: Path) -> Path:
    """Return where the profiles of the speakers of a run are; the folder need not exist."""
    return Path(_PROFILES) if is_shipped(folder) else folder / _PROFILES
