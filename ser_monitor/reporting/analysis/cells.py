"""Cells: sums over the segments of one hour of one source and speaker, from which every trend is added up.

Segments of a long period do not fit in memory; their cells do, and those of two stretches of time are simply put one
below the other. A segment counts for the seconds that the next one does not cover: its hop where windows overlap, so
that an hour in which the machine could not keep up, and hops were widened, weighs as much as any other.

Columns: day (a date), hour (0 to 23), both of the report's time zone; source, speaker; segments, their number; then
seconds: heard_s, speech_s (of voice), scored_s (of segments with enough voice), activation_s (of those with an
activation), activation_sum (the same times the activation), unfamiliar_s, and `answer_<label>` per label.
"""

from collections.abc import Iterable
from datetime import tzinfo

import numpy as np
import pandas as pd

from ser_embed.manifest import EMOTIONS
from ser_monitor.events import NO_SPEECH, UNCERTAIN, UNFAMILIAR_ABOVE, WINDOW

KEYS = ("day", "hour", "source", "speaker")
SUMS = ("segments", "heard_s", "speech_s", "scored_s", "activation_s", "activation_sum", "unfamiliar_s")
ANSWER = "answer_"
_SMOOTHED = "s_"


def cells_of(segments: pd.DataFrame, zone: tzinfo) -> pd.DataFrame:
    """Add up segments by hour, source and speaker.

    Args:
        segments: rows of events with source and speaker; `s_<emotion>` are smoothed probabilities.
        zone: the time zone of days and hours.

    Returns:
        One row per cell; see above.
    """
    rows = shown_segments(segments)
    local = rows["started_at"].dt.tz_convert(zone)
    keys = pd.DataFrame({"day": local.dt.date, "hour": local.dt.hour, "source": rows["source"]})
    keys["speaker"] = rows["speaker"].fillna("")
    return _combined([pd.concat([keys, _weighted(rows)], axis=1)])


def combine_cells(parts: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Put cells of several stretches of time together; a cell of two of them is added up.

    Args:
        parts: results of `cells_of`; what one of them lacks, such as an answer, is 0 there.
    """
    return _combined([part for part in parts if len(part)])


def shown_segments(segments: pd.DataFrame) -> pd.DataFrame:
    """Return the segments that trends are made of: windows, and utterances in sessions that have no windows.

    Args:
        segments: rows of events.
    """
    is_window = segments["kind"] == WINDOW
    windowed = segments.loc[is_window, "session_id"].unique()
    return segments[is_window | ~segments["session_id"].isin(windowed)]


def emotions_of(cells: pd.DataFrame) -> list[str]:
    """Return the emotions among the answers, in canonical order: `EMOTIONS`, then others by alphabet."""
    names = {name.removeprefix(ANSWER) for name in cells.columns if name.startswith(ANSWER)} - {UNCERTAIN, NO_SPEECH}
    return [name for name in EMOTIONS if name in names] + sorted(names - set(EMOTIONS))


def _weighted(rows: pd.DataFrame) -> pd.DataFrame:
    """Return what each segment adds to its cell."""
    duration_s = (rows["end_s"] - rows["start_s"]).to_numpy(np.float64)
    hop_s = rows["hop_s"].to_numpy(np.float64)
    weight_s = np.where(rows["kind"] == WINDOW, np.minimum(hop_s, duration_s), duration_s)
    activation = rows["activation"].to_numpy(np.float64)
    is_scored = (rows["label"] != NO_SPEECH).to_numpy(bool)
    columns = {
        "segments": np.ones(len(rows)),
        "heard_s": weight_s,
        "speech_s": weight_s * rows["speech"].to_numpy(np.float64),
        "scored_s": weight_s * is_scored,
        "activation_s": weight_s * np.isfinite(activation),
        "activation_sum": np.nan_to_num(activation * weight_s),
        "unfamiliar_s": weight_s * (rows["ood_score"].to_numpy(np.float64) > UNFAMILIAR_ABOVE),
    }
    for label in dict.fromkeys([*_classes(rows), *rows["label"]]):  # an emotion that was never answered is 0
        columns[ANSWER + label] = weight_s * (rows["label"] == label).to_numpy(bool)
    return pd.DataFrame(columns, index=rows.index)


def _classes(rows: pd.DataFrame) -> list[str]:
    """Return the emotions that have a probability in some segment; other runs of the database may have others."""
    names = [name for name in rows.columns if name.startswith(_SMOOTHED)]
    return [name.removeprefix(_SMOOTHED) for name in names if rows[name].notna().any()]


def _combined(parts: list[pd.DataFrame]) -> pd.DataFrame:
    """Add up rows of the same cell."""
    if not parts:
        return pd.DataFrame({name: np.empty(0, object if name in KEYS else np.float64) for name in (*KEYS, *SUMS)})
    rows = pd.concat(parts, ignore_index=True)
    sums = rows.columns.difference(list(KEYS), sort=False)
    rows[sums] = rows[sums].fillna(0.0)
    return rows.groupby(list(KEYS), as_index=False, sort=True)[list(sums)].sum()
