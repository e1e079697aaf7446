"""Command line: flags made from a config dataclass, one line for an error, exit codes.

A config dataclass is the only home of its defaults and bounds. Its fields are declared with `option`, which carries the
help text; a `Command` turns them into flags, runs a function with them, and prints what came of it: the result to
stdout, the library's log and whatever went wrong to stderr.
"""

import argparse
import contextlib
import dataclasses
import inspect
import json
import logging
import math
import signal
import sys
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from numbers import Integral, Real
from types import ModuleType
from typing import Any, NoReturn, TypeVar

from ser_embed.errors import EXIT_BAD_INPUT, EXIT_DONE, EXIT_FAILED, EXIT_SOME_UNREADABLE, InputError, SerError

Config = TypeVar("Config")
Function = TypeVar("Function", bound=Callable[..., Any])

LOGGERS = ("ser_embed", "ser_head")
UNREADABLE_SHOWN = 20  # unreadable files named on the terminal; the output names all of them
_NUMBERS: dict[Any, tuple[type, str]] = {int: (Integral, "a whole number"), float: (Real, "a number")}


class CommandModule(ModuleType):
    """A module that can be called like the function of the same name inside it.

    `python -m ser_embed.extract` needs a module of that name and notebooks want `ser_embed.extract(...)`;
    a command module sets its own class to this one and is both.
    """

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function that bears the module's name."""
        return self._function(*args, **kwargs)

    @property
    def __signature__(self) -> inspect.Signature:
        """The function's signature, for notebooks to complete."""
        return inspect.signature(self._function)

    @property
    def _function(self) -> Callable[..., Any]:
        return getattr(self, self.__name__.rpartition(".")[2])


class CommandParser(argparse.ArgumentParser):
    """An argument parser whose usage errors are one line and exit code 2."""

    def error(self, message: str) -> NoReturn:
        """Print one line to stderr and exit with 2."""
        self.exit(EXIT_BAD_INPUT, f"error: {message} (see {self.prog} --help)\n")


@dataclasses.dataclass(frozen=True)
class CommandOutput:
    """What a command has to say when it is done.

    Attributes:
        text: for people; "" prints nothing.
        document: for `--json`.
        unreadable: one {"path" or "file", "reason"} for each file that could not be read.
        exit_code: where nothing is unreadable.
    """

    text: str
    document: Mapping[str, Any]
    unreadable: Sequence[Mapping[str, str]] = ()
    exit_code: int = EXIT_DONE


@dataclasses.dataclass(frozen=True)
class Command:
    """A command line in front of a function.

    Attributes:
        module: that is run, such as "ser_embed.extract".
        description: for `--help`.
        run: does the work.
        config: dataclass whose fields become flags, if there is one.
        add_arguments: adds further arguments to the parser.
        epilog: stands below the flags in `--help`, as it is.
        resumes: whether the same command goes on where it was stopped.
    """

    module: str
    description: str
    run: Callable[[argparse.Namespace], CommandOutput]
    config: type | None = None
    add_arguments: Callable[[argparse.ArgumentParser], object] | None = None
    epilog: str | None = None
    resumes: bool = False

    def build_parser(self, prog: str | None = None) -> CommandParser:
        """Return the command's parser; `prog` is how the user called it, if not as a module."""
        parser = CommandParser(
            prog or f"python -m {self.module}",
            description=self.description,
            epilog=self.epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter if self.epilog else argparse.HelpFormatter,
        )
        if self.add_arguments is not None:
            self.add_arguments(parser)
        if self.config is not None:
            add_options(parser, self.config)
        parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")
        return parser

    def main(self, argv: Sequence[str] | None = None, prog: str | None = None) -> int:
        """Parse the arguments, run the command and print its output; return the exit code."""
        args = self.build_parser(prog).parse_args(argv)

        def work() -> int:
            output = self.run(args)
            if args.json:
                print_json(output.document)
            elif output.text:
                print(output.text)
            for clip in output.unreadable[:UNREADABLE_SHOWN]:
                note(f"unreadable: {clip.get('path') or clip.get('file')}: {clip['reason']}")
            if len(output.unreadable) > UNREADABLE_SHOWN:
                note(f"... and {len(output.unreadable) - UNREADABLE_SHOWN} more unreadable files")
            return EXIT_SOME_UNREADABLE if output.unreadable else output.exit_code

        return run_command(work, resumes=self.resumes)


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
    """Add one flag to `parser` for each field of the dataclass `config` declared with `option`."""
    for field in dataclasses.fields(config):
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
            text += f" (default: {field.default})"
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


def print_json(document: Any) -> None:
    """Write one JSON object to stdout, as `--json` promises, and nothing else."""
    print(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False))


def note(message: str) -> None:
    """Write one line for the person at the terminal to stderr."""
    print(message, file=sys.stderr, flush=True)


def quiet() -> bool:
    """Return whether progress bars would only clutter a log, because stderr is no terminal."""
    return not sys.stderr.isatty()


def run_command(work: Callable[[], int], *, resumes: bool = False) -> int:
    """Run a command's work and turn what goes wrong into one line on stderr and an exit code.

    Args:
        work: does the command and returns its exit code.
        resumes: whether the same command goes on where it was stopped.

    Returns:
        What `work` returned, or 2 for bad usage or input, 1 for a failure of the system, 130 for Ctrl-C, 143 for
        SIGTERM.
    """
    try:
        with _terminable(), _log_on_stderr():
            return work()
    except InputError as error:
        note(f"error: {error}")
        return EXIT_BAD_INPUT
    except (SerError, OSError) as error:
        note(f"error: {error}")
        return EXIT_FAILED
    except KeyboardInterrupt as stopped:
        note("stopped; what was finished is kept" if resumes else "stopped")
        return 128 + (signal.SIGTERM if signal.SIGTERM in stopped.args else signal.SIGINT)


@contextlib.contextmanager
def _log_on_stderr() -> Iterator[None]:
    """Show what the library logs, one message a line."""
    handler = logging.StreamHandler(sys.stderr)
    loggers = [logging.getLogger(name) for name in LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.removeHandler(handler)
            logger.setLevel(level)


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM end the work as Ctrl-C does, so that what is half written is tidied up."""
    if threading.current_thread() is not threading.main_thread():  # the only thread that receives signals
        yield
        return
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt(number: int, _: object) -> NoReturn:
    raise KeyboardInterrupt(number)
