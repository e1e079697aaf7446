"""How a command ends."""

import json
import logging
import signal
import sys
import threading

import pytest

from ser_embed.cli import Command, CommandOutput, note, print_json, run_command


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


def test_a_name_cannot_act_on_the_terminal_or_fake_a_line(capsys):
    hostile = "a\x1b[2J\r\nerror: b\u202e.wav"
    note(f"unreadable: {hostile} \udcff")

    def work():
        logging.getLogger("ser_embed").warning("left out: %s", hostile)
        print_json({"file": hostile + "\udcff"})
        return 0

    assert run_command(work) == 0
    printed = capsys.readouterr()
    escaped = r"a\x1b[2J\r\nerror: b\u202e.wav"
    assert printed.err == f"unreadable: {escaped} \\xff\nleft out: {escaped}\n"
    assert json.loads(printed.out) == {"file": hostile + "\udcff"}


@pytest.mark.parametrize("name", ["stdout", "stderr"])
def test_a_closed_stream_is_no_failure(name, monkeypatch):
    monkeypatch.setattr(sys, name, None)
    command = Command("ser_embed.nothing", "Say something.", lambda _: CommandOutput("something", None))
    assert command.main([]) == 0
    getattr(sys, name).close()  # what vanished was written to it
