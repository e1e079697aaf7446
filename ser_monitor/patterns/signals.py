"""Signals: the quantities of a session that are watched for what is unusual.

A probability is taken as its log-odds, whose spread depends less on its level. The out-of-domain score is taken as its
logarithm and as a level: only what is unlike anything in training is unfamiliar, however usual it is.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ser_embed.errors import InputError
from ser_monitor.events import UNFAMILIAR_ABOVE, Event

LONGEST_PAUSE = 30  # windows without speech, after which what follows is another conversation
# Windows of the speaker that a window has to be scored with, if with any: the answers to a voice change while it is
# being enrolled, and the gain of so many is that of all.
SETTLED = 20
ACTIVATION, UNFAMILIAR = "activation", "unfamiliar"
HIGHER, LOWER = "higher", "lower"
# Probabilities beyond 0.1 % and 99.9 % are calibrated by few clips or none: all of them are equally sure.
_SMALLEST_PROBABILITY = 1e-3
_SMALLEST_SCORE = 1e-3


@dataclasses.dataclass(frozen=True)
class Signal:
    """A quantity that is watched.

    Attributes:
        name: "activation", "unfamiliar" or an emotion.
        noun: what it is called in messages.
        column: of a table of segments.
        read: returns the quantity of a segment from an event; None where it has none.
        scale: makes of quantities, float64 of any shape, what is charted.
        directions: in which it can be unusual.
        least: below this quantity nothing is unusual.
    """

    name: str
    noun: str
    column: str
    read: Callable[[Event], float | None]
    scale: Callable[[np.ndarray], np.ndarray]
    directions: tuple[str, ...] = (HIGHER, LOWER)
    least: float = -math.inf


def log_odds(probabilities: np.ndarray) -> np.ndarray:
    """Return the log-odds of probabilities, bounded by those of 0.1 % and 99.9 %.

    >>> log_odds(np.array([0.0, 0.5, 0.73])).round(1).tolist()
    [-6.9, 0.0, 1.0]
    """
    bounded = np.clip(probabilities, _SMALLEST_PROBABILITY, 1 - _SMALLEST_PROBABILITY)
    return np.log(bounded) - np.log1p(-bounded)


def _log_score(scores: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(scores, _SMALLEST_SCORE))


SIGNALS: dict[str, Signal] = {
    signal.name: signal
    for signal in (
        Signal(ACTIVATION, "activation", "activation", lambda event: event.activation, log_odds),
        Signal(
            UNFAMILIAR,
            "unfamiliarity",
            "ood_score",
            lambda event: event.ood_score,
            _log_score,
            (HIGHER,),
            UNFAMILIAR_ABOVE,
        ),
    )
}


def signal_of(name: str) -> Signal:
    """Return the signal of a name; any name that is not in `SIGNALS` is an emotion."""

    def read(event: Event) -> float | None:
        return event.smoothed.get(name)

    return SIGNALS.get(name) or Signal(name, name, f"s_{name}", read, log_odds)


def require_signals(names: tuple[str, ...], labels: tuple[str, ...]) -> None:
    """Check that a run answers with every signal.

    Args:
        names: of signals.
        labels: the run's classes.

    Raises:
        InputError: one is neither in `SIGNALS` nor a class.
    """
    for name in names:
        if name not in SIGNALS and name not in labels:
            raise InputError(f"expected as signal one of {', '.join([*SIGNALS, *labels])}, not {name!r}")


def settled(segments: Any) -> Any:
    """Return the windows whose speaker was enrolled, and all of sessions whose speaker never was.

    Args:
        segments: DataFrame of windows with the columns session_id and enrolled; without the latter all are returned.
    """
    if "enrolled" not in segments:
        return segments
    most = segments.groupby("session_id")["enrolled"].transform("max")
    return segments[(most == 0) | (segments["enrolled"] >= SETTLED)]


def runs_of(segments: Any, signal: Signal) -> list[np.ndarray]:
    """Return what is charted of a signal, in runs of windows without a long pause, float64 (windows,).

    Args:
        segments: DataFrame of windows with the columns session_id, number, the signal's, and enrolled, if that is
            known; sessions keep their order.
        signal: the signal.
    """
    if signal.column not in segments:
        return []
    scored = settled(segments).dropna(subset=[signal.column])
    if not len(scored):
        return []
    order = scored["session_id"].map({name: rank for rank, name in enumerate(scored["session_id"].unique())})
    ordered = scored.assign(_order=order).sort_values(["_order", "number"], kind="stable")
    is_next = (ordered["_order"].diff() == 0) & (ordered["number"].diff() <= LONGEST_PAUSE)
    values = signal.scale(ordered[signal.column].to_numpy(np.float64))
    return np.split(values, np.flatnonzero(~is_next.to_numpy())[1:])
