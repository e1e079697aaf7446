"""Tables of alerts: each alert, and each rule with how often it came true and what became of its alerts."""

import numpy as np
import pandas as pd

COLUMNS = (
    "raised_at", "kind", "rule", "source", "speaker", "began_at", "lasted_s", "value", "message", "acknowledged_by",
    "acknowledged_at", "id",
)  # fmt: skip


def alert_list(alerts: pd.DataFrame) -> pd.DataFrame:
    """List alerts, the last one first.

    Args:
        alerts: the fields of `ser_monitor.events.Alert` with ended_at, acknowledged_at and acknowledged_by; the last
            three are missing where that has not come.

    Returns:
        The columns `COLUMNS`: lasted_s is from begin to end of the condition, in seconds, NaN while it still holds.
    """
    rows = alerts.sort_values("raised_at", ascending=False, kind="stable", ignore_index=True)
    lasted = pd.to_datetime(rows["ended_at"], utc=True) - pd.to_datetime(rows["began_at"], utc=True)
    return rows.assign(lasted_s=lasted.dt.total_seconds())[list(COLUMNS)]


def rule_table(alerts: pd.DataFrame, heard_h: float) -> pd.DataFrame:
    """Count alerts by rule, the most frequent first.

    Args:
        alerts: as for `alert_list`.
        heard_h: hours that were listened to.

    Returns:
        Columns kind, rule, alerts, per_hour (of listening; NaN without any), acknowledged (their number), lasted_s
        (median, in seconds), last_raised_at.
    """
    rows = alert_list(alerts)
    groups = rows.groupby(["kind", "rule"], sort=True)
    table = pd.DataFrame(
        {
            "alerts": groups.size().astype(np.int64),
            "per_hour": groups.size() / heard_h if heard_h else np.nan,
            "acknowledged": groups["acknowledged_at"].count().astype(np.int64),
            "lasted_s": groups["lasted_s"].median(),
            "last_raised_at": groups["raised_at"].max(),
        }
    ).reset_index()
    return table.sort_values("alerts", ascending=False, kind="stable", ignore_index=True)
