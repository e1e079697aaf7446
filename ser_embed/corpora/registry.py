"""Registry of the corpora supported by name, and the search for them in a data folder.

A new corpus is one module in this folder and one entry in `CORPORA`.
"""

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path

from ser_embed.corpora.audio_files import audio_files
from ser_embed.corpora.base import Corpus
from ser_embed.corpora.crema_d import CREMA_D
from ser_embed.corpora.demo import DEMO
from ser_embed.corpora.emodb import EMODB
from ser_embed.corpora.manifest_csv import MANIFEST
from ser_embed.corpora.ravdess import RAVDESS
from ser_embed.corpora.savee import SAVEE
from ser_embed.corpora.tess import TESS
from ser_embed.errors import InputError

CORPORA: dict[str, Corpus] = {corpus.name: corpus for corpus in (CREMA_D, RAVDESS, EMODB, TESS, SAVEE, DEMO)}


def resolve_corpus_name(name: str) -> str | None:
    """Return the name of the corpus that a name or alias stands for, or None; case and punctuation are ignored.

    >>> resolve_corpus_name("Emo-DB"), resolve_corpus_name("AudioWAV"), resolve_corpus_name("recordings")
    ('emodb', 'crema-d', None)
    """
    wanted = _alphanumeric(name)
    for corpus in CORPORA.values():
        if wanted in map(_alphanumeric, (corpus.name, *corpus.aliases)):
            return corpus.name
    return None


def _alphanumeric(name: str) -> str:
    return "".join(letter for letter in name.casefold() if letter.isalnum())


@dataclasses.dataclass(frozen=True)
class CorpusLocation:
    """The folders of one corpus in a data folder.

    Attributes:
        name: the corpus's name.
        folders: the folders that hold it, usually one.
        corpus: its specification; None for a folder with a `manifest.csv`.
    """

    name: str
    folders: tuple[Path, ...]
    corpus: Corpus | None


def find_corpora(data: Path) -> dict[str, CorpusLocation]:
    """Return the corpora in a data folder by name: the folder itself if it is a corpus, or else its subfolders.

    Several subfolders of one corpus, such as `AudioWAV` and `AudioMP3`, are one location.

    Raises:
        InputError: there is no such folder, or two corpora in it have the same name.
    """
    if not data.is_dir():
        raise InputError(f"expected a data folder, but there is none at {data}")
    location = _identify(data)
    if location:
        return {location.name: location}
    locations: dict[str, CorpusLocation] = {}
    for folder in sorted(data.iterdir()):
        location = _identify(folder) if folder.is_dir() and not folder.name.startswith(".") else None
        if location:
            name = location.name
            previous = locations.get(name, CorpusLocation(name, (), location.corpus))
            if previous.corpus != location.corpus:
                raise InputError(f"two corpora have the name {name!r}: {previous.folders[0]} and {folder}")
            locations[name] = dataclasses.replace(location, folders=(*previous.folders, folder))
    return locations


def select_corpora(data: Path, locations: dict[str, CorpusLocation], names: Sequence[str]) -> list[CorpusLocation]:
    """Return the requested corpora, each of them once.

    Args:
        data: the data folder.
        locations: the corpora in it, as returned by `find_corpora`.
        names: names or aliases of the requested corpora. If `locations` is empty, a single name may state which corpus
            the data folder itself is; its file names then have to follow the grammar of that corpus.

    Raises:
        InputError: a requested corpus is not in the data folder.
    """
    selected = {}
    for requested in names:
        name = requested if requested in locations else resolve_corpus_name(requested)
        if name in locations:
            selected[name] = locations[name]
        elif name and len(names) == 1 and not locations and _has_clips_of(data, CORPORA[name]):
            selected[name] = CorpusLocation(name, (data,), CORPORA[name])
        else:
            raise InputError(_describe_missing(data, requested, name, locations))
    return list(selected.values())


def _has_clips_of(data: Path, corpus: Corpus) -> bool:
    return not corpus.marker and any(corpus.parse(path) for path in audio_files(data))


def _identify(folder: Path) -> CorpusLocation | None:
    """Return the corpus that a folder is: by a marker file, by the folder's name, or by a `manifest.csv` in it."""
    for name, corpus in CORPORA.items():
        if corpus.marker and (folder / corpus.marker).is_file():
            return CorpusLocation(name, (folder,), corpus)
    folder_name = Path(os.path.abspath(folder)).name  # the absolute path, because "." has no name
    corpus_name = resolve_corpus_name(folder_name)
    if corpus_name and not CORPORA[corpus_name].marker:
        return CorpusLocation(corpus_name, (folder,), CORPORA[corpus_name])
    return CorpusLocation(folder_name, (folder,), None) if (folder / MANIFEST).is_file() else None


def _describe_missing(data: Path, requested: str, name: str | None, locations: dict[str, CorpusLocation]) -> str:
    """Return the message for a requested corpus that is missing; `name` is None if the registry does not have it."""
    expected = f"a folder {data / requested}"
    expected += f", or clips in {data} named {CORPORA[name].grammar}" if name else f" with a {MANIFEST}"
    return f"no corpus {requested!r}: expected {expected}; corpora found: {', '.join(locations) or 'none'}"
