"""Commands: one function behind each command line, one line for an error, exit codes.

A `Command` makes flags of a config dataclass, runs a function with them, and prints what came of it: the result to
stdout, the library's log and whatever went wrong to stderr.
"""

import argparse
import contextlib
import dataclasses
import inspect
import json
import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any, NoReturn

from ser_embed.errors import EXIT_BAD_INPUT, EXIT_DONE, EXIT_FAILED, EXIT_SOME_UNREADABLE, InputError, SerError
from ser_embed.options import add_options
from ser_embed.termination import EXIT_INTERRUPTED, EXIT_TERMINATED, Terminated, terminable

LOGGERS = ("ser_embed", "ser_head", "ser_monitor")
UNREADABLE_SHOWN = 20  # unreadable files named on the terminal; the output names all of them


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
        document: for `--json`; None where the command has written what there is to say already.
        unreadable: one {"path" or "file", "reason"} for each file that could not be read.
        exit_code: `EXIT_DONE`, which unreadable files change to `EXIT_SOME_UNREADABLE`, or that of a failure.
    """

    text: str
    document: Mapping[str, Any] | None
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
        _replace_closed_streams()
        args = self.build_parser(prog).parse_args(argv)

        def work() -> int:
            output = self.run(args)
            if args.json and output.document is not None:
                print_json(output.document)
            elif output.text:
                print("\n".join(map(printable, output.text.split("\n"))))
            for clip in output.unreadable[:UNREADABLE_SHOWN]:
                note(f"unreadable: {clip.get('path') or clip.get('file')}: {clip['reason']}")
            if len(output.unreadable) > UNREADABLE_SHOWN:
                note(f"... and {len(output.unreadable) - UNREADABLE_SHOWN} more unreadable files")
            return output.exit_code or (EXIT_SOME_UNREADABLE if output.unreadable else EXIT_DONE)

        return run_command(work, resumes=self.resumes)


def _replace_closed_streams() -> None:
    """Let what is written to a closed stdout or stderr vanish.

    Python has None in their place, and the next file to be opened, such as a database, would get their descriptor.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - until the process ends


def printable(text: str) -> str:
    r"""Return text as one line that a terminal shows as it is, and any file can hold.

    Control characters, which could move the cursor or fake a line, and bytes that are not UTF-8 become escapes.

    >>> print(printable("a\x1b[2J\n.wav"))
    a\x1b[2J\n.wav
    """
    return "".join(character if character.isprintable() else _escape(character) for character in text)


def _escape(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # how Python keeps a byte of a file name that is not UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape").decode("ascii")


def print_json(document: Any) -> None:
    """Write one JSON object to stdout, as `--json` promises, and nothing else."""
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
    print(text.encode("utf-8", "backslashreplace").decode("utf-8"))


def note(message: str) -> None:
    """Write one line for the person at the terminal to stderr."""
    print(printable(message), file=sys.stderr, flush=True)


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
        with terminable(), _log_on_stderr():
            return work()
    except InputError as error:
        note(f"error: {_in_one_line(error)}")
        return EXIT_BAD_INPUT
    except (SerError, OSError) as error:
        note(f"error: {_in_one_line(error)}")
        return EXIT_FAILED
    except (KeyboardInterrupt, Terminated) as stopped:
        note("stopped; what was finished is kept" if resumes else "stopped")
        return EXIT_TERMINATED if isinstance(stopped, Terminated) else EXIT_INTERRUPTED


def _in_one_line(error: Exception) -> str:
    return " ".join(str(error).splitlines())


class _StderrHandler(logging.StreamHandler):
    """Writes to whatever stderr is at the moment, which a live view replaces."""

    @property
    def stream(self) -> Any:
        """Standard error."""
        return sys.stderr

    @stream.setter
    def stream(self, _: Any) -> None:
        """Keep to standard error."""


class _PrintableFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


@contextlib.contextmanager
def _log_on_stderr() -> Iterator[None]:
    """Show what the library logs, one message a line."""
    handler = _StderrHandler()
    handler.setFormatter(_PrintableFormatter())
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
