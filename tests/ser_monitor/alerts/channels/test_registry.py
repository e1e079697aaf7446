"""Channel registry: one entry makes a kind of channel that rules can name."""

import pytest

from ser_embed.errors import InputError
from ser_monitor.alerts.channels.base import Channel, ChannelContext, ChannelSpec
from ser_monitor.alerts.channels.registry import CHANNELS, parse_channel
from ser_monitor.alerts.channels.terminal import TerminalChannel
from ser_monitor.alerts.rules import parse_rules
from ser_monitor.events import Alert
from tests.ser_monitor.alerts.listening import ALERT


def test_a_channel_of_ones_own_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    rung: list[tuple[str, Alert]] = []

    def open_bell(target: str, _: ChannelContext) -> Channel:
        if not target:
            raise InputError("expected bell:ROOM")
        return TerminalChannel(lambda alert: rung.append((target, alert)))

    monkeypatch.setitem(CHANNELS, "bell", ChannelSpec("bell:ROOM", open_bell))
    parse_channel("bell:room 7: left", ChannelContext()).send(ALERT)
    assert rung == [("room 7: left", ALERT)]
    text = "[[rule]]\nname = 'loud'\nwhen = 'activation > 0.8'\nchannels = ['bell']\n"
    with pytest.raises(InputError, match="line 4: channels: expected bell:ROOM"):
        parse_rules(text, "rules.toml")


@pytest.mark.parametrize("text", ["", "pager", "Terminal", ":terminal", "https://example.org"])
def test_another_kind_is_one_line_that_names_all(text: str) -> None:
    forms = r"terminal, webhook:https://\.\.\., email:someone@example\.org, apprise:SERVICE://\.\.\."
    with pytest.raises(InputError, match=rf"^expected a channel \({forms}\), not '{text}'$"):
        parse_channel(text, ChannelContext())
