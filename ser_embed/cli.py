"""What every command shares: flags made from a settings dataclass, one line for an error, exit codes.

A settings dataclass is the only home of its defaults. Its fields are declared with `option`, which carries the
help text; `add_options` turns them into flags and `config_from_args` turns the parsed flags back into the dataclass.
"""

import argparse
import contextlib
import dataclasses
import inspect
import json
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from numbers import Integral, Real
from types import ModuleType
from typing import Any, NoReturn, TypeVar

from ser_embed.errors import EXIT_BAD_INPUT, EXIT_FAILED, InputError, SerError

Settings = TypeVar("Settings")
Function = TypeVar("Function", bound=Callable[..., Any])

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
        """What that function takes, for notebooks to complete."""
        return inspect.signature(self._function)

    @property
    def _function(self) -> Callable[..., Any]:
        return getattr(self, self.__name__.rpartition(".")[2])


class CommandParser(argparse.ArgumentParser):
    """An argument parser whose usage errors are one line and exit code 2."""

    def error(self, message: str) -> NoReturn:
        """Print one line to stderr and exit with 2."""
        self.exit(EXIT_BAD_INPUT, f"error: {message} (see {self.prog} --help)\n")


def option(default: Any = dataclasses.MISSING, *, help: str, parse: Callable[[str], Any] = str, **flag: Any) -> Any:
    """Declare a settings field that is also a command-line flag.

    Args:
        default: the field's default; without one the flag is required.
        help: what the flag means, with its unit. The default is added to it.
        parse: turns the flag's text into the field's value.
        **flag: further `add_argument` keywords, such as `metavar`, `choices` or `nargs`.
    """
    return dataclasses.field(default=default, metadata={"help": help, "parse": parse, "flag": flag})


def add_options(parser: argparse.ArgumentParser, config: type) -> None:
    """Add one flag to `parser` for each field of the dataclass `settings` declared with `option`."""
    for field in dataclasses.fields(config):
        if not field.metadata:
            continue
        flag = dict(field.metadata["flag"])
        text = field.metadata["help"]
        if field.default is False:
            flag["action"] = "store_true"
        else:
            flag["type"] = field.metadata["parse"]
        if field.default is dataclasses.MISSING:
            flag["required"] = True
        elif field.default not in (None, ()) and field.default is not False:  # 0 is a default worth showing
            text += f" (default: {field.default})"
        name = "--" + field.name.replace("_", "-")
        parser.add_argument(name, default=argparse.SUPPRESS, help=text.replace("%", "%%"), **flag)


def with_config_signature(config: type) -> Callable[[Function], Function]:
    """Show the fields of the dataclass `settings` in the signature of a function that takes them as keywords."""

    def shown(function: Function) -> Function:
        signature = inspect.signature(function)
        own = [each for each in signature.parameters.values() if each.kind is not each.VAR_KEYWORD]
        fields = [
            each.replace(kind=each.KEYWORD_ONLY)
            for each in inspect.signature(config).parameters.values()
            if each.name not in signature.parameters
        ]
        function.__signature__ = signature.replace(parameters=[*own, *fields])  # type: ignore[attr-defined]
        return function

    return shown


def config_from_args(args: argparse.Namespace, config: type[Settings]) -> Settings:
    """Build the dataclass `settings` from parsed flags; a flag not given keeps the dataclass's default."""
    names = {field.name for field in dataclasses.fields(config)}  # type: ignore[arg-type]
    given = {name: value for name, value in vars(args).items() if name in names}
    return config(**{name: tuple(value) if isinstance(value, list) else value for name, value in given.items()})


def check_numbers(config: Any) -> None:
    """Check that the fields of a settings dataclass that are numbers as flags are numbers in Python too, made plain.

    Raises:
        InputError: a field is something else, or a fraction where a whole number is wanted.
    """
    for field in dataclasses.fields(config):
        number, value = field.metadata.get("parse"), getattr(config, field.name)
        if number is None or number not in _NUMBERS or (value is None and field.default is None):
            continue
        kind, expected = _NUMBERS[number]
        if not isinstance(value, kind):
            raise InputError(f"--{field.name.replace('_', '-')} has to be {expected}, not {value!r}")
        object.__setattr__(config, field.name, number(value))


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
        with _terminable():
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
def _terminable() -> Iterator[None]:
    """Let SIGTERM end the work as Ctrl-C does, so that what is half written is tidied up."""
    if threading.current_thread() is not threading.main_thread():  # which alone hears signals
        yield
        return
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt(number: int, _: object) -> NoReturn:
    raise KeyboardInterrupt(number)
