"""SIGTERM: one exception, raised again where it is swallowed, and not twice while it is on its way."""

import contextlib
import signal
import sys
import threading
import time

import pytest

from ser_embed.termination import EXIT_TERMINATED, Terminated, terminable


class Destructor:
    """Receives SIGTERM where Python ignores exceptions."""

    def __del__(self):
        signal.raise_signal(signal.SIGTERM)


def swallow():
    with contextlib.suppress(BaseException):
        signal.raise_signal(signal.SIGTERM)


def swallow_as_another():
    try:
        try:
            signal.raise_signal(signal.SIGTERM)
        except BaseException as error:
            raise RuntimeError("an optional module cannot be imported") from error
    except RuntimeError:
        pass


@pytest.mark.parametrize("swallowing", [swallow, swallow_as_another, Destructor])
def test_it_ends_the_work_though_it_is_swallowed(swallowing, monkeypatch):
    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)  # pytest's keeps the exception
    before, steps = signal.getsignal(signal.SIGTERM), []

    def work():
        swallowing()
        begin = time.monotonic()
        while time.monotonic() < begin + 20:
            pass
        steps.append("not reached")

    with pytest.raises(Terminated) as stopped, terminable():
        work()
    assert stopped.value.code == EXIT_TERMINATED
    assert not steps
    assert signal.getsignal(signal.SIGTERM) is before


def test_another_one_does_not_disturb_the_tidying_up():
    tidied = []

    def work():
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            signal.raise_signal(signal.SIGTERM)
            tidied.append("all")

    with pytest.raises(Terminated), terminable():
        work()
    assert tidied == ["all"]


def test_an_error_that_it_led_to_is_not_the_outcome():
    def work():
        try:
            signal.raise_signal(signal.SIGTERM)
        except BaseException as error:
            raise ZeroDivisionError("a library's own words") from error

    with pytest.raises(Terminated), terminable():
        work()


def test_an_error_without_it_is_the_outcome():
    with pytest.raises(ZeroDivisionError), terminable():
        _ = 1 / 0


def test_code_that_it_interrupts_may_have_been_run_from_a_string():
    """After a KeyboardInterrupt in such code Python ends itself by SIGINT."""
    assert not issubclass(Terminated, KeyboardInterrupt)


def test_a_thread_has_no_signals_to_handle():
    ended = []

    def work():
        with terminable():
            ended.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert ended == [True]
