"""Live view: what is heard now and was found lately, for a person at a terminal.

Activation stands first: it carries over to other microphones and languages better than emotions do. Colours only repeat
what letters and lengths say.
"""

import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from ser_embed.cli import printable
from ser_monitor.events import UNCERTAIN, WINDOW, Alert, Event, Item, Session

if TYPE_CHECKING:
    from ser_monitor.scoring.scorer import Scorer
    from ser_monitor.sessions.listener import Listener

_BAR_WIDTH = 24
_STRIP_WIDTH = 60  # windows; a minute at a hop of 1 s
_ALERTS_SHOWN = 5
_SOURCES_SHOWN = 6  # what a terminal has room for
_REFRESH_HZ = 4
_LEVELS = " ▁▂▃▄▅▆▇█"
_QUIETEST_DB = -60.0  # of the level meter


class _SourceHistory:
    """What one source has given lately.

    Attributes:
        strip: activation of its last windows; None where nobody spoke.
        event: its last window.
    """

    def __init__(self) -> None:
        self.strip: deque[float | None] = deque(maxlen=_STRIP_WIDTH)
        self.event: Event | None = None


class LiveView:
    """Shows the sources in a terminal until it is left; used in a `with` statement.

    Attributes:
        num_events: events shown so far.
    """

    def __init__(self, listeners: Mapping[str, "Listener"], scorer: "Scorer", console: Console | None = None) -> None:
        """Take what is shown.

        Args:
            listeners: the sessions that go on, by source; it may change at any time.
            scorer: its load is shown.
            console: where it is shown; None is stdout.
        """
        self.num_events = 0
        self._listeners, self._scorer = listeners, scorer
        self._history: dict[str, _SourceHistory] = {}
        self._sources: dict[str, str] = {}  # of sessions
        self._alerts: deque[Alert] = deque(maxlen=_ALERTS_SHOWN)
        self._lock = threading.Lock()
        self._begun_s, self._busy_s, self._load = time.monotonic(), 0.0, 0.0
        self._live = Live(
            console=console or Console(), get_renderable=self.render, refresh_per_second=_REFRESH_HZ, transient=False
        )

    def __enter__(self) -> "LiveView":
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def show(self, items: Sequence[Item]) -> None:
        """Take committed items."""
        with self._lock:
            for item in items:
                if isinstance(item, Session):
                    self._sources[item.id] = item.source
                    self._history.setdefault(item.source, _SourceHistory())
                elif isinstance(item, Alert):
                    self._alerts.append(item)
                elif isinstance(item, Event) and item.kind == WINDOW:
                    self._show_window(item)

    def _show_window(self, event: Event) -> None:
        self.num_events += 1
        history = self._history[self._sources[event.session_id]]
        history.event = event
        history.strip.append(event.activation)

    def render(self) -> RenderableType:
        """Return what is shown now."""
        with self._lock:
            names = [*self._history] or [*self._listeners]
            parts: list[RenderableType] = [self._source(name) for name in names[:_SOURCES_SHOWN]]
            if self._alerts:
                parts.append(_alerts(self._alerts))
            parts.append(self._footer(len(names)))
        return Group(*parts)

    def _source(self, name: str) -> RenderableType:
        history, listener = self._history.get(name), self._listeners.get(name)
        table = Table.grid(padding=(0, 1))
        table.add_column(width=12)
        table.add_column()
        if listener is not None:
            table.add_row("level", _level(listener.level_db))
        event = history.event if history else None
        if event is None:
            table.add_row("", "waiting for the first window ..." if listener else "waiting ...")
        else:
            table.add_row("speech", bar(event.speech, "dim"))
            _add_event(table, event)
        if history is not None:
            table.add_row("last minute" if len(history.strip) > 1 else "", strip(history.strip))
        clock = f" {_clock(listener.heard_s)}" if listener else " ended"
        delay = f", {event.delay_s * 1000:.0f} ms behind" if event is not None and event.delay_s else ""
        return Panel(table, title=f"{printable(name)}{clock}{delay}", title_align="left", width=88)

    def _footer(self, num_sources: int) -> Text:
        now_s = time.monotonic()
        if now_s - self._begun_s >= 1:
            self._load = (self._scorer.busy_s - self._busy_s) / (now_s - self._begun_s)
            self._begun_s, self._busy_s = now_s, self._scorer.busy_s
        waiting = self._scorer.num_waiting
        sources = "1 source" if num_sources == 1 else f"{num_sources} sources"
        if num_sources > _SOURCES_SHOWN:
            sources += f" (the first {_SOURCES_SHOWN} are shown)"
        words = f"{sources}, {self.num_events} windows, scorer busy {min(self._load, 1):.0%}"
        return Text(f"{words}, {waiting} waiting; Ctrl-C ends", style="dim")


def _add_event(table: Table, event: Event) -> None:
    if event.activation is None:
        table.add_row(event.label, "")
        return
    adapted = f"  adapted to the speaker by {event.enrolled} windows" if event.enrolled else ""
    table.add_row("activation", bar(event.activation, "bold") + Text(adapted, style="dim"))
    unfamiliar = " (unlike anything in training)" if event.is_unfamiliar else ""
    table.add_row("emotion", Text(event.label + unfamiliar, style="dim" if event.label == UNCERTAIN else "bold"))
    for label, value in sorted(event.smoothed.items(), key=lambda item: -item[1])[:4]:
        table.add_row(f"  {label}", bar(value, "dim" if event.label == UNCERTAIN else ""))


def bar(value: float, style: str = "") -> Text:
    """Return a share, 0 to 1, as a bar with its number.

    >>> bar(0.5).plain[-4:]
    '0.50'
    """
    filled = round(value * _BAR_WIDTH)
    return Text("█" * filled + "·" * (_BAR_WIDTH - filled) + f" {value:.2f}", style=style)


def strip(values: Sequence[float | None] | deque[float | None]) -> Text:
    """Return activations, 0 to 1, as one character each; a space where nobody spoke.

    >>> strip([0.0, None, 1.0]).plain
    '▁ █'
    """
    last = len(_LEVELS) - 1
    return Text("".join(" " if value is None else _LEVELS[max(1, round(value * last))] for value in values))


def _level(level_db: float) -> Text:
    share = min(max(1 - level_db / _QUIETEST_DB, 0.0), 1.0)
    filled = round(share * _BAR_WIDTH)
    shown = f"{level_db:.0f} dB" if level_db > _QUIETEST_DB else "quiet"
    return Text("▮" * filled + "·" * (_BAR_WIDTH - filled) + f" {shown}")


def _alerts(alerts: Sequence[Alert] | deque[Alert]) -> RenderableType:
    lines = [Text(f"{alert.raised_at:%H:%M:%S} {printable(alert.message)}") for alert in alerts]
    return Panel(Group(*lines), title="alerts (UTC)", title_align="left", border_style="red", width=88)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"
