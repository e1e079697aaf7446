"""Rules: when a session raises an alert and where it is sent, read from a TOML file.

    [[rule]]
    name = "raised voice"                       # unique
    when = "angry > 0.6 for 5 s"                # see `ser_monitor.alerts.grammar`
    sources = ["hotline-*"]                     # patterns of source names, upper and lower case differ; default: all
    speakers = ["anna"]                         # likewise
    cooldown_s = 60                             # of audio from one alert to the next of the same source and speaker
    hysteresis = 0.05                           # how far the value has to go back before the alert ends
    channels = ["terminal", "webhook:https://example.org/alerts"]

Whatever is wrong with a file is one line that names the file and the line in it.
"""

import dataclasses
import re
import sys
import tomllib
from collections.abc import Callable, Collection, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from ser_embed.errors import InputError
from ser_embed.options import Bounds
from ser_embed.reading import reason_of, shortened
from ser_monitor.alerts.channels.base import ChannelContext
from ser_monitor.alerts.channels.registry import parse_channel
from ser_monitor.alerts.grammar import Condition, nearest, parse_condition
from ser_monitor.alerts.toml_lines import TableLines, syntax_error
from ser_monitor.events import Session

_ARRAY = "rule"
_LONGEST_NAME = 100
_MOST_BYTES = 1 << 20  # a thousand rules have 0.2 MB
_ENDLESS_NUMBER = re.compile(r"[\d_]{4000,}")
_COOLDOWN = Bounds(ge=0)
_HYSTERESIS = Bounds(ge=0, lt=1)
_OPEN_BRACKET = re.compile(r"\[(?!!?(?:\][^\]]*|[^\]]+)\])")  # which `fnmatch` would take as it is


@dataclasses.dataclass(frozen=True)
class Rule:
    """A rule.

    Attributes:
        name: unique among rules.
        condition: when it comes true.
        sources: patterns of the names of sources that it applies to.
        speakers: patterns of speakers that it applies to; "*" includes sessions without one.
        cooldown_s: the least seconds of audio from one alert to the next of the same source and speaker.
        hysteresis: how far the value has to go back over the threshold before the alert ends.
        channels: where alerts are sent; none are only recorded.
    """

    name: str
    condition: Condition
    sources: tuple[str, ...] = ("*",)
    speakers: tuple[str, ...] = ("*",)
    cooldown_s: float = 60.0
    hysteresis: float = 0.05
    channels: tuple[str, ...] = ("terminal",)

    def applies_to(self, session: Session) -> bool:
        """Return whether the session's source and speaker are among those of the rule."""
        return _matches(session.source, self.sources) and _matches(session.speaker, self.speakers)


def load_rules(
    path: str | Path, labels: Collection[str] | None = None, context: ChannelContext | None = None
) -> tuple[Rule, ...]:
    """Read the rules of a file.

    Args:
        path: of the TOML file.
        labels: emotions of the run, if they are known; a rule about another one is an error.
        context: what channels are checked with; by default the process's environment.

    Raises:
        InputError: the file cannot be read, or something in it is wrong: FILE, line N, what was expected and what came.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise InputError(f"cannot read the rules {path}: {reason_of(error)}") from error
    if len(data) > _MOST_BYTES:
        raise InputError(f"{path}: expected a file of rules of at most {_MOST_BYTES >> 20} MB")
    try:
        text = data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(f"{path}, line {line}: expected UTF-8, not the byte {data[error.start]:#04x}") from error
    return parse_rules(text, str(path), labels, context)


def parse_rules(
    text: str, file: str, labels: Collection[str] | None = None, context: ChannelContext | None = None
) -> tuple[Rule, ...]:
    """Read rules from a text.

    Args:
        text: TOML.
        file: name of the file, for errors.
        labels: emotions of the run, if they are known.
        context: what channels are checked with.

    Raises:
        InputError: see `load_rules`.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        line, reason = syntax_error(text, error)
        raise InputError(f"{file}, line {line}: expected TOML: {reason}") from error
    except RecursionError as error:
        raise InputError(f"{file}, line 1: expected TOML, not brackets within brackets") from error
    except ValueError as error:  # Python converts no longer number
        digits = _ENDLESS_NUMBER.search(text)
        line = text.count("\n", 0, digits.start()) + 1 if digits else 1
        raise InputError(f"{file}, line {line}: expected TOML, not a number of so many digits") from error
    return _Reader(file, TableLines(text, _ARRAY), labels, context or ChannelContext()).rules(document)


class _Reader:
    """The values of a document, checked."""

    def __init__(self, file: str, lines: TableLines, labels: Collection[str] | None, context: ChannelContext) -> None:
        self._file, self._lines = file, lines
        self._fields: dict[str, Callable[[Any], Any]] = {
            "name": _name,
            "when": lambda value: parse_condition(_text(value), labels),
            "sources": lambda value: _items(value, _pattern),
            "speakers": lambda value: _items(value, _pattern),
            "cooldown_s": lambda value: _number(value, _COOLDOWN),
            "hysteresis": lambda value: _number(value, _HYSTERESIS),
            "channels": lambda value: _items(value, lambda channel: _channel(channel, context), least=0),
        }

    def rules(self, document: Mapping[str, Any]) -> tuple[Rule, ...]:
        for key in document:
            if key != _ARRAY:
                message = f"unknown key {key!r}; expected [[{_ARRAY}]]{nearest(key, [_ARRAY])}"
                raise self._error(self._lines.of_top_level(key), message)
        tables = document.get(_ARRAY, [])
        if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
            line = self._lines.of_top_level(_ARRAY)
            raise self._error(line, f"expected tables [[{_ARRAY}]], with two brackets, not one {_ARRAY}")
        if not tables:
            raise self._error(1, f"expected at least one [[{_ARRAY}]]")
        rules = [self._rule(number, table) for number, table in enumerate(tables)]
        self._check_names([rule.name for rule in rules])
        return tuple(rules)

    def _rule(self, number: int, table: Mapping[str, Any]) -> Rule:
        for key in table:
            if key not in self._fields:
                hint = nearest(key, self._fields) or f"; expected one of {', '.join(self._fields)}"
                raise self._error(self._lines.of_table(number, key), f"unknown key {key!r}{hint}")
        for key in ("name", "when"):
            if key not in table:
                raise self._error(self._lines.of_table(number), f"expected {key} in the rule, which has none")
        values = {key: self._value(number, key, value) for key, value in table.items()}
        return Rule(condition=values.pop("when"), **values)

    def _value(self, number: int, key: str, value: Any) -> Any:
        try:
            return self._fields[key](value)
        except InputError as error:
            raise self._error(self._lines.of_table(number, key), f"{key}: {error}") from error

    def _check_names(self, names: Sequence[str]) -> None:
        numbers: dict[str, int] = {}
        for number, name in enumerate(names):
            first = numbers.setdefault(name, number)
            if first < number:
                message = f"name: expected one that is unique, not {name!r} again, which is in line"
                raise self._error(
                    self._lines.of_table(number, "name"), f"{message} {self._lines.of_table(first, 'name')}"
                )

    def _error(self, line: int, message: str) -> InputError:
        return InputError(f"{self._file}, line {line}: {message}")


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _text(value: Any) -> str:
    _expect(isinstance(value, str) and value.strip() != "", "text", value)
    return str(value)


def _name(value: Any) -> str:
    is_one_line = isinstance(value, str) and value.isprintable() and value.strip() != ""
    _expect(is_one_line and len(value) <= _LONGEST_NAME, f"a line of at most {_LONGEST_NAME} characters", value)
    return str(value)


def _pattern(value: Any) -> str:
    text = _text(value)
    _expect(not _OPEN_BRACKET.search(text), "a pattern of * ? and [letters]", value)
    return text


def _channel(value: Any, context: ChannelContext) -> str:
    parse_channel(_text(value), context)
    return str(value)


def _number(value: Any, bounds: Bounds) -> float:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    is_finite = is_number and abs(value) <= sys.float_info.max  # an integer of TOML may have any number of digits
    _expect(is_finite and bounds.contain(value), f"a number {bounds}", value)
    return float(value)


def _items(value: Any, read: Callable[[Any], str], least: int = 1) -> tuple[str, ...]:
    """Read a list of different texts.

    Args:
        value: of the key.
        read: reads an item.
        least: items.
    """
    _expect(isinstance(value, list) and len(value) >= least, 'a list, such as ["..."]', value)
    texts = tuple(map(read, value))
    _expect(len(set(texts)) == len(texts), "a list that names nothing twice", value)
    return texts


def _expect(is_right: bool, expected: str, value: Any) -> None:
    if not is_right:
        try:
            shown = shortened(repr(value))
        except ValueError:  # a hexadecimal number may be longer than any that Python writes
            shown = "a number of so many digits"
        raise InputError(f"expected {expected}, not {shown}")
