"""Findings of a report: every figure that its tables, plots and sentences show, each computed once."""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

import ser_head
from ser_embed.errors import InputError
from ser_monitor.events import UNUSUAL
from ser_monitor.reporting.analysis.alert_tables import alert_list, rule_table
from ser_monitor.reporting.analysis.drift import Drift, measure_drift, read_test_metrics
from ser_monitor.reporting.analysis.performance import Performance, measure_performance
from ser_monitor.reporting.analysis.trends import answers, trend, whole_trend
from ser_monitor.reporting.report_data import ReportData

MOST_HOURLY_DAYS = 15  # longer periods are drawn day by day

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Findings:
    """Figures of a period.

    Attributes:
        data: what was heard.
        run_folders: folder of each run that can be found, by name.
    """

    data: ReportData
    run_folders: Mapping[str, Path] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        """Whether nothing was heard."""
        return self.data.cells.empty

    @cached_property
    def whole(self) -> pd.Series:
        """Figures of the whole period; see `trend`."""
        return whole_trend(self.data.cells)

    @cached_property
    def by_day(self) -> pd.DataFrame:
        """Trend by day."""
        return self.trend("day")

    @cached_property
    def by_hour(self) -> pd.DataFrame:
        """Trend by hour of the day."""
        return self.trend("hour")

    @cached_property
    def by_speaker(self) -> pd.DataFrame:
        """Trend by speaker."""
        return self.trend("speaker")

    @cached_property
    def by_source(self) -> pd.DataFrame:
        """Trend by source."""
        return self.trend("source")

    @cached_property
    def answers(self) -> pd.DataFrame:
        """How long each answer was given."""
        return answers(self.data.cells)

    @cached_property
    def timeline(self) -> pd.DataFrame:
        """Trend by hour of the period, or by day of a long one, with the column moment; hours without audio are NaN."""
        is_hourly = len(list(self.data.period.days())) <= MOST_HOURLY_DAYS
        rows = self.trend("day", "hour") if is_hourly else self.by_day.assign(hour=0)
        local = [datetime.combine(day, time(hour)) for day, hour in zip(rows["day"], rows["hour"], strict=True)]
        moments = [moment.replace(tzinfo=self.data.period.zone).astimezone(UTC) for moment in local]
        step = timedelta(hours=1) if is_hourly else timedelta(days=1)
        table = rows.assign(moment=pd.to_datetime(moments, utc=True))
        return pd.concat([table, _gaps(table, step)]).sort_values("moment", ignore_index=True)

    @cached_property
    def alerts(self) -> pd.DataFrame:
        """Every alert, the last one first."""
        return alert_list(self.data.alerts)

    @cached_property
    def rules(self) -> pd.DataFrame:
        """Every rule that raised alerts."""
        return rule_table(self.data.alerts, 0.0 if self.is_empty else float(self.whole["heard_h"]))

    @property
    def num_unusual_alerts(self) -> int:
        """Number of alerts of control charts."""
        return int((self.data.alerts["kind"] == UNUSUAL).sum())

    @cached_property
    def performance(self) -> Performance | None:
        """Figures from feedback, if there is any."""
        return measure_performance(self.data.feedback)

    @cached_property
    def drifts(self) -> list[Drift]:
        """Drift of each run whose test figures can be read."""
        return list(self._drifts())

    @property
    def runs(self) -> list[str]:
        """Names of the runs that scored the period."""
        return sorted(self.data.counts["run"].unique())

    @property
    def runs_without_test(self) -> list[str]:
        """Names of the runs whose answers are compared with no test."""
        return [name for name in self.runs if name not in {drift.run for drift in self.drifts}]

    def trend(self, *keys: str) -> pd.DataFrame:
        """Return a trend by some keys of the cells."""
        return trend(self.data.cells, keys)

    def _drifts(self) -> Iterator[Drift]:
        for name in self.runs:
            if name in self.run_folders:
                try:
                    metrics = read_test_metrics(self.run_folders[name] / "metrics.json")
                except InputError as error:
                    logger.warning("warning: answers of %s are compared with no test: %s", name, error)
                else:
                    yield measure_drift(self.data.counts, name, metrics)

    def summary(self) -> dict[str, Any]:
        """Return the main figures as JSON values."""
        return {
            "segments": 0 if self.is_empty else int(self.whole["segments"]),
            "heard_h": 0.0 if self.is_empty else float(self.whole["heard_h"]),
            "activation": None
            if self.is_empty or pd.isna(self.whole["activation"])
            else float(self.whole["activation"]),
            "alerts": len(self.data.alerts),
            "unusual_stretches": len(self.data.stretches),
            "corrections": len(self.data.feedback),
        }


def find_runs(folder: Path) -> dict[str, Path]:
    """Return the runs in a folder that have the figures of their tests, and those that ship, by name."""
    shipped = {run.folder.name: run.folder for run in ser_head.SHIPPED.values()}
    return shipped | {path.parent.name: path.parent for path in folder.glob("*/metrics.json")}


def _gaps(table: pd.DataFrame, step: timedelta) -> pd.DataFrame:
    """Return an empty row after each row that the next one does not follow at once, so that a line is broken there."""
    follows = table["moment"].diff().shift(-1) <= step * 1.1  # a day of 25 hours is no gap
    return pd.DataFrame({"moment": table.loc[~follows, "moment"] + step / 2})
