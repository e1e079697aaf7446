"""The table behind every figure of a run: one row per scored clip and condition, kept as predictions.csv.

Columns: utterance_id, speaker, label, prediction, `p_<emotion>` per class, fold, condition (what the head knew of the
speaker, see `ser_head.training.fold_runner`), temperature (that the logits were divided by), and seed, where there are several. **The
first row of a clip is the one a run is judged by.** Probabilities stay float32 throughout, so the file gives back the
very numbers that were scored.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ser_embed.errors import InputError
from ser_head.data.dataset import Dataset

VALIDATION = "validation"
PROBABILITY = "p_"
_TEXT = ("utterance_id", "speaker", "label", "prediction", "condition")


def prediction_rows(
    data: Dataset, indices: np.ndarray, answers: np.ndarray, fold: int, condition: str, temperature: float
) -> pd.DataFrame:
    """Lay out scored clips as rows.

    Args:
        data: the clips.
        indices: which were scored, (n,).
        answers: probabilities, float32 (n, classes), or numbers (n, 1).
        fold: number of the fold.
        condition: what was known of the speakers.
        temperature: that the logits were divided by.
    """
    clips = data.clips.iloc[indices].reset_index(drop=True)
    columns = {PROBABILITY + label: answers[:, place] for place, label in enumerate(data.labels)}
    if data.labels:
        label, prediction = clips["emotion"], np.array(data.labels, dtype=object)[answers.argmax(axis=1)]
    else:
        label, prediction = data.desired[indices, 0], answers[:, 0].astype(np.float32)
    return pd.DataFrame(
        {
            "utterance_id": clips["utterance_id"],
            "speaker": clips["speaker"],
            "label": label,
            "prediction": prediction,
            **columns,
            "fold": fold,
            "condition": condition,
            "temperature": temperature,
        }
    )


def probability_matrix(table: pd.DataFrame, labels: Sequence[str]) -> np.ndarray:
    """Return the table's probabilities, float32 (rows, classes)."""
    return table[[PROBABILITY + label for label in labels]].to_numpy(np.float32)


def primary_rows(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows a run is judged by: the first of each clip, by the heads of the first seed alone.

    Other seeds may test other clips, and would add to these.
    """
    first = table[table["seed"] == table["seed"].iloc[0]] if "seed" in table and len(table) else table
    return first.drop_duplicates("utterance_id")


def primary_rows_first(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with the rows a run is judged by in front, everything else in its order behind them."""
    rows = primary_rows(table)
    return pd.concat([rows, table.drop(rows.index)], ignore_index=True)


def read_predictions(path: Path) -> pd.DataFrame:
    """Read a predictions.csv, probabilities exactly as they were scored.

    Raises:
        InputError: it cannot be read, there is no such file, or it has not the columns, or a probability is no number.
    """
    try:
        table = pd.read_csv(path, dtype=dict.fromkeys(_TEXT, object), keep_default_na=False)
    except OSError as error:
        raise InputError(f"expected a table of predictions at {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise InputError(f"expected a table of predictions at {path}: {error}") from error
    missing = [name for name in (*_TEXT, "fold") if name not in table]
    if missing:
        raise InputError(f"expected a table of predictions, but {path} has no column {', '.join(missing)}")
    numbers = {name: np.float32 for name in table.columns if name.startswith(PROBABILITY)}
    try:
        return table.astype(numbers)
    except ValueError as error:
        raise InputError(f"expected probabilities in the {PROBABILITY} columns of {path}: {error}") from error
