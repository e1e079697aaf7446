"""Channel registry: the kinds of channels by name, and the one that a rule names."""

from ser_embed.errors import InputError
from ser_embed.reading import shortened
from ser_monitor.alerts.channels.base import Channel, ChannelContext, ChannelSpec
from ser_monitor.alerts.channels.mail import open_mail
from ser_monitor.alerts.channels.services import open_services
from ser_monitor.alerts.channels.terminal import open_terminal
from ser_monitor.alerts.channels.webhook import open_webhook
from ser_monitor.sources.credentials import without_credentials

CHANNELS: dict[str, ChannelSpec] = {
    "terminal": ChannelSpec("terminal", open_terminal),
    "webhook": ChannelSpec("webhook:https://...", open_webhook),
    "email": ChannelSpec("email:someone@example.org", open_mail),
    "apprise": ChannelSpec("apprise:SERVICE://...", open_services),
}


def parse_channel(text: str, context: ChannelContext) -> Channel:
    """Return the channel that a rule names.

    Args:
        text: such as "terminal" or "webhook:https://...".
        context: what the channel needs of its surroundings.

    Raises:
        InputError: no such kind, or what follows it is wrong.
    """
    kind, _, target = text.partition(":")
    if kind not in CHANNELS:
        forms = ", ".join(spec.form for spec in CHANNELS.values())
        raise InputError(f"expected a channel ({forms}), not {shortened(repr(without_credentials(text)))}")
    return CHANNELS[kind].open(target, context)
