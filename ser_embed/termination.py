"""Termination: SIGTERM as an exception, so that what is half written is tidied up at whatever moment it comes.

It is raised wherever the main thread happens to be, which may be code that swallows any exception: a bare `except`
around an optional import, or the destructor of an object. So it is raised again until it has come through.
"""

import contextlib
import signal
import threading
import weakref
from collections.abc import Iterator

EXIT_INTERRUPTED, EXIT_TERMINATED = 128 + signal.SIGINT, 128 + signal.SIGTERM  # as a shell numbers them

_SENT_AGAIN_AFTER_S = 0.01


class Terminated(SystemExit):
    """SIGTERM has come.

    Not a KeyboardInterrupt: once one has passed through code run from a string, as dataclasses are made, Python kills
    itself by SIGINT on exit, though it was caught.
    """

    def __init__(self) -> None:
        super().__init__(EXIT_TERMINATED)


@contextlib.contextmanager
def terminable() -> Iterator[None]:
    """Let SIGTERM end the block by an exception; while that is on its way, further ones are ignored.

    Raises:
        Terminated: SIGTERM came during the block, even if the block then ended by itself, well or badly.
    """
    if threading.current_thread() is not threading.main_thread():  # the only thread that receives signals
        yield
        return
    termination = _Termination()
    before = signal.signal(signal.SIGTERM, termination.begin)
    try:
        yield
    except Terminated:
        raise
    except BaseException as error:
        if termination.has_come:
            raise Terminated from error
        raise
    finally:
        termination.is_over = True
        signal.signal(signal.SIGTERM, before)
    if termination.has_come:
        raise Terminated


class _Termination:
    """What is known of SIGTERM during a block.

    Attributes:
        has_come: whether it has.
        is_over: whether the block has ended.
    """

    def __init__(self) -> None:
        self.has_come = self.is_over = False
        self._on_its_way: weakref.ref[Terminated] | None = None

    def begin(self, *_: object) -> None:
        """Raise the exception, unless it is on its way already; a signal handler."""
        self.has_come = True
        if self._on_its_way is None:
            stopped = Terminated()
            self._on_its_way = weakref.ref(stopped, self._continue)
            try:
                raise stopped
            finally:
                del stopped  # else it would be kept by its own traceback

    def _continue(self, _: object) -> None:
        """Send SIGTERM again, as the exception has been freed: while the block runs, it was swallowed.

        From a thread, as Python ignores exceptions in this call, which comes in the middle of any other.
        """
        self._on_its_way = None
        if not self.is_over:
            timer = threading.Timer(_SENT_AGAIN_AFTER_S, self._send)
            timer.daemon = True
            timer.start()

    def _send(self) -> None:
        if not self.is_over:
            signal.raise_signal(signal.SIGTERM)
