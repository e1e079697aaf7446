"""The errors this library raises on purpose, and the exit code each one stands for.

Every message says what was expected, what came, and where. A command prints it as its one line on stderr.
"""

EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_BAD_INPUT = 2
EXIT_SOME_UNREADABLE = 3


class SerError(Exception):
    """Base of every error the library raises itself."""


class InputError(SerError, ValueError):
    """Usage or input that cannot be worked with; nothing on disk was changed (exit code 2)."""


class ClipError(SerError, ValueError):
    """One clip cannot be used. It is listed with this reason and left out; the run goes on (exit code 3)."""


class SilentClipError(ClipError):
    """A clip without a voice: wrong in a corpus, but a pause in a recording that is heard window by window."""
