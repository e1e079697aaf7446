"""Errors that this library raises, and the exit codes of its commands.

Every message says what was expected, what came, and where. A command prints it as a single line on stderr.
"""

EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_BAD_INPUT = 2
EXIT_SOME_UNREADABLE = 3


class SerError(Exception):
    """Base class of the errors of this library."""


class InputError(SerError, ValueError):
    """Wrong usage or unusable input; nothing on disk was changed (exit code 2)."""


class ClipError(SerError, ValueError):
    """One clip cannot be used. It is listed with this reason and left out, and the run continues (exit code 3)."""


class SilentClipError(ClipError):
    """A clip is silent: an error in a corpus, but an ordinary pause in one window of a long recording."""
