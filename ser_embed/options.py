"""Options: config dataclasses whose fields are command-line flags with defaults, bounds and choices.

A config dataclass is the only home of its defaults and bounds. Its fields are declared with `option`, which carries the
help text; `add_options` turns them into flags, `config_from_args` parsed flags into the dataclass, and `check_options`
holds its values to their bounds, from the command line and from Python alike.
"""

import argparse
import dataclasses
import inspect
import math
from collections.abc import Callable, Collection
from numbers import Integral, Real
from typing import Any, TypeVar

from ser_embed.errors import InputError

Config = TypeVar("Config")
Function = TypeVar("Function", bound=Callable[..., Any])

_NUMBERS: dict[Any, tuple[type, str]] = {int: (Integral, "a whole number"), float: (Real, "a number")}


@dataclasses.dataclass(frozen=True)
class Bounds:
    """Bounds of a number or of each of several; None is no bound.

    Attributes:
        ge: the number is at least this.
        gt: the number is above this.
        le: the number is at most this.
        lt: the number is below this.
    """

    ge: float | None = None
    gt: float | None = None
    le: float | None = None
    lt: float | None = None

    def contain(self, value: float) -> bool:
        """Return whether a finite value lies within."""
        return (
            math.isfinite(value)
            and (self.ge is None or value >= self.ge)
            and (self.gt is None or value > self.gt)
            and (self.le is None or value <= self.le)
            and (self.lt is None or value < self.lt)
        )

    def __str__(self) -> str:
        """Return the bounds in words.

        >>> str(Bounds(ge=0, le=1)), str(Bounds(gt=0)), str(Bounds(ge=0, lt=1))
        ('from 0 to 1', 'positive', 'at least 0 and below 1')
        """
        if self == Bounds(gt=0):
            return "positive"
        if self == Bounds(ge=0):
            return "zero or positive"
        if self.ge is not None and self.le is not None:
            return f"from {self.ge:g} to {self.le:g}"
        words = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
        values = {name: getattr(self, name) for name in words}
        return " and ".join(f"{words[name]} {value:g}" for name, value in values.items() if value is not None)


def option(
    default: Any = dataclasses.MISSING,
    *,
    help: str,
    parse: Callable[[str], Any] = str,
    ge: float | None = None,
    gt: float | None = None,
    le: float | None = None,
    lt: float | None = None,
    one_of: Collection[str] | None = None,
    **flag: Any,
) -> Any:
    """Declare a config field that is also a command-line flag.

    Args:
        default: the field's default; without one the flag is required.
        help: what the flag means, with its unit. The default is added to it.
        parse: turns the flag's text into the field's value.
        ge: the value is at least this.
        gt: the value is above this.
        le: the value is at most this.
        lt: the value is below this.
        one_of: the values there are.
        **flag: further `add_argument` keywords, such as `metavar`, `choices` or `nargs`.
    """
    bounds = Bounds(ge, gt, le, lt)
    metadata = {"help": help, "parse": parse, "flag": flag, "bounds": bounds, "one_of": one_of}
    return dataclasses.field(default=default, metadata=metadata)


def add_options(parser: argparse.ArgumentParser, config: type) -> None:
    """Add one flag to `parser` for each field of the dataclass `config` declared with `option`, required ones first."""
    for field in sorted(dataclasses.fields(config), key=lambda field: field.default is not dataclasses.MISSING):
        if not field.metadata:
            continue
        flag = dict(field.metadata["flag"])
        text = field.metadata["help"]
        if field.default is False:
            flag["action"] = "store_true"
        else:
            flag["type"] = field.metadata["parse"]
        if field.metadata["one_of"] is not None:
            flag.setdefault("metavar", f"{{{','.join(field.metadata['one_of'])}}}")
        if field.default is dataclasses.MISSING:
            flag["required"] = True
        elif field.default not in (None, ()) and field.default is not False:  # 0 is a default worth showing
            default = ",".join(map(str, field.default)) if isinstance(field.default, tuple) else field.default
            text += f" (default: {default})"
        parser.add_argument(flag_name(field.name), default=argparse.SUPPRESS, help=text.replace("%", "%%"), **flag)


def flag_name(field: str) -> str:
    """Return the flag of a config field.

    >>> flag_name("batch_size")
    '--batch-size'
    """
    return "--" + field.replace("_", "-")


def with_config_signature(config: type) -> Callable[[Function], Function]:
    """Show the fields of the dataclass `config` in the signature of a function that takes them as keywords."""

    def decorate(function: Function) -> Function:
        signature = inspect.signature(function)
        explicit = [
            parameter for parameter in signature.parameters.values() if parameter.kind is not parameter.VAR_KEYWORD
        ]
        fields = [
            parameter.replace(kind=parameter.KEYWORD_ONLY)
            for parameter in inspect.signature(config).parameters.values()
            if parameter.name not in signature.parameters
        ]
        function.__signature__ = signature.replace(parameters=[*explicit, *fields])  # type: ignore[attr-defined]
        return function

    return decorate


def config_from_args(args: argparse.Namespace, config: type[Config]) -> Config:
    """Build the dataclass `config` from parsed flags; a flag not given keeps the dataclass's default."""
    names = {field.name for field in dataclasses.fields(config)}  # type: ignore[arg-type]
    values = {name: value for name, value in vars(args).items() if name in names}
    return config(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})


def check_options(config: Any) -> None:
    """Check the fields of a config dataclass: their types where they are numbers, their bounds, their choices.

    Numbers become plain `int` and `float`.

    Raises:
        InputError: naming the flag, what was expected and what came.
    """
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if not field.metadata or (value is None and field.default is None):
            continue
        number, bounds, choices = (field.metadata[name] for name in ("parse", "bounds", "one_of"))
        if number in _NUMBERS:
            kind, expected = _NUMBERS[number]
            require(isinstance(value, kind), field.name, expected, value)
            value = number(value)
            object.__setattr__(config, field.name, value)
            require(bounds.contain(value), field.name, str(bounds) or "finite", value)
        if choices is not None:
            require(value in choices, field.name, f"one of {', '.join(choices)}", value)


def require_utf8(config: Any, *fields: str) -> None:
    """Check that texts which databases and pages hold are UTF-8, which arguments of a command need not be.

    Args:
        config: a dataclass.
        fields: its fields, of texts or None.

    Raises:
        InputError: naming the flag.
    """
    for field in fields:
        text = getattr(config, field) or ""
        require(not any("\ud800" <= character <= "\udfff" for character in text), field, "UTF-8", text)


def require(is_met: bool, field: str, expected: str, value: Any) -> None:
    """Check one condition on a config field.

    Args:
        is_met: whether it holds.
        field: name of the field.
        expected: the condition, to follow "has to be".
        value: the field's value.

    Raises:
        InputError: it does not hold.
    """
    if not is_met:
        raise InputError(f"{flag_name(field)} has to be {expected}, not {value!r}")
