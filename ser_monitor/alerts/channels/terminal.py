"""Terminal channel: alerts are shown by the display, or logged where there is none."""

from collections.abc import Callable
from dataclasses import dataclass

from ser_embed.errors import InputError
from ser_monitor.alerts.channels.base import ChannelContext
from ser_monitor.events import Alert


@dataclass(frozen=True)
class TerminalChannel:
    """The terminal that the monitor runs in.

    Attributes:
        show: shows an alert.
    """

    show: Callable[[Alert], None]

    def send(self, alert: Alert) -> None:
        """Show an alert."""
        self.show(alert)


def open_terminal(target: str, context: ChannelContext) -> TerminalChannel:
    """Return the channel.

    Raises:
        InputError: a target is given; there is one terminal.
    """
    if target:
        raise InputError(f"expected terminal alone, not {target!r} after it")
    return TerminalChannel(context.show)
