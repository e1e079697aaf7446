"""Corpus specification: source, licence, file-name grammar, size and known faults of one data set."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd


@dataclasses.dataclass(frozen=True)
class Corpus:
    """A data set that this library supports by name.

    Attributes:
        name: the name in this library, and the name of the folder that is searched for.
        title: the full name.
        licence: what its authors permit, in short.
        citation: the paper to cite.
        source: where to download it.
        aliases: other folder names it is found under; case and punctuation are ignored.
        num_clips: clips in the complete corpus.
        num_speakers: speakers in the complete corpus.
        labels: emotion label in the file names -> canonical name of the emotion.
        grammar: the rule of the file names in words, for messages.
        faults: known errors and imbalances of the corpus.
        parse: turns a clip's path inside the corpus folder into the fields of its manifest row: `clip` (its name,
            unique in the corpus), `speaker`, `emotion` and whatever else the name contains. Returns None if the name
            does not follow the grammar.
        required_values: field -> the value that a clip needs in order to be used. Clips with another value follow the
            grammar but are left out, because they repeat the same voices in another form, such as video. The field
            itself is not written to the manifest.
        marker: name of a file that identifies the corpus folder. A corpus with a marker is not identified by the name
            of its folder.
        add_tables: adds columns from csv files that are distributed with the corpus; it takes the manifest and the
            corpus folders.
    """

    name: str
    title: str
    licence: str
    citation: str
    source: str
    aliases: tuple[str, ...]
    num_clips: int
    num_speakers: int
    labels: Mapping[str, str]
    grammar: str
    faults: tuple[str, ...]
    parse: Callable[[PurePosixPath], dict[str, Any] | None]
    required_values: Mapping[str, str] = dataclasses.field(default_factory=dict)
    marker: str = ""
    add_tables: Callable[[pd.DataFrame, Sequence[Path]], pd.DataFrame] | None = None
