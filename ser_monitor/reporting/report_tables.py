"""Tables of a report: a function of its findings for each, by the name of its CSV file."""

from collections.abc import Callable

import pandas as pd

from ser_monitor.reporting.analysis.trends import SHARE
from ser_monitor.reporting.findings import Findings
from ser_monitor.reporting.tables import (
    Column,
    Table,
    count_column,
    decimal_column,
    moment_column,
    share_column,
    text_column,
)


def _trend(name: str, frame: pd.DataFrame, key: Column) -> Table:
    """Return the table of a trend.

    Args:
        name: of the table.
        frame: the trend.
        key: the column of what it is by.
    """
    emotions = [column for column in frame.columns if column.startswith(SHARE)]
    return Table(
        name,
        frame,
        (
            key,
            share_column("activation", "activation"),
            decimal_column("heard_h", "hours"),
            share_column("speech", "voice"),
            *(share_column(column, column.removeprefix(SHARE)) for column in emotions),
            share_column("uncertain", "uncertain"),
            share_column("unfamiliar", "unfamiliar"),
            share_column("no_speech", "no speech"),
            count_column("segments", "segments"),
        ),
    )


def _by_day(findings: Findings) -> Table:
    return _trend("trends_day", findings.by_day, text_column("day", "day"))


def _by_hour(findings: Findings) -> Table:
    return _trend("trends_hour", findings.by_hour, Column("hour", "hour", lambda hour: f"{hour:.0f}:00"))


def _by_speaker(findings: Findings) -> Table:
    return _trend("trends_speaker", findings.by_speaker, Column("speaker", "speaker", lambda name: name or "unknown"))


def _by_source(findings: Findings) -> Table:
    return _trend("trends_source", findings.by_source, text_column("source", "source"))


def _answers(findings: Findings) -> Table:
    columns = (
        text_column("answer", "answer"),
        decimal_column("hours", "hours"),
        share_column("of_scored", "of scored speech"),
        share_column("of_heard", "of all time"),
    )
    frame = pd.DataFrame(columns=[column.name for column in columns]) if findings.is_empty else findings.answers
    return Table("answers", frame, columns)


def _alerts(findings: Findings) -> Table:
    zone = findings.data.period.zone
    columns = (
        moment_column("raised_at", "raised", zone),
        text_column("rule", "rule"),
        text_column("kind", "kind"),
        text_column("source", "source"),
        text_column("speaker", "speaker"),
        text_column("message", "message"),
        decimal_column("value", "value"),
        decimal_column("lasted_s", "lasted, seconds", 1),
        text_column("acknowledged_by", "acknowledged by"),
        moment_column("acknowledged_at", "acknowledged", zone),
        moment_column("began_at", "began", zone),
        text_column("id", "id"),
    )
    return Table("alerts", findings.alerts, columns)


def _rules(findings: Findings) -> Table:
    columns = (
        text_column("rule", "rule"),
        text_column("kind", "kind"),
        count_column("alerts", "alerts"),
        decimal_column("per_hour", "per hour"),
        count_column("acknowledged", "acknowledged"),
        decimal_column("lasted_s", "lasted, seconds (median)", 1),
        moment_column("last_raised_at", "last raised", findings.data.period.zone),
    )
    return Table("alert_rules", findings.rules, columns)


def _unusual(findings: Findings) -> Table:
    zone = findings.data.period.zone
    columns = (
        moment_column("start", "from", zone),
        moment_column("end", "to", zone),
        text_column("source", "source"),
        text_column("speaker", "speaker"),
        text_column("signal", "what"),
        text_column("direction", "direction"),
        decimal_column("size", "size, in spreads"),
        text_column("session", "session"),
    )
    return Table("unusual", findings.data.stretches, columns)


def _feedback(findings: Findings) -> Table:
    columns = (
        text_column("figure", "figure"),
        share_column("value", "value"),
        share_column("low", "95 % from"),
        share_column("high", "to"),
        count_column("corrections", "corrections"),
    )
    return _of_performance(findings, "feedback", "figures", columns)


def _confusions(findings: Findings) -> Table:
    columns = (
        text_column("emotion", "people say"),
        text_column("answer", "it said"),
        count_column("corrections", "corrections"),
    )
    return _of_performance(findings, "feedback_confusions", "confusions", columns)


def _authors(findings: Findings) -> Table:
    columns = (
        text_column("author", "who"),
        count_column("corrections", "corrections"),
        share_column("agree", "agree with the answer"),
    )
    return _of_performance(findings, "feedback_authors", "authors", columns)


def _of_performance(findings: Findings, name: str, attribute: str, columns: tuple[Column, ...]) -> Table:
    """Return a table of the performance, empty without feedback.

    Args:
        findings: of the report.
        name: of the table.
        attribute: of `Performance` that has its rows.
        columns: of the table.
    """
    if findings.performance is None:
        return Table(name, pd.DataFrame(columns=[column.name for column in columns]), columns)
    return Table(name, getattr(findings.performance, attribute), columns)


def _drift(findings: Findings) -> Table:
    columns = (
        text_column("run", "run"),
        text_column("emotion", "answer"),
        share_column("period", "this period"),
        share_column("test", "test"),
    )
    shares = [drift.shares.assign(run=drift.run) for drift in findings.drifts]
    frame = pd.concat(shares) if shares else pd.DataFrame(columns=[column.name for column in columns])
    return Table("drift", frame, columns)


TABLES: dict[str, Callable[[Findings], Table]] = {
    "trends_day": _by_day,
    "trends_hour": _by_hour,
    "trends_speaker": _by_speaker,
    "trends_source": _by_source,
    "answers": _answers,
    "alerts": _alerts,
    "alert_rules": _rules,
    "unusual": _unusual,
    "feedback": _feedback,
    "feedback_confusions": _confusions,
    "feedback_authors": _authors,
    "drift": _drift,
}
