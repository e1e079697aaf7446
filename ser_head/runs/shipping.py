"""Shipping of a run: a copy with only what scores audio and tells how well, small enough to travel in the package.

Left out are the predictions, the history and the report, and from its settings the paths of the machine it was made on.
What the out-of-domain detector compares with is stored in half precision.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from ser_embed.errors import InputError
from ser_embed.files import atomic_write
from ser_embed.reading import read_arrays
from ser_head.runs.document import RUN_FILE, sign_files, unsigned
from ser_head.runs.run import Run
from ser_head.scoring.scorer_file import OOD_EXAMPLES, SCORER_FILE

METRICS_FILE = "metrics.json"
_PATHS = ("store", "out")  # settings that name a place on a machine


def ship_run(run: str | Path, folder: str | Path) -> list[Path]:
    """Copy what is needed of a run, and sign the copy.

    Args:
        run: folder of a run that keeps one head, as one trained with `--refit whole` does.
        folder: where the copy is put; other files there, such as a model card, stay.

    Returns:
        The files that were written.

    Raises:
        InputError: it is no whole run, or keeps several heads.
    """
    loaded, folder = Run.load(run), Path(folder)
    if len(loaded.about["folds"]) != 1:
        raise InputError(f"expected a run with one head, as --refit whole trains, but {run} has several")
    head = loaded.about["folds"][0]["head"]
    scorer = Path(head).with_name(SCORER_FILE).as_posix()
    folder.mkdir(parents=True, exist_ok=True)
    for name in (head, METRICS_FILE):
        with atomic_write(folder / name) as draft:
            shutil.copyfile(loaded.file(name), draft)
    with atomic_write(folder / scorer) as draft, draft.open("wb") as file:
        np.savez(file, **_in_half_precision(loaded.file(scorer)))
    settings = {**loaded.about["settings"], **dict.fromkeys(_PATHS)}
    names = (head, scorer, METRICS_FILE)
    about = sign_files(folder, {**unsigned(loaded.about), "settings": settings}, names)
    with atomic_write(folder / RUN_FILE) as draft:
        draft.write_text(json.dumps(about, indent=2, ensure_ascii=False, allow_nan=False) + "\n", "utf-8")
    return [folder / name for name in (*names, RUN_FILE)]


def _in_half_precision(path: Path) -> dict[str, Any]:
    """Return the arrays of a scorer, those of the out-of-domain detector as float16.

    Its examples are standardised and bounded: half precision moves a score by some 1e-5 of its value.
    """
    arrays = read_arrays(path)
    return {name: array.astype(np.float16) if name == OOD_EXAMPLES else array for name, array in arrays.items()}
