"""Monitoring: live audio becomes events, alerts, trends and reports.

>>> import ser_monitor
>>> ser_monitor.watch("speech.wav", speed="max")  # doctest: +SKIP
>>> ser_monitor.Database("monitor.db").segments()  # a DataFrame  # doctest: +SKIP
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ser_embed import __version__

if TYPE_CHECKING:
    from ser_monitor.config import WatchConfig
    from ser_monitor.database.database import Database
    from ser_monitor.events import Alert, Event

_COMMANDS = ("admin", "report", "watch")
_CLASSES = {
    "Alert": "ser_monitor.events",
    "Database": "ser_monitor.database.database",
    "Event": "ser_monitor.events",
    "WatchConfig": "ser_monitor.config",
}

__all__ = ["Alert", "Database", "Event", "WatchConfig", "__version__", "admin", "report", "watch"]


def __getattr__(name: str) -> Any:
    """Load a command or a class on first use, so that importing the package stays light."""
    if name in _COMMANDS:
        return import_module(f"{__name__}.{name}")
    if name in _CLASSES:
        return getattr(import_module(_CLASSES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
