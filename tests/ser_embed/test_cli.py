"""How a command ends."""

import signal
import threading

import pytest

from ser_embed.cli import run_command


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize(("resumes", "line"), [(True, "stopped; what was finished is kept\n"), (False, "stopped\n")])
def test_a_signal_lets_the_work_tidy_up(number, code, resumes, line, capsys):
    before, tidied = signal.getsignal(signal.SIGTERM), []
    inherited = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell has its background jobs ignore it

    def work():
        try:
            signal.raise_signal(number)
        finally:
            tidied.append(number)

    try:
        assert run_command(work, resumes=resumes) == code
    finally:
        signal.signal(signal.SIGINT, inherited)
    assert capsys.readouterr() == ("", line)
    assert tidied == [number]
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_thread_runs_commands_too():
    codes = []
    thread = threading.Thread(target=lambda: codes.append(run_command(lambda: 0)))
    thread.start()
    thread.join()
    assert codes == [0]
