"""Live view: what stands in it for a source that speaks, is silent, or has ended, and the alerts."""

import dataclasses
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from rich.console import Console

from ser_monitor.display.live_view import LiveView
from ser_monitor.events import NO_SPEECH, RULE, UNCERTAIN, WINDOW, Alert, Event, Session

NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)
SESSION = Session("s", "hotline", "microphone", "default", "", NOON, "run", ("angry", "sad"))
EVENT = Event(
    "s", 0, WINDOW, 0.0, 3.0, NOON, 0.8, "angry", {"angry": 0.7, "sad": 0.3}, {"angry": 0.7, "sad": 0.3}, 0.75, 0.4, 5,
    1.0, 0.123,
)  # fmt: skip
SILENT = dataclasses.replace(EVENT, label=NO_SPEECH, activation=None, smoothed={}, probabilities={}, ood_score=None)


def shown(*items: Any, level_db: float = -20.0) -> str:
    listeners: Any = {"hotline": SimpleNamespace(level_db=level_db, heard_s=72.0)}
    scorer: Any = SimpleNamespace(busy_s=0.0, num_waiting=3)
    console = Console(width=100, record=True, file=open("/dev/null", "w"))  # noqa: SIM115 - closed below
    view = LiveView(listeners, scorer, console)
    view.show([SESSION, *items])
    console.print(view.render())
    console.file.close()
    return console.export_text()


def test_activation_stands_before_the_emotion() -> None:
    text = shown(EVENT)
    assert text.index("activation") < text.index("emotion") < text.index("  angry")
    for part in ("hotline 0:01:12, 123 ms behind", "0.75  adapted to the speaker by 5 windows", "-20 dB", "3 waiting"):
        assert part in text


def test_a_minute_is_a_strip_in_which_pauses_are_blank() -> None:
    windows = [dataclasses.replace(EVENT, activation=value) for value in (0.0, 1.0)]
    assert "▁ █" in shown(windows[0], SILENT, windows[1])
    assert NO_SPEECH in shown(EVENT, SILENT)


def test_what_is_uncertain_and_unfamiliar_is_said_in_words() -> None:
    text = shown(dataclasses.replace(EVENT, label=UNCERTAIN, ood_score=1.5))
    assert "uncertain (unlike anything in training)" in text


def test_alerts_are_shown_as_one_printable_line() -> None:
    alert = Alert("a", RULE, "loud", "s", "hotline", "", NOON, NOON, 0.9, "loud: \x1b[2J angry > 0.6", ("terminal",))
    text = shown(EVENT, alert)
    assert "12:00:00 loud: \\x1b[2J angry > 0.6" in text


def test_before_the_first_window_it_says_so() -> None:
    assert "waiting for the first window" in shown(level_db=float("-inf"))


def test_sources_that_have_no_room_are_counted() -> None:
    others = [dataclasses.replace(SESSION, id=str(number), source=f"line {number}") for number in range(6)]
    text = shown(*others)
    assert "7 sources (the first 6 are shown)" in text
    assert "line 5" not in text
