"""What a corpus is: where it comes from, how its files are named, and what is known to be wrong with it."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd


@dataclasses.dataclass(frozen=True)
class Corpus:
    """A data set that this library knows by name.

    Attributes:
        name: what it is called here, and the folder it is looked for under.
        title: its full name.
        licence: what its authors allow, in short.
        citation: the paper to cite.
        source: where to get it.
        aliases: further folder names it goes by; case and punctuation do not count.
        num_clips: clips in the complete corpus.
        num_speakers: speakers in the complete corpus.
        labels: the emotion as file names write it -> its canonical name.
        grammar: the file-name rule in words, for messages.
        faults: what is known to be wrong with it.
        parse: turns a clip's path inside the corpus folder into the fields of its manifest row: `clip` (its name,
            unique in the corpus), `speaker`, `emotion` and whatever else the name tells. None if the name does not
            follow the grammar.
        only: field -> value that every clip used has; clips with another value follow the grammar but are left out,
            since the corpus holds the same voices again in another form. The field itself is dropped.
        marker: a file that tells the corpus's folder; such a corpus is not known by its folder's name.
        add_tables: adds columns from csv files that come with the corpus, given the manifest and the corpus folders.
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
    only: Mapping[str, str] = dataclasses.field(default_factory=dict)
    marker: str = ""
    add_tables: Callable[[pd.DataFrame, Sequence[Path]], pd.DataFrame] | None = None
