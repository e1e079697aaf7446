"""Credentials in addresses: they show nowhere."""

from hypothesis import given
from hypothesis import strategies as st

from ser_monitor.sources.credentials import redacted, without_credentials

TEXT = st.text(st.characters(codec="ascii", categories=("L", "N")), min_size=4, max_size=12)


@given(user=TEXT, password=TEXT, token=TEXT)
def test_no_text_holds_a_credential(user: str, password: str, token: str) -> None:
    user, password, token = f"U{user}U", f"P{password}%40", f"T{token}T"
    address = f"rtsp://{user}:{password}@camera.local:554/hall?token={token}&channel=2#{token}"
    log = f"[rtsp] {address}: 401, password {password.replace('%40', '@')} of {user}; then http://x:{password}@y/z?{token}"
    for text in (redacted(address), without_credentials(log, address)):
        assert "rtsp://camera.local:554/hall" in text
        assert not [secret for secret in (user, password[:-3], token) if secret in text]


def test_a_short_user_or_password_is_hidden_where_it_is_a_word() -> None:
    text = without_credentials("Connection refused for u with x1", "https://u:x1@camera/hall")
    assert text == "Connection refused for *** with ***"


def test_a_text_without_credentials_stays_as_it_is() -> None:
    text = "[tcp @ 0x55] Connection to tcp://camera:554 failed: 404 for channel 2"
    assert without_credentials(text, "rtsp://camera:554/hall?channel=2&quality=1") == text
    assert without_credentials("see http://[broken") == "see ***"
