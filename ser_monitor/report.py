"""Reports as a command and a function: `python -m ser_monitor.report`, `ser_monitor.report(since="7d")`."""

import argparse
import dataclasses
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ser_embed.cli import Command, CommandModule, CommandOutput
from ser_embed.errors import InputError
from ser_embed.files import exclusive_lock, require_writable_folder
from ser_embed.options import config_from_args, with_config_signature
from ser_monitor.reporting.config import ReportConfig
from ser_monitor.reporting.periods import Period

if TYPE_CHECKING:
    from ser_monitor.reporting.monitor_report import WrittenReport


@with_config_signature(ReportConfig)
def report(**settings: Any) -> "WrittenReport":
    """Write the report of a period: trends, alerts, unusual stretches, and how often answers are right.

    Args:
        **settings: fields of `ser_monitor.reporting.config.ReportConfig`, such as since="7d"; all but `every`.

    Returns:
        The report: its page and main figures.

    Raises:
        InputError: a setting is not as it has to be, or there is no database; nothing was written.
        SerError: the database failed.
    """
    config = ReportConfig(**settings)
    if config.every is not None:
        raise InputError("--every is for the command; a function writes one report")
    return _write(config, config.period(datetime.now(UTC)))


def serve_reports(config: ReportConfig) -> None:
    """Write the report of each period of `config.every` once it is over, until the process is stopped.

    Raises:
        InputError: a setting is not as it has to be, there is no database, or another service writes to the folder.
    """
    from ser_monitor.reporting.service import ReportService

    cycle = config.cycle()
    if cycle is None:
        raise InputError("a service of reports needs --every")

    def write(period: Period) -> str:
        return _write(config, period).text()

    service = ReportService(cycle, config.output, write, config.first_begin(datetime.now(UTC)))
    with exclusive_lock(config.output / "service", work="report service", flag="--output"):
        service.run()


def _write(config: ReportConfig, period: Period) -> "WrittenReport":
    from ser_monitor.database.database import Database
    from ser_monitor.patterns.change_points import unusual_stretches
    from ser_monitor.reporting.findings import Findings, find_runs
    from ser_monitor.reporting.monitor_report import write_monitor_report
    from ser_monitor.reporting.report_data import ReportData, Scope

    require_writable_folder(config.output)
    with Database(config.database, create=False) as database:
        data = ReportData.load(database, Scope(period, config.source, config.speaker), unusual_stretches)
    findings = Findings(data, find_runs(config.runs))
    return write_monitor_report(findings, config.output)


def _run(args: argparse.Namespace) -> CommandOutput:
    config = config_from_args(args, ReportConfig)
    if config.every is not None:
        serve_reports(config)
        return CommandOutput("", {})
    written = report(**{field.name: getattr(config, field.name) for field in dataclasses.fields(config)})
    return CommandOutput(written.text(), written.to_json())


COMMAND = Command(
    "ser_monitor.report",
    "Report what was heard: trends, alerts, unusual stretches, and how often answers are right.",
    _run,
    config=ReportConfig,
    resumes=True,
)
build_parser, main = COMMAND.build_parser, COMMAND.main

sys.modules[__name__].__class__ = CommandModule

if __name__ == "__main__":
    sys.exit(main())
