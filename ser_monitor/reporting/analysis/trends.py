"""Trends: activation, emotions and speech by day, hour of the day, speaker and source, added up from cells.

Activation comes first: it is what a head trained elsewhere still gets right. Shares of emotions, *uncertain* and
*unfamiliar* are of the time with enough speech to be scored; the share without is of all the time that was heard.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ser_monitor.events import NO_SPEECH
from ser_monitor.reporting.analysis.cells import ANSWER, UNCERTAIN, emotions_of

SHARE = "share_"
_S_PER_HOUR = 3600


def trend(cells: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Add up cells by some of their keys.

    Args:
        cells: see `ser_monitor.reporting.analysis.cells`.
        by: the keys.

    Returns:
        One row per group, in their order: the keys; segments, heard_h (hours), speech (share of the time that is
        voice), activation (mean), `share_<emotion>` (of the scored time), uncertain and unfamiliar (likewise),
        no_speech (share of the time heard). NaN where nothing was scored.
    """
    groups = cells.groupby(list(by), sort=True).sum(numeric_only=True)
    emotions = emotions_of(cells)
    columns = {
        "segments": groups["segments"].astype(np.int64),
        "heard_h": groups["heard_s"] / _S_PER_HOUR,
        "speech": _ratio(groups, "speech_s", "heard_s"),
        "activation": _ratio(groups, "activation_sum", "activation_s"),
        **{SHARE + emotion: _ratio(groups, ANSWER + emotion, "scored_s") for emotion in emotions},
        "uncertain": _ratio(groups, ANSWER + UNCERTAIN, "scored_s"),
        "unfamiliar": _ratio(groups, "unfamiliar_s", "scored_s"),
        "no_speech": _ratio(groups, ANSWER + NO_SPEECH, "heard_s"),
    }
    return pd.DataFrame(columns).reset_index()


def whole_trend(cells: pd.DataFrame) -> pd.Series:
    """Return the figures of `trend` over all cells, of which there is at least one."""
    return trend(cells.assign(all=0), ["all"]).drop(columns="all").iloc[0]


def answers(cells: pd.DataFrame) -> pd.DataFrame:
    """Count how long each answer was given, the longest first.

    Args:
        cells: see `ser_monitor.reporting.analysis.cells`.

    Returns:
        Columns answer, hours, of_scored (share of the scored time; NaN for no speech), of_heard (share of all time).
        *Unfamiliar* stands beside the others: such a segment has another answer too.
    """
    totals = cells.sum(numeric_only=True)
    seconds = {name.removeprefix(ANSWER): totals[name] for name in totals.index if name.startswith(ANSWER)}
    seconds = {UNCERTAIN: 0.0, NO_SPEECH: 0.0, **seconds, "unfamiliar": totals["unfamiliar_s"]}
    table = pd.DataFrame({"answer": list(seconds), "seconds": list(seconds.values())})
    table = table.sort_values("seconds", ascending=False, kind="stable", ignore_index=True)
    of_scored = table["seconds"] / totals["scored_s"] if totals["scored_s"] else np.nan
    return pd.DataFrame(
        {
            "answer": table["answer"],
            "hours": table["seconds"] / _S_PER_HOUR,
            "of_scored": np.where(table["answer"] == NO_SPEECH, np.nan, of_scored),
            "of_heard": table["seconds"] / totals["heard_s"],
        }
    )


def week_of_hours(cells: pd.DataFrame, fewest_s: float = 60.0) -> np.ndarray:
    """Return the mean activation of each hour of the week, float64 (7, 24), Monday first.

    Args:
        cells: see `ser_monitor.reporting.analysis.cells`.
        fewest_s: scored seconds below which an hour is NaN.
    """
    weekday = pd.to_datetime(cells["day"]).dt.day_of_week.rename("weekday")
    groups = cells.groupby([weekday, cells["hour"].astype(np.int64)])[["activation_sum", "activation_s"]].sum()
    table = np.full((7, 24), np.nan)
    enough = groups[groups["activation_s"] >= fewest_s]
    weekdays, hours = (enough.index.get_level_values(level).to_numpy() for level in (0, 1))
    table[weekdays, hours] = enough["activation_sum"] / enough["activation_s"]
    return table


def _ratio(groups: pd.DataFrame, part: str, whole: str) -> pd.Series:
    """Return one sum over another for each group; 0 where no segment has the part, NaN where the whole is 0."""
    parts = groups[part] if part in groups else pd.Series(0.0, index=groups.index)
    return parts / groups[whole].where(groups[whole] > 0)
