"""Channel to other services: an alert goes where apprise sends it."""

import json

import pytest

from ser_embed.errors import InputError
from ser_monitor.alerts.channels.base import ChannelContext, DeliveryError
from ser_monitor.alerts.channels.services import open_services
from tests.ser_monitor.alerts.channels.receivers import http_receiver
from tests.ser_monitor.alerts.listening import ALERT

# Of Python 3.11 and 3.12, by apprise as it loads its services.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")

CONTEXT = ChannelContext(environment={})


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")


def test_an_alert_arrives_and_a_failure_is_tried_again() -> None:
    with http_receiver(200, 500) as receiver:
        channel = open_services(f"json://127.0.0.1:{receiver.port}/", CONTEXT)
        channel.send(ALERT)
        with pytest.raises(DeliveryError, match="^apprise could not notify json$") as raised:
            channel.send(ALERT)
    assert raised.value.retry
    document = json.loads(receiver.requests[0][2])
    assert (document["title"], document["message"]) == ("Alert: raised voice (hotline-1)", ALERT.message)


@pytest.mark.parametrize("target", ["", "nonsense", "nonsense://host", "json://a, json://b", "tgram://short"])
def test_what_apprise_does_not_take_is_one_line(target: str) -> None:
    with pytest.raises(InputError, match=r"^expected one address that apprise takes, not that of [^\n]*$"):
        open_services(target, CONTEXT)


def test_the_keys_of_a_service_are_shown_nowhere() -> None:
    assert "geheim" not in repr(open_services("json://anna:geheim@127.0.0.1", CONTEXT))
    with pytest.raises(InputError) as raised:
        open_services("tgram://geheim", CONTEXT)
    assert "geheim" not in str(raised.value)
