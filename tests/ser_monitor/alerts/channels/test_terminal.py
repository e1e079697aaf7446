"""Terminal channel: alerts are shown by the display, or logged in one line."""

import dataclasses
import logging

import pytest

from ser_monitor.alerts.channels.base import ChannelContext
from ser_monitor.alerts.channels.terminal import open_terminal
from ser_monitor.events import Alert
from tests.ser_monitor.alerts.listening import ALERT


def test_the_display_shows_alerts() -> None:
    shown: list[Alert] = []
    open_terminal("", ChannelContext(show=shown.append)).send(ALERT)
    assert shown == [ALERT]


def test_without_a_display_they_are_logged_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        open_terminal("", ChannelContext()).send(dataclasses.replace(ALERT, message="raised\n\x1b[2J"))
    assert caplog.messages == ["alert: raised\\n\\x1b[2J"]
