"""JSON lines: one object a line of everything that is committed, for programs."""

import errno
import io
import json
from datetime import timedelta

import pytest

from ser_monitor.display.json_lines import JsonLines
from ser_monitor.events import AlertEnd, SessionEnd
from tests.ser_monitor.display.test_live_view import EVENT, NOON, SESSION, SILENT


def test_every_item_is_a_line_that_names_its_source() -> None:
    stream = io.StringIO()
    end = SessionEnd("s", NOON + timedelta(seconds=3), "end of file", {"events": 2})
    JsonLines(stream=stream).show([SESSION, EVENT, SILENT, AlertEnd("a", NOON), end])
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["type"] for line in lines] == [
        "session.start", "measurement", "measurement", "alert.end", "session.end"
    ]  # fmt: skip
    assert {line["source"] for line in lines if "source" in line} == {"hotline"}
    assert lines[1]["probabilities"] == dict(EVENT.probabilities)
    assert (lines[2]["label"], lines[2]["activation"]) == ("no speech", None)
    assert lines[1]["time"] == "2026-11-28T12:00:00.000Z"
    assert lines[-1]["reason"] == "end of file"


def test_a_stream_that_fails_is_told_once_and_listening_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    class Full(io.StringIO):
        def write(self, _: str) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    closed: list[bool] = []
    lines = JsonLines(lambda: closed.append(True), Full())
    lines.show([SESSION])
    lines.show([EVENT])
    assert (closed, lines.failure is None) == ([], False)
    assert [record.message for record in caplog.records] == [
        "cannot write to the output (No space left on device); listening goes on"
    ]


def test_a_reader_that_has_gone_is_told_once_and_is_no_error() -> None:
    class Broken(io.StringIO):
        def write(self, _: str) -> int:
            raise BrokenPipeError

    closed: list[bool] = []
    JsonLines(lambda: closed.append(True), Broken()).show([SESSION])
    assert closed == [True]
