"""Prediction table: an emotion for each file or window, or that it is uncertain; as a table, as text, and as JSON."""

import dataclasses
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ser_embed.cli import printable
from ser_head.evaluation.predictions import PROBABILITY
from ser_head.inference.audio import Segment
from ser_head.inference.output_formats import write_output
from ser_head.scoring.activation import activation

SILENT = "silent"  # the emotion of a window without a voice, which has no probabilities
UNCERTAIN = "uncertain"
NUMBER = "value"  # the column of a head that answers with a number
OOD_COLUMN = "unfamiliarity"
ACTIVATION = "activation"
OUT_OF_DOMAIN = "unlike anything in training"
OOD_THRESHOLD = 1.0  # see `ser_head.runs.run.Run.ood_score`
_LONGEST_TIMELINE = 12  # stretches of one emotion in a file's line; the output has all windows


@dataclasses.dataclass(frozen=True)
class Predictions:
    """Emotions of some audio.

    Attributes:
        table: one row per file, or per window: file, start_s, end_s, emotion, confidence (the largest probability),
            activation (see `ser_head.scoring.activation`; absent where the classes have none), unfamiliarity
            (out-of-domain score; above 1 the audio is unlike anything in training), and p_<emotion> per class. A head
            that answers with a number has the column value in place of emotion, confidence, activation and p_<emotion>.
        unreadable: one {"file", "reason"} for each file that could not be read.
        enrolled: number of other clips of the speaker with which each file was scored, at least.
        activation_first: whether lines begin with activation, as that can be trusted more than the emotion.
    """

    table: pd.DataFrame
    unreadable: tuple[dict[str, str], ...] = ()
    enrolled: int = 0
    activation_first: bool = False

    @property
    def is_out_of_domain(self) -> pd.Series:
        """Whether each row is unlike anything in training, bool."""
        return self.table[OOD_COLUMN] > OOD_THRESHOLD

    def lines(self) -> list[str]:
        """Return one line per file: its emotion and probabilities, or its timeline."""
        files = self.table.groupby("file", sort=False)
        return [_line(printable(str(file)), rows, self.activation_first) for file, rows in files]

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values, a list of windows per file."""
        table = self.table.assign(unfamiliar=self.is_out_of_domain).astype(object)
        table = table.where(table.notna(), None)
        files = [
            {"file": file, "windows": rows.drop(columns="file").to_dict("records")}
            for file, rows in table.groupby("file", sort=False)
        ]
        return {"files": files, "unreadable": list(self.unreadable), "enrolled": self.enrolled}

    def write(self, path: Path) -> None:
        """Write to a file, whole or not at all, in the format of its suffix (`ser_head.inference.output_formats`)."""
        write_output(self, path)

    def __repr__(self) -> str:
        """Return the number of files and rows, and the first lines."""
        lines = self.lines()
        more = f"\n... {len(lines) - 5} more files" if len(lines) > 5 else ""
        return "\n".join([f"Predictions({len(self.table)} rows, {len(self.unreadable)} unreadable)", *lines[:5]]) + more

    def _repr_html_(self) -> str:
        unreadable = f"<p>unreadable: {len(self.unreadable)}</p>" if self.unreadable else ""
        return self.table.round(3)._repr_html_() + unreadable  # type: ignore[operator]


class Scores:
    """Scores of some segments, before they are made into a table.

    Attributes:
        segments: what was scored.
        labels: the classes; none for a head that answers with a number.
        outputs: probabilities, float64 (segments, classes), or numbers (segments, 1); NaN where a segment is silent.
        ood_scores: float64 (segments,), NaN where a segment is silent.
    """

    def __init__(
        self, segments: Sequence[Segment], labels: Sequence[str], outputs: np.ndarray, ood_scores: np.ndarray
    ) -> None:
        """Take the scores.

        Args:
            segments: what was scored.
            labels: the classes.
            outputs: of the head.
            ood_scores: of the out-of-domain detector.
        """
        self.segments, self.labels = segments, tuple(labels)
        self.outputs, self.ood_scores = outputs, ood_scores

    @cached_property
    def is_silent(self) -> np.ndarray:
        """Whether each segment is silent, bool (segments,)."""
        return np.isnan(self.outputs).any(axis=1)

    def ranked(self, row: int, target: str, top_k: int | None = None) -> list[dict[str, Any]]:
        """Return the answer to one segment as transformers' pipelines give it: [{"label", "score"}], likeliest first.

        Args:
            row: the segment.
            target: label of a number, for a head that answers with one.
            top_k: return so many classes; None for all.
        """
        if self.is_silent[row]:
            return []
        scores = self.outputs[row].tolist()
        if not self.labels:
            return [{"label": target, "score": scores[0]}]
        order = sorted(range(len(scores)), key=lambda index: -scores[index])[:top_k]
        return [{"label": self.labels[index], "score": scores[index]} for index in order]

    def table(self, min_confidence: float | None) -> pd.DataFrame:
        """Return the columns of `Predictions.table`.

        Args:
            min_confidence: see `emotions_of`.
        """
        columns: dict[str, Any] = {
            "file": [segment.file for segment in self.segments],
            "start_s": [round(segment.start_s, 3) for segment in self.segments],
            "end_s": [round(segment.end_s, 3) for segment in self.segments],
        }
        if not self.labels:
            return pd.DataFrame({**columns, NUMBER: self.outputs[:, 0], OOD_COLUMN: self.ood_scores})
        activations = activation(self.outputs, self.labels)
        return pd.DataFrame(
            {
                **columns,
                "emotion": emotions_of(self.outputs, self.labels, self.ood_scores, min_confidence),
                "confidence": self.outputs.max(axis=1),
                **({} if activations is None else {ACTIVATION: activations}),
                OOD_COLUMN: self.ood_scores,
                **{PROBABILITY + label: self.outputs[:, index] for index, label in enumerate(self.labels)},
            }
        )


def emotions_of(
    probabilities: np.ndarray, labels: Sequence[str], ood_scores: np.ndarray, min_confidence: float | None
) -> np.ndarray:
    """Return the most probable emotion of each segment, where it is probable enough.

    Audio unlike anything in training is uncertain, however confident the head is.

    Args:
        probabilities: (segments, classes); NaN for a silent segment.
        labels: the classes.
        ood_scores: (segments,), NaN for a silent segment.
        min_confidence: below this probability, and where audio is out of domain, the answer is `UNCERTAIN`. None sets
            no minimum; 0 takes every answer, of out-of-domain audio too.

    Returns:
        A label, `UNCERTAIN` or `SILENT` for each segment, (segments,) of str.
    """
    is_silent = np.isnan(probabilities).any(axis=1)
    best = np.where(is_silent[:, None], 0, probabilities).argmax(axis=1)
    is_uncertain = probabilities.max(axis=1) < (min_confidence or 0)
    if min_confidence != 0:
        is_uncertain |= ood_scores > OOD_THRESHOLD
    return np.select([is_silent, is_uncertain], [SILENT, UNCERTAIN], np.array(labels, dtype=object)[best])


def _line(file: str, rows: pd.DataFrame, activation_first: bool) -> str:
    """Return the line of a file.

    Args:
        file: its name, printable.
        rows: its rows of the table.
        activation_first: whether the line begins with activation.
    """
    num_out_of_domain = int((rows[OOD_COLUMN] > OOD_THRESHOLD).sum())
    if NUMBER in rows:
        rows = rows.assign(emotion=[SILENT if np.isnan(value) else f"{value:.3g}" for value in rows[NUMBER]])
    level = _activation(rows)
    if len(rows) == 1:
        parts = [level, _answer(rows)] if activation_first else [_answer(rows), level]
        return f"{file}: {', '.join(filter(None, parts))}" + (f", {OUT_OF_DOMAIN}" if num_out_of_domain else "")
    warning = f"; {num_out_of_domain} of {len(rows)} windows {OUT_OF_DOMAIN}" if num_out_of_domain else ""
    beginning = f"{level}; " if level and activation_first else ""
    return f"{file}: {beginning}{_timeline(rows)}{warning}"


def _activation(rows: pd.DataFrame) -> str:
    """Return the activation of a row, or mean and range of several; "" where there is none."""
    values = rows.get(ACTIVATION, pd.Series(dtype=float)).dropna()
    if values.empty:
        return ""
    bounds = f" ({values.min():.2f} to {values.max():.2f})" if len(rows) > 1 else ""
    return f"{ACTIVATION} {values.mean():.2f}{bounds}"


def _timeline(rows: pd.DataFrame) -> str:
    """Return the stretches of one emotion after the other, the first `_LONGEST_TIMELINE` of them."""
    firsts = rows[rows["emotion"] != rows["emotion"].shift()]  # the first window of each stretch of one emotion
    ends = [*firsts["start_s"].iloc[1:], rows["end_s"].iloc[-1]]
    stretches = [
        f"{_clock(start)}-{_clock(end)} {emotion}"
        for start, end, emotion in zip(firsts["start_s"], ends, firsts["emotion"], strict=True)
    ]
    num_left_out = len(stretches) - _LONGEST_TIMELINE
    return ", ".join(stretches[:_LONGEST_TIMELINE]) + (f", ... ({num_left_out} more)" if num_left_out > 0 else "")


def _answer(rows: pd.DataFrame) -> str:
    """Return the answer of a single row with the next likely ones."""
    emotion = rows["emotion"].iloc[0]
    if NUMBER in rows or emotion == SILENT:
        return str(emotion)
    confidence = rows["confidence"].iloc[0]
    probabilities = rows.filter(regex=f"^{PROBABILITY}").iloc[0].sort_values(ascending=False)
    likeliest = [f"{str(name).removeprefix(PROBABILITY)} {value:.2f}" for name, value in probabilities.iloc[:3].items()]
    if emotion == UNCERTAIN:
        return f"{emotion} ({', '.join(likeliest)})"
    return f"{emotion} {confidence:.2f} ({', '.join(likeliest[1:])})"


def _clock(seconds: float) -> str:
    return f"{int(seconds // 60)}:{seconds % 60:04.1f}"
