"""Listening as a command and a function: `python -m ser_monitor.watch`, `ser_monitor.watch(...)`."""

import argparse
import contextlib
import dataclasses
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ser_embed.cli import Command, CommandModule, CommandOutput, note, quiet
from ser_embed.errors import EXIT_DONE, EXIT_FAILED
from ser_embed.options import config_from_args, with_config_signature
from ser_monitor.config import WatchConfig

if TYPE_CHECKING:
    from ser_monitor.display.json_lines import JsonLines
    from ser_monitor.events import Item
    from ser_monitor.sessions.monitor import Monitor

_EPILOG = """sources: mic or mic:DEVICE; an audio file; a folder, whose files are listened to as they appear; - for raw
16-bit mono audio on stdin at --rate; a named pipe of the same; rtsp:// or http:// addresses, by ffmpeg. NAME=SOURCE
names one, as rules and reports know it. Into a pipe or a file, and with --json, one JSON object is written a line."""


@dataclasses.dataclass(frozen=True)
class WatchResult:
    """What came of listening.

    Attributes:
        events: number of events that were committed.
        alerts: number of alerts that were committed.
        unreadable: one {"path", "reason"} of each source, or file of a folder, that could not be listened to.
        unwritten: number of events, alerts and the like that the database did not take.
    """

    events: int
    alerts: int
    unreadable: tuple[dict[str, str], ...] = ()
    unwritten: int = 0


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
    from ser_monitor.sessions.opening import open_monitor

    with (
        open_monitor(options, texts, on_items or (lambda _: None)) as (monitor, opened),
        contextlib.suppress(KeyboardInterrupt),
    ):
        monitor.run(opened)
    return WatchResult(monitor.num_events, monitor.num_alerts, tuple(monitor.unreadable), monitor.num_unwritten)


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "sources", nargs="*", default=["mic"], metavar="SOURCE", help="what to listen to (default: mic)"
    )
    parser.add_argument("--list-devices", action="store_true", help="list the microphones, and do no more")


def _run(args: argparse.Namespace) -> CommandOutput:
    if args.list_devices:
        from ser_monitor.sources.audio_devices import list_devices

        return CommandOutput(list_devices(), None)
    config = config_from_args(args, WatchConfig)
    from ser_monitor.sessions.opening import open_monitor

    if not quiet():
        note("loading the run and its encoder ...")
    with contextlib.ExitStack() as stack:
        show = _Show()
        monitor, sources = stack.enter_context(open_monitor(config, args.sources, show))
        view = show.begin(monitor, is_view=sys.stdout.isatty() and not args.json)
        with view, contextlib.suppress(KeyboardInterrupt):
            monitor.run(sources)
    note(f"{monitor.num_events} events and {monitor.num_alerts} alerts in {monitor.database_name}")
    has_failed = show.has_failed or monitor.num_unwritten > 0
    return CommandOutput("", None, monitor.unreadable, EXIT_FAILED if has_failed else EXIT_DONE)


class _Show:
    """Shows what has been committed, once it is known how."""

    def __init__(self) -> None:
        self._show: Callable[[Sequence[Item]], object] = lambda _: None
        self._lines: JsonLines | None = None

    def begin(self, monitor: "Monitor", *, is_view: bool) -> contextlib.AbstractContextManager[object]:
        """Choose the display of a monitor."""
        if is_view:
            from ser_monitor.display.live_view import LiveView

            view = LiveView(monitor.listeners, monitor.scorer)
            self._show = view.show
            return view
        from ser_monitor.display.json_lines import JsonLines

        self._lines = JsonLines(monitor.stop)
        self._show = self._lines.show
        return contextlib.nullcontext()

    @property
    def has_failed(self) -> bool:
        """Whether something that was committed could not be shown."""
        return self._lines is not None and self._lines.failure is not None

    def __call__(self, items: "Sequence[Item]") -> None:
        """Show committed items."""
        self._show(items)


COMMAND = Command(
    "ser_monitor.watch",
    "Listen to a microphone, files, folders or streams: emotions as they are heard, alerts, a database.",
    _run,
    config=WatchConfig,
    add_arguments=_add_arguments,
    epilog=_EPILOG,
    resumes=True,
)
build_parser, main = COMMAND.build_parser, COMMAND.main

sys.modules[__name__].__class__ = CommandModule

if __name__ == "__main__":
    sys.exit(main())
