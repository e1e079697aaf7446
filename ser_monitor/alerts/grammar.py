"""Grammar of conditions: the text of a rule's `when` becomes a condition.

    angry > 0.6 for 5 s               a smoothed probability, or `activation`, compared with a number
    share(angry, 60 s) > 0.3          share of the last minute's speech that has a label
    rise(fear, 30 s) > 0.4            value now minus the mean of the 30 s before it, which are the default
    unfamiliar for 30 s               also `uncertain` and `silence`

Comparisons are > >= < <= and may end in `for DURATION`; units are ms, s, min and h. A label that is no plain word, or
one of the words above, stands in double quotes.
"""

import difflib
import json
import math
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import NoReturn

from ser_embed.errors import InputError
from ser_embed.reading import shortened
from ser_monitor.alerts.conditions import COMPARISONS, Condition
from ser_monitor.alerts.quantities import (
    UNITS_S,
    Activation,
    Emotion,
    Quantity,
    Rise,
    Share,
    Signal,
    Silence,
    Uncertainty,
    Unfamiliarity,
    duration_text,
)
from ser_monitor.events import UNCERTAIN, UNFAMILIAR_ABOVE

RISE_OVER_S = 30.0  # where `rise` names no duration
LONGEST_WINDOW_S = 3600.0  # of `share` and `rise`, which look at all windows of that time again for each new one
LONGEST_DURATION_S = 86400.0
_HALF = 0.5  # between no and yes, for states that have no threshold of their own

_TOKENS = re.compile(
    r"""\s*(?:
        (?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)
      | (?P<word>[^\W\d][\w-]*)
      | (?P<quoted>"(?:\\.|[^"\\])*")
      | (?P<comparison>[<>]=?)
      | (?P<mark>[(),])
      | (?P<end>\Z)
      | (?P<other>.)
    )""",
    re.VERBOSE | re.DOTALL,
)


STATES: dict[str, tuple[Quantity, float]] = {
    "unfamiliar": (Unfamiliarity(), UNFAMILIAR_ABOVE),
    "uncertain": (Uncertainty(), _HALF),
    "silence": (Silence(), _HALF),
}
"""Quantities whose name alone is a condition, with the value above which it holds."""


def parse_condition(text: str, labels: Collection[str] | None = None) -> Condition:
    """Parse the text of a rule's `when`.

    Args:
        text: such as "angry > 0.6 for 5 s".
        labels: the run's emotions, if they are known.

    Raises:
        InputError: the column, what was expected and what came.

    >>> str(parse_condition("rise(fear)>.4"))
    'rise(fear, 30 s) > 0.4'
    """
    return _Parser(text, labels).condition()


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    column: int

    def __str__(self) -> str:
        return "the end" if self.kind == "end" else shortened(repr(self.text))


def _tokens(text: str) -> Iterator[_Token]:
    position, kind = 0, ""
    while kind != "end" and (match := _TOKENS.match(text, position)):
        kind = match.lastgroup or "end"
        yield _Token(kind, match[kind], match.start(kind) + 1)
        position = match.end()


class _Parser:
    """A parser by recursive descent; one method for each rule of the grammar."""

    def __init__(self, text: str, labels: Collection[str] | None) -> None:
        self._tokens = list(_tokens(text))
        self._labels = labels

    @property
    def _next(self) -> _Token:
        return self._tokens[0]

    def condition(self) -> Condition:
        if self._next.kind == "word" and self._next.text in STATES:
            quantity, threshold = STATES[self._take().text]
            self._expect("word", "for")
            condition = Condition(quantity, ">", threshold, self._duration(LONGEST_DURATION_S), is_state=True)
        else:
            quantity = self._quantity()
            comparison = self._expect("comparison").text
            threshold = self._threshold(quantity)
            condition = Condition(quantity, comparison, threshold, self._optional_duration())
        self._expect("end")
        return condition

    def _quantity(self) -> Quantity:
        functions = {"share": self._share, "rise": self._rise}
        if self._next.kind == "word" and self._next.text in functions:
            return functions[self._take().text]()
        return self._signal()

    def _share(self) -> Share:
        self._expect("mark", "(")
        label = self._label("an emotion", {UNCERTAIN})
        self._expect("mark", ",")
        window_s = self._duration(LONGEST_WINDOW_S)
        self._expect("mark", ")")
        return Share(label, window_s)

    def _rise(self) -> Rise:
        self._expect("mark", "(")
        signal, window_s = self._signal(), RISE_OVER_S
        if self._next.text == ",":
            self._take()
            window_s = self._duration(LONGEST_WINDOW_S)
        self._expect("mark", ")")
        return Rise(signal, window_s)

    def _signal(self) -> Signal:
        if self._next.kind == "word" and self._next.text == "activation":
            self._take()
            return Activation()
        return Emotion(self._label("an emotion, activation, share, rise, unfamiliar, uncertain or silence"))

    def _label(self, expected: str, others: Collection[str] = ()) -> str:
        token = self._next
        if token.kind == "quoted":
            try:
                label = json.loads(token.text, strict=False)
            except ValueError:
                self._fail("a name in double quotes")
        elif token.kind == "word":
            label = token.text
        else:
            self._fail(expected)
        if self._labels is not None and label not in {*self._labels, *others}:
            self._fail(f"an emotion of the run ({', '.join(self._labels)})", nearest(label, self._labels))
        self._take()
        return label

    def _threshold(self, quantity: Quantity) -> float:
        expected = f"a number from {quantity.lowest:g} to {quantity.highest:g}"
        threshold = float(self._next.text) if self._next.kind == "number" else math.nan
        if not quantity.lowest <= threshold <= quantity.highest:
            self._fail(expected)
        self._take()
        return threshold

    def _optional_duration(self) -> float:
        if self._next.kind == "end":
            return 0.0
        self._expect("word", "for", "for DURATION or the end")
        return self._duration(LONGEST_DURATION_S)

    def _duration(self, longest_s: float) -> float:
        number, expected = self._next, f"a duration up to {duration_text(longest_s)}, such as 5 s or 2 min,"
        count = float(number.text) if number.kind == "number" else math.nan
        if not (count > 0 and math.isfinite(count)):
            self._fail(expected)
        unit = self._tokens[1].text
        if unit not in UNITS_S:
            self._take()
            self._fail(f"a unit ({', '.join(UNITS_S)})")
        duration_s = count / 1000 if unit == "ms" else count * UNITS_S[unit]  # a thousandth is no exact float
        if not 0 < duration_s <= longest_s:
            self._fail(expected)
        self._take()
        self._take()
        return duration_s

    def _take(self) -> _Token:
        return self._tokens.pop(0)

    def _expect(self, kind: str, text: str = "", expected: str = "") -> _Token:
        if self._next.kind != kind or (text and self._next.text != text):
            names = {"end": "the end", "comparison": f"one of {' '.join(COMPARISONS)}"}
            self._fail(expected or names.get(kind) or repr(text))
        return self._take()

    def _fail(self, expected: str, hint: str = "") -> NoReturn:
        raise InputError(f"column {self._next.column}: expected {expected.rstrip(',')}, not {self._next}{hint}")


def nearest(name: str, names: Collection[str]) -> str:
    """Return " (did you mean ...?)" with the nearest of some names, or "" if none is near.

    >>> nearest("angri", ["angry", "calm"])
    ' (did you mean angry?)'
    """
    close = difflib.get_close_matches(name, names, n=1)
    return f" (did you mean {close[0]}?)" if close else ""
