"""Listening as a command and a function: `python -m ser_monitor.watch`, `ser_monitor.watch(...)`."""

import argparse
import contextlib
import dataclasses
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ser_embed.cli import Command, CommandModule, CommandOutput, note
from ser_embed.errors import InputError
from ser_embed.options import config_from_args, with_config_signature
from ser_monitor.config import WatchConfig

if TYPE_CHECKING:
    from ser_monitor.events import Item
    from ser_monitor.sessions.monitor import Monitor

_SHOWS = {"json": "JSON lines", "view": "the live view"}


@dataclasses.dataclass(frozen=True)
class WatchResult:
    """What came of listening.

    Attributes:
        events: number of events that were committed.
        alerts: number of alerts that were committed.
        unreadable: one {"path", "reason"} of each source, or file of a folder, that could not be listened to.
    """

    events: int
    alerts: int
    unreadable: tuple[dict[str, str], ...] = ()


@with_config_signature(WatchConfig)
def watch(
    sources: str | Path | Sequence[str | Path] = "mic",
    on_items: "Callable[[Sequence[Item]], object] | None" = None,
    **config: Any,
) -> WatchResult:
    """Listen to sources until they end; in a notebook, interrupt the kernel to end sooner.

    Args:
        sources: mic, files, folders, pipes or addresses; `NAME=SOURCE` names one.
        on_items: takes what has been committed to the database: sessions, events and alerts of `ser_monitor.events`.
        **config: fields of `ser_monitor.config.WatchConfig`.

    Raises:
        InputError: a source, the run, the rules or the database cannot be worked with.
    """
    options = WatchConfig(**config)
    texts = [str(source) for source in ([sources] if isinstance(sources, (str, Path)) else sources)]
    with _monitor(options, texts, on_items or (lambda _: None)) as (monitor, opened):
        with contextlib.suppress(KeyboardInterrupt):
            monitor.run(opened)
    return WatchResult(monitor.num_events, monitor.num_alerts, tuple(monitor.unreadable))
