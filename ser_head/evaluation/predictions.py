"""Table of predictions, from which every figure of a run is computed: one row per scored clip and condition.

It is stored as predictions.csv. Columns: utterance_id, speaker, label, prediction, `p_<emotion>` per class, fold,
condition (what the head knew of the speaker, see `ser_head.personalization.conditions`), temperature (by which the
logits were divided), and seed, where there are several. **The first row of a clip is its primary row, by which the run
is judged.** Probabilities stay float32 throughout, so the file gives back exactly the numbers that were scored.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype

from ser_embed.errors import InputError
from ser_embed.reading import expect, input_error_on_read, shortened
from ser_head.data.dataset import Dataset

VALIDATION = "validation"
PROBABILITY = "p_"
_TEXT = ("utterance_id", "speaker", "label", "prediction", "condition")
_NUMBERS = ("fold", "seed", "temperature")


def prediction_rows(
    data: Dataset, indices: np.ndarray, answers: np.ndarray, fold: int, condition: str, temperature: float
) -> pd.DataFrame:
    """Arrange scored clips as rows of the table.

    Args:
        data: the clips of all folds.
        indices: positions of the scored clips in `data`, int (n,).
        answers: outputs of the head: probabilities, float32 (n, classes), or numbers, float32 (n, 1).
        fold: number of the fold.
        condition: what the head knew of the speakers.
        temperature: by which the logits were divided.

    Returns:
        One row per clip, in the order of `indices`.
    """
    clips = data.clips.iloc[indices].reset_index(drop=True)
    columns = {PROBABILITY + label: answers[:, column] for column, label in enumerate(data.labels)}
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
    """Return the rows by which a run is judged: the first row of each clip, from the heads of the first seed alone.

    Other seeds may have tested other clips; including those would add clips that the first seed never scored.
    """
    first_seed = table[table["seed"] == table["seed"].iloc[0]] if "seed" in table and len(table) else table
    return first_seed.drop_duplicates("utterance_id")


def primary_rows_first(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with its primary rows in front and all other rows behind them, in their order."""
    rows = primary_rows(table)
    return pd.concat([rows, table.drop(rows.index)], ignore_index=True)


def read_predictions(path: Path) -> pd.DataFrame:
    """Read a predictions.csv, its probabilities exactly as they were scored.

    Raises:
        InputError: there is no such file, it cannot be read, a column is missing, or holds what is no number or no
            probability.
    """
    with input_error_on_read(f"expected a table of predictions at {path}"):
        expect(path.is_file(), "a file", str(path))
        table = pd.read_csv(path, dtype=dict.fromkeys(_TEXT, object), keep_default_na=False)
        expect(isinstance(table.index, pd.RangeIndex), "rows as long as the header", "longer ones")
        texts = [table[name] for name in _TEXT if name in table]
        expect(not any(text.str.contains("\0", regex=False).any() for text in texts), "texts without NUL", "others")
    missing = [name for name in (*_TEXT, "fold") if name not in table]
    if missing:
        raise InputError(f"expected a table of predictions, but {path} has no column {', '.join(missing)}")
    probabilities = [name for name in table.columns if name.startswith(PROBABILITY)]
    with input_error_on_read(f"expected probabilities in the {PROBABILITY} columns of {path}"):
        table = table.astype(dict.fromkeys(probabilities, np.float32))
        values = table[probabilities].to_numpy()
        expect(bool(((values >= 0) & (values <= 1)).all()), "numbers from 0 to 1", "others")
    for name in _NUMBERS:
        is_finite = name not in table or (is_numeric_dtype(table[name]) and np.isfinite(table[name]).all())
        if len(table) and not is_finite:
            raise InputError(f"expected numbers in the column {name} of {path}")
    return table


def require_answers(table: pd.DataFrame, labels: Sequence[str], path: Path) -> None:
    """Check that every row has what figures are made of: at least one clip, its label, and what the head answered.

    Args:
        table: predictions.
        labels: the classes; none for a head that answers with a number.
        path: of the table, for the message.

    Raises:
        InputError: there is no row, a value is none of the classes or no number, or the probabilities are not those of
            the classes or do not add up to 1; a table may be without any.
    """
    if table.empty:
        raise InputError(f"expected predictions of clips in {path}, found none")
    columns = [name.removeprefix(PROBABILITY) for name in table.columns if name.startswith(PROBABILITY)]
    if columns and columns != list(labels):
        raise InputError(f"expected {PROBABILITY} columns of {' '.join(labels) or 'no class'} in {path}, not {columns}")
    for column in ("label", "prediction"):
        numbers = pd.to_numeric(table[column], errors="coerce")
        is_right = table[column].isin(labels) if labels else np.isfinite(numbers)
        if not is_right.all():
            wanted = (
                f"one of the classes {', '.join(labels)}"
                if labels
                else f"a number, as there are no {PROBABILITY} columns,"
            )
            value = shortened(repr(table[column][~is_right].iloc[0]))
            raise InputError(f"expected {wanted} in column {column} of {path}, found {value}")
    if columns and not (abs(probability_matrix(table, labels).sum(axis=1) - 1) < 1e-3).all():
        raise InputError(f"expected probabilities that add up to 1 in the {PROBABILITY} columns of {path}")
