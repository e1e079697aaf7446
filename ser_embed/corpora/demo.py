"""Demo corpus: synthetic speech by espeak-ng, written by `python -m ser_embed.demo` with the file names of CREMA-D.

It is identified by a marker file and not by the name of its folder, so that it cannot be taken for CREMA-D.
"""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from ser_embed.corpora import crema_d
from ser_embed.corpora.base import Corpus
from ser_embed.corpora.tables import find_table, index_by, read_table

MARKER = "SYNTHETIC.json"
SPEAKER_TABLE = "speakers.csv"


def parse(path: PurePosixPath) -> dict[str, Any] | None:
    """Return the fields of a demo file name, among them `synthetic`, or None if it does not follow the grammar."""
    fields = crema_d.parse(path)
    return fields and {**fields, "synthetic": "yes"}


def add_tables(clips: pd.DataFrame, folders: Sequence[Path]) -> pd.DataFrame:
    """Add the gender of each synthetic speaker, if the table of speakers exists.

    Args:
        clips: the manifest.
        folders: the corpus folders.

    Raises:
        InputError: the table of speakers is not csv or lacks a column.
    """
    path = find_table(folders, SPEAKER_TABLE)
    if path is None:
        return clips
    speakers = index_by(read_table(path, ("speaker", "gender")), "speaker")
    return clips.assign(gender=speakers["gender"].reindex(clips["speaker"].str.rpartition("/")[2]).array)


DEMO = Corpus(
    name="demo",
    title="Synthetic demo corpus, spoken by espeak-ng",
    licence="none needed: made on your own computer",
    citation="none; results on it say nothing about people",
    source="python -m ser_embed.demo data/demo",
    aliases=(),
    num_clips=1152,
    num_speakers=16,
    labels=crema_d.LABELS,
    grammar=crema_d.CREMA_D.grammar,
    faults=("It is synthetic: a rule per emotion moved a speech synthesiser's pitch, rate and loudness.",),
    parse=parse,
    marker=MARKER,
    add_tables=add_tables,
)
