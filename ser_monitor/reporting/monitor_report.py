"""Report of monitored speech: a folder with one html page, and every table of it as CSV."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ser_embed.files import atomic_folder
from ser_head.reporting.html import render_page
from ser_head.reporting.text import UNKNOWN_VALUE, percent
from ser_monitor.reporting.findings import Findings
from ser_monitor.reporting.periods import Period
from ser_monitor.reporting.report_plots import draw_plots
from ser_monitor.reporting.report_tables import TABLES
from ser_monitor.reporting.wording import NOT_FOR, length_in_words, number_in_words, performance_in_words

PAGE = "report.html"
_SHARES = ("activation", "speech", "uncertain", "unfamiliar", "no_speech")


@dataclass(frozen=True)
class WrittenReport:
    """A report that was written.

    Attributes:
        folder: its folder.
        period: what it is about.
        summary: its main figures as JSON values, see `Findings.summary`.
    """

    folder: Path
    period: Period
    summary: dict[str, Any]

    @property
    def page(self) -> Path:
        """The page."""
        return self.folder / PAGE

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        since, until = self.period.since.isoformat(), self.period.until.isoformat()
        return {"page": str(self.page), "since": since, "until": until, **self.summary}

    def text(self) -> str:
        """Describe the report in one line."""
        heard = length_in_words(self.summary["heard_h"]) + " heard" if self.summary["segments"] else "nothing heard"
        nouns = {"alerts": "alert", "unusual_stretches": "unusual stretch", "corrections": "correction"}
        counts = [number_in_words(self.summary[key], noun) for key, noun in nouns.items()]
        activation = self.summary["activation"]
        parts = [heard, *([] if activation is None else [f"activation {activation:.2f}"]), *counts]
        return f"{self.page}: {self.period.words}: {', '.join(parts)}"


def write_monitor_report(findings: Findings, output: Path) -> WrittenReport:
    """Write the report of a period into a new folder, which takes the place of an older one of the same period.

    Args:
        findings: of the period.
        output: folder of all reports.
    """
    folder = output / findings.data.scope.name
    output.mkdir(parents=True, exist_ok=True)
    tables = {name: make(findings) for name, make in TABLES.items()}
    page = render_page("monitor.html.j2", package="ser_monitor.reporting", tables=tables, **_context(findings))
    with atomic_folder(folder) as draft:
        (draft / PAGE).write_text(page, "utf-8")
        for table in tables.values():
            table.write_csv(draft)
    return WrittenReport(folder, findings.data.period, findings.summary())


def _context(findings: Findings) -> dict[str, Any]:
    """Return what the page shows beside its tables."""
    data = findings.data
    return {
        "period": data.period.words,
        "chosen": data.scope.words,
        "zone": str(data.period.zone),
        "is_empty": findings.is_empty,
        "alerts": len(data.alerts),
        "alerts_lead": _alerts_lead(findings),
        "not_for": NOT_FOR,
        "pictures": {} if findings.is_empty else draw_plots(findings),
        **({} if findings.is_empty else _figures(findings)),
    }


def _figures(findings: Findings) -> dict[str, Any]:
    """Return figures and sentences of a period in which something was heard."""
    shares = {name: None if pd.isna(findings.whole[name]) else float(findings.whole[name]) for name in _SHARES}
    rules = number_in_words(len(findings.rules), "rule")
    return {
        "whole": {
            **{name: percent(share) for name, share in shares.items()},
            **{f"{name}_share": share for name, share in shares.items()},
        },
        "lead": _lead(findings),
        "alerts_meaning": f"Raised by {rules}." if len(findings.rules) else "No rule came true.",
        "unusual_lead": _unusual_lead(findings),
        "performance": findings.performance,
        "performance_words": performance_in_words(findings.performance),
        "drifts": findings.drifts,
        "runs_without_test": findings.runs_without_test,
    }


def _lead(findings: Findings) -> str:
    sources = number_in_words(len(findings.by_source), "source")
    speakers = findings.by_speaker["speaker"]
    num_named = int((speakers != "").sum())
    named = f", of {number_in_words(num_named, 'speaker')} by name" if num_named else ""
    heard_h, activation = float(findings.whole["heard_h"]), findings.whole["activation"]
    begin = f"{length_in_words(heard_h).capitalize()} were heard from {sources}{named}; "
    speech = f"in {percent(float(findings.whole['speech']), 0)} of that time somebody spoke. "
    mean = UNKNOWN_VALUE if pd.isna(activation) else percent(float(activation), 0)
    return f"{begin}{speech}Mean activation was {mean}. Scored by {', '.join(findings.runs) or 'no run'}."


def _alerts_lead(findings: Findings) -> str:
    number = len(findings.alerts)
    if not number:
        return "No alert was raised."
    waiting = int(findings.alerts["acknowledged_at"].isna().sum())
    rest = "all of them acknowledged" if not waiting else f"{waiting} not acknowledged"
    return f"{number_in_words(number, 'alert').capitalize()} of {number_in_words(len(findings.rules), 'rule')}; {rest}."


def _unusual_lead(findings: Findings) -> str:
    number = len(findings.data.stretches)
    raised = f"{number_in_words(findings.num_unusual_alerts, 'alert')} of the kind “unusual” came as it happened."
    if not number:
        return f"Looking back, no stretch is unusual for its speaker or source; {raised}"
    stretches = f"{number_in_words(number, 'stretch')} {'is' if number == 1 else 'are'}"
    return f"Looking back, {stretches} unusual for the speaker, or for the source where nobody is named; {raised}"
