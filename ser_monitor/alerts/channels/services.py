"""Channel to other services: a hundred of them, by the addresses of apprise, which is an extra."""

from dataclasses import dataclass, field
from typing import Any

from ser_embed.cli import printable
from ser_embed.errors import InputError
from ser_monitor.alerts.channels.base import ChannelContext, DeliveryError
from ser_monitor.events import Alert

_INSTALL = "apprise is not installed; run: pip install 'twostage-ser[apprise]'"


@dataclass(frozen=True)
class ServicesChannel:
    """A service that apprise knows.

    Attributes:
        name: kind of the service, for errors; its address holds keys.
        service: `apprise.Apprise` with the service.
    """

    name: str
    service: Any = field(repr=False)

    def send(self, alert: Alert) -> None:
        """Notify the service.

        Raises:
            DeliveryError: it was not notified; apprise logs why.
        """
        title = printable(f"Alert: {alert.rule} ({alert.source})")
        if not self.service.notify(title=title, body=printable(alert.message)):
            raise DeliveryError(f"apprise could not notify {self.name}", retry=True)


def open_services(target: str, _: ChannelContext) -> ServicesChannel:
    """Return the channel to a service.

    Args:
        target: address in the form of apprise, such as "tgram://...".

    Raises:
        InputError: apprise is not installed, or does not take the address.
    """
    try:
        import apprise
    except ImportError as error:
        raise InputError(_INSTALL) from error
    service = apprise.Apprise(asset=apprise.AppriseAsset(async_mode=False))
    name = target.partition("://")[0]
    if "://" not in target or not service.add(target) or len(service) != 1:
        raise InputError(f"expected one address that apprise takes, not that of {name!r}")
    return ServicesChannel(name, service)
