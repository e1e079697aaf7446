"""Care of a monitor's database as a command and a function: `python -m ser_monitor.admin`, `ser_monitor.admin(...)`.

Each action is an entry of `ACTIONS`, with the flags it needs and those it takes beside.
"""

import argparse
import dataclasses
import getpass
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ser_embed.cli import Command, CommandModule, CommandOutput
from ser_embed.errors import InputError
from ser_embed.options import check_options, config_from_args, flag_name, option, require_utf8, with_config_signature
from ser_head.reporting.text import aligned

if TYPE_CHECKING:
    from ser_monitor.database.database import Database


_MOST_SEGMENTS = 2**31 - 1  # that both databases can number


@dataclasses.dataclass(frozen=True)
class AdminConfig:
    """What an action is told; each takes some of these.

    Raises:
        InputError: a value is out of its bounds.
    """

    database: str | None = option(
        None, help="a file, or postgresql+psycopg://USER@HOST/NAME; default: monitor.db", metavar="URL"
    )
    author: str | None = option(None, help="who does it, for the audit; default: the user's name", metavar="NAME")
    days: float | None = option(None, help="keep what is not older than so many days", parse=float, gt=0, metavar="N")
    output: Path | None = option(None, help="a .csv, .json or .parquet file to write", parse=Path, metavar="FILE")
    table: str | None = option(
        None, help="segments (the default), sessions, alerts or feedback, to export", metavar="NAME"
    )
    since: str | None = option(None, help="only from then on: 7d, 24h, 2026-11-01", metavar="MOMENT")
    until: str | None = option(None, help="only before: 7d, 24h, 2026-11-01", metavar="MOMENT")
    source: str | None = option(None, help="only of this source", metavar="NAME")
    speaker: str | None = option(None, help="only of this speaker", metavar="NAME")
    session: str | None = option(None, help="id of a session", metavar="ID")
    segment: int | None = option(
        None, help="number of a segment in its session", parse=int, ge=0, le=_MOST_SEGMENTS, metavar="N"
    )
    emotion: str | None = option(None, help="what was to be heard in the segment", metavar="NAME")
    note: str | None = option(None, help="anything else to say of it", metavar="TEXT")

    def __post_init__(self) -> None:
        check_options(self)
        require_utf8(self, "author", "source", "speaker", "session", "emotion", "note")


@dataclasses.dataclass(frozen=True)
class Request:
    """What an action is asked for.

    Attributes:
        database: the open database.
        config: the flags.
        alert: id of the alert, where the action is about one; else "".
        author: who asks.
    """

    database: "Database"
    config: AdminConfig
    alert: str
    author: str


@dataclasses.dataclass(frozen=True)
class Action:
    """Something to do with a database.

    Attributes:
        summary: what it does, for `--help`.
        run: does it, and returns the document of `--json`.
        text: makes lines for people of that document.
        needs: fields of `AdminConfig` that have to be given.
        takes: fields that may be given.
        of_alert: whether it is about one alert.
    """

    summary: str
    run: Callable[[Request], dict[str, Any]]
    text: Callable[[Mapping[str, Any]], str]
    needs: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()
    of_alert: bool = False


@with_config_signature(AdminConfig)
def admin(action: str, alert: str = "", **config: Any) -> dict[str, Any]:
    """Do one of `ACTIONS` with a monitor's database.

    Args:
        action: retention, export, erase, acknowledge, feedback or audit.
        alert: id of the alert to acknowledge.
        **config: fields of `AdminConfig`.

    Returns:
        What was done, as JSON values.

    Raises:
        InputError: there is no such action, a flag that it needs is missing or does not fit it, or there is no such
            database, alert, segment, or anything to erase.
        DatabaseError: the database failed.
    """
    options = AdminConfig(**config)
    _require_fit(action, alert, options)
    with _open(options.database) as database:
        return ACTIONS[action].run(Request(database, options, alert, options.author or _user()))


def _require_fit(action: str, alert: str, config: AdminConfig) -> None:
    """Check that an action has what it needs, and nothing that means nothing to it."""
    if action not in ACTIONS:
        raise InputError(f"expected one of {', '.join(ACTIONS)}, not {action!r}")
    chosen = ACTIONS[action]
    given = {name for name, value in vars(config).items() if value is not None} - {"database", "author"}
    missing = [flag_name(name) for name in chosen.needs if name not in given]
    if chosen.of_alert and not alert:
        missing.insert(0, "the id of an alert")
    surplus = [flag_name(name) for name in sorted(given - {*chosen.needs, *chosen.takes})]
    if alert and not chosen.of_alert:
        surplus.insert(0, repr(alert))
    if missing:
        raise InputError(f"{action} needs {' and '.join(missing)}")
    if surplus:
        raise InputError(f"{action} takes no {' and no '.join(surplus)}")


def _open(url: str | None) -> "Database":
    try:
        from ser_monitor.database.database import Database
    except ModuleNotFoundError as error:
        raise InputError(f"a database needs {error.name}; install it: pip install 'twostage-ser[monitor]'") from error
    return Database(url, create=False)


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container without that user
        return "unknown"


def _retention(request: Request) -> dict[str, Any]:
    return {"deleted": request.database.apply_retention(request.config.days or 0, author=request.author)}


def _erase(request: Request) -> dict[str, Any]:
    chosen = {name: getattr(request.config, name) for name in ("source", "speaker", "session")}
    return {"deleted": request.database.erase(**chosen, author=request.author)}


def _deleted(document: Mapping[str, Any]) -> str:
    return "deleted: " + ", ".join(f"{name} {number}" for name, number in document["deleted"].items())


def _export(request: Request) -> dict[str, Any]:
    config, table = request.config, request.config.table or "segments"
    output = Path(config.output or "")
    rows = request.database.export(output, config.since, config.until, config.source, config.speaker, table)
    request.database.add_audit(request.author, "export", table, {"rows": rows})
    return {"table": table, "rows": rows, "output": str(output)}


def _acknowledge(request: Request) -> dict[str, Any]:
    request.database.acknowledge(request.alert, request.author)
    return {"alert": request.alert, "author": request.author}


def _feedback(request: Request) -> dict[str, Any]:
    names = ("session", "segment", "emotion")
    session, segment, emotion = (getattr(request.config, name) for name in names)
    request.database.add_feedback(session, segment, emotion, request.author, request.config.note or "")
    return {**dict(zip(names, (session, segment, emotion), strict=True)), "author": request.author}


def _audit(request: Request) -> dict[str, Any]:
    table = request.database.audit(request.config.since, request.config.until)
    return {"audit": [{**row, "at": row["at"].isoformat(timespec="seconds")} for row in table.to_dict("records")]}


def _audit_text(document: Mapping[str, Any]) -> str:
    rows = [[entry[name] for name in ("at", "author", "action", "target")] for entry in document["audit"]]
    details = [" ".join(f"{key} {value}" for key, value in entry["details"].items()) for entry in document["audit"]]
    return aligned([[*row, detail] for row, detail in zip(rows, details, strict=True)]) if rows else ""


ACTIONS = {
    "retention": Action("delete what is older than --days", _retention, _deleted, needs=("days",)),
    "erase": Action(
        "delete all of a --source, --speaker or --session", _erase, _deleted, takes=("source", "speaker", "session")
    ),
    "export": Action(
        "write a table to a file",
        _export,
        "{0[output]}: {0[table]} {0[rows]}".format,
        needs=("output",),
        takes=("table", "since", "until", "source", "speaker"),
    ),
    "acknowledge": Action(
        "note that an ALERT has been seen", _acknowledge, "{0[alert]}: seen by {0[author]}".format, of_alert=True
    ),
    "feedback": Action(
        "correct a segment",
        _feedback,
        "{0[session]} {0[segment]}: {0[emotion]}, says {0[author]}".format,
        needs=("session", "segment", "emotion"),
        takes=("note",),
    ),
    "audit": Action("list who deleted and exported what", _audit, _audit_text, takes=("since", "until")),
}


def _flags(action: Action) -> str:
    """Return the arguments of an action, for `--help`."""
    alert = ["ALERT"] if action.of_alert else []
    return " ".join([*alert, *map(flag_name, action.needs), *(f"[{flag_name(name)}]" for name in action.takes)])


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", metavar="ACTION", help=f"one of {', '.join(ACTIONS)}; see below")
    parser.add_argument("alert", nargs="?", default="", metavar="ALERT", help="id of the alert to acknowledge")


def _run(args: argparse.Namespace) -> CommandOutput:
    document = admin(args.action, args.alert, **vars(config_from_args(args, AdminConfig)))
    return CommandOutput(ACTIONS[args.action].text(document), document)


COMMAND = Command(
    "ser_monitor.admin",
    "Take care of a monitor's database: delete, export, acknowledge, correct.",
    _run,
    config=AdminConfig,
    add_arguments=_add_arguments,
    epilog="\n".join(
        ["actions, and the flags they take:"]
        + [f"  {name:12} {action.summary}\n  {'':12}   {_flags(action)}" for name, action in ACTIONS.items()]
    ),
)
build_parser, main = COMMAND.build_parser, COMMAND.main

sys.modules[__name__].__class__ = CommandModule

if __name__ == "__main__":
    sys.exit(main())
