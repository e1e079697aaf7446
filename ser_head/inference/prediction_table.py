"""What is answered about audio: an emotion, or that it is uncertain; as a table, as lines for people, and as JSON."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ser_head.evaluation.predictions import PROBABILITY

SILENT = "silent"  # what a window without a voice is called; it has no probabilities
UNCERTAIN = "uncertain"
NUMBER = "value"  # the column of a head that answers with a number
UNFAMILIAR = "unlike anything in training"
OOD_THRESHOLD = 1.0  # see `ser_head.runs.run.Run.ood_score`
_STRETCHES = 12  # stretches of one emotion told in a file's line; --output has all windows


@dataclasses.dataclass(frozen=True)
class Predictions:
    """What was heard.

    Attributes:
        table: one row per file, or per window: file, start_s, end_s, emotion, confidence (the largest probability),
            unfamiliarity (above 1 the audio is unlike anything in training), and p_<emotion> per class. A head that
            answers with a number has the column value in place of emotion, confidence and p_<emotion>.
        unreadable: one {"file", "reason"} for each file that could not be read.
        enrolled: with how many other clips of the speaker each file was scored, at least.
    """

    table: pd.DataFrame
    unreadable: tuple[dict[str, str], ...]
    enrolled: int = 0

    @property
    def unfamiliar(self) -> pd.Series:
        """Whether each row is unlike anything in training, bool."""
        return self.table["unfamiliarity"] > OOD_THRESHOLD

    def lines(self) -> list[str]:
        """Return one line per file: its emotion and probabilities, or its timeline."""
        return [_line(str(file), rows) for file, rows in self.table.groupby("file", sort=False)]

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values, a list of windows per file."""
        table = self.table.assign(unfamiliar=self.unfamiliar).astype(object)
        plain = table.where(table.notna(), None)
        files = [
            {"file": file, "windows": rows.drop(columns="file").to_dict("records")}
            for file, rows in plain.groupby("file", sort=False)
        ]
        return {"files": files, "unreadable": list(self.unreadable), "enrolled": self.enrolled}

    def write(self, path: Path) -> None:
        """Write the table as csv, or everything as json, by the suffix of `path`."""
        import json

        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix.lower() == ".csv":
            self.table.to_csv(path, index=False)
        else:
            path.write_text(json.dumps(self.to_json(), indent=2, ensure_ascii=False) + "\n", "utf-8")


def emotions_of(
    probabilities: np.ndarray, labels: Sequence[str], ood_score: np.ndarray, min_confidence: float | None
) -> np.ndarray:
    """Answer with an emotion where one can be answered.

    However sure a head is of audio unlike anything in training, that is worth no confidence at all.

    Args:
        probabilities: (pieces, classes); NaN for a silent piece.
        labels: the classes.
        ood_score: (pieces,), NaN for a silent piece.
        min_confidence: below this probability, and where audio is unfamiliar, the answer is `UNCERTAIN`. None asks for
            no probability in particular; 0 takes every answer, of unfamiliar audio too.

    Returns:
        A label, `UNCERTAIN` or `SILENT` of each, (pieces,) of str.
    """
    silent = np.isnan(probabilities).any(axis=1)
    best = np.where(silent[:, None], 0, probabilities).argmax(axis=1)
    unsure = probabilities.max(axis=1) < (min_confidence or 0)
    if min_confidence != 0:
        unsure |= ood_score > OOD_THRESHOLD
    return np.select([silent, unsure], [SILENT, UNCERTAIN], np.array(labels, dtype=object)[best])


def _line(file: str, rows: pd.DataFrame) -> str:
    strange = int((rows["unfamiliarity"] > OOD_THRESHOLD).sum())
    if NUMBER in rows:
        rows = rows.assign(emotion=[SILENT if np.isnan(value) else f"{value:.3g}" for value in rows[NUMBER]])
    if len(rows) == 1:
        return f"{file}: {_one(rows)}" + (f", {UNFAMILIAR}" if strange else "")
    begins = rows[rows["emotion"] != rows["emotion"].shift()]  # the first window of each stretch of one emotion
    ends = [*begins["start_s"].iloc[1:], rows["end_s"].iloc[-1]]
    told = [
        f"{_clock(start)}-{_clock(end)} {emotion}"
        for start, end, emotion in zip(begins["start_s"], ends, begins["emotion"], strict=True)
    ]
    more = f", ... ({len(told) - _STRETCHES} more)" if len(told) > _STRETCHES else ""
    warning = f"; {strange} of {len(rows)} windows {UNFAMILIAR}" if strange else ""
    return f"{file}: {', '.join(told[:_STRETCHES])}{more}{warning}"


def _one(rows: pd.DataFrame) -> str:
    """Return the answer of one piece, and what else it may be."""
    emotion = rows["emotion"].iloc[0]
    if NUMBER in rows:
        return str(emotion)
    confidence = rows["confidence"].iloc[0]
    classes = rows.filter(regex=f"^{PROBABILITY}").iloc[0].sort_values(ascending=False)
    told = [f"{str(name).removeprefix(PROBABILITY)} {value:.2f}" for name, value in classes.iloc[:3].items()]
    if emotion == UNCERTAIN:
        return f"{emotion} ({', '.join(told)})"
    return f"{emotion} {confidence:.2f} ({', '.join(told[1:])})"


def _clock(seconds: float) -> str:
    return f"{int(seconds // 60)}:{seconds % 60:04.1f}"
