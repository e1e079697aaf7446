"""Figures of groups of clips: per speaker, per gender, per corpus, per any column of the manifest.

The grouping columns are written into predictions.csv as text, named `by_<column>`, so that the figures can be computed
from that file alone. Clips with a missing value form the group "".
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ser_embed.errors import InputError
from ser_head.evaluation.recall import unweighted_average_recall

PREFIX = "by_"
_PREDICTION_COLUMNS = ("speaker", "label", "fold", "condition")  # every table of predictions can be grouped by these

Figures = dict[str, Any]


def with_groups(table: pd.DataFrame, clips: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Add columns of the manifest to predictions, as text, named `by_<column>`.

    Args:
        table: predictions, with the column utterance_id.
        clips: manifest rows of at least the clips in `table`.
        columns: columns of the manifest.

    Returns:
        A copy of `table` with these columns.

    Raises:
        InputError: the manifest has no such column.
    """
    for column in columns:
        if column not in clips:
            raise InputError(f"--by has to name a column of the manifest ({', '.join(clips.columns)}), not {column!r}")
    clip_rows = clips.set_index("utterance_id", drop=False)
    groups = {PREFIX + column: table["utterance_id"].map(_as_text(clip_rows[column])) for column in columns}
    return table.assign(**groups)


def columns_of(table: pd.DataFrame) -> list[str]:
    """Return the columns of the manifest that `with_groups` added to a table of predictions."""
    return [name.removeprefix(PREFIX) for name in table.columns if name.startswith(PREFIX)]


def read_groups(path: Path) -> pd.DataFrame:
    """Read the `by_` columns of a table of predictions, as text: "07" stays "07"."""
    return pd.read_csv(path, usecols=lambda name: name.startswith(PREFIX), dtype=object, keep_default_na=False)


def by_columns(
    table: pd.DataFrame, columns: Sequence[str], measure: Callable[[pd.DataFrame], Figures] | None = None
) -> dict[str, dict[str, Figures]]:
    """Compute the figures of each group of clips.

    Args:
        table: predictions, one row per clip.
        columns: what to group by: the column of a `by_<column>`, or one of speaker, label, fold, condition.
        measure: computes a group's figures from its rows; None for `accuracy_and_uar`.

    Returns:
        For each column the figures by value.

    Raises:
        InputError: the table has no such column.
    """
    return {column: _by_column(table, column, measure or accuracy_and_uar) for column in columns}


def accuracy_and_uar(rows: pd.DataFrame) -> Figures:
    """Return n, accuracy and uar, over the classes that occur in these rows.

    Args:
        rows: columns label and prediction.
    """
    targets, predictions = rows["label"].to_numpy(object), rows["prediction"].to_numpy(object)
    return {
        "n": len(rows),
        "accuracy": float((targets == predictions).mean()),
        "uar": unweighted_average_recall(targets, predictions),
    }


def _by_column(table: pd.DataFrame, column: str, measure: Callable[[pd.DataFrame], Figures]) -> dict[str, Figures]:
    """Compute the figures of the groups of one column; its `by_<column>` goes before a column of predictions."""
    name = PREFIX + column if PREFIX + column in table else column
    if name == column and column not in _PREDICTION_COLUMNS:
        available = ", ".join(dict.fromkeys([*columns_of(table), *_PREDICTION_COLUMNS]))
        raise InputError(f"--by has to name a column of these predictions ({available}), not {column!r}")
    return {str(value): measure(rows) for value, rows in table.groupby(_as_text(table[name]))}


def _as_text(values: pd.Series) -> pd.Series:
    """Return values as text: 31.0 as "31", a missing one as ""."""
    if not pd.api.types.is_float_dtype(values):
        return values.astype(str).astype(object)
    texts = [np.format_float_positional(value, trim="-") if np.isfinite(value) else "" for value in values]
    return pd.Series(texts, index=values.index, dtype=object)
