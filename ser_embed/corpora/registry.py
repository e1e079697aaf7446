"""The corpora known by name."""

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


def known_name(name: str) -> str | None:
    """Return the corpus that a name or alias stands for, whatever its case and punctuation, or None.

    >>> known_name("Emo-DB"), known_name("AudioWAV"), known_name("recordings")
    ('emodb', 'crema-d', None)
    """
    return _BY_ALIAS.get(_letters(name))


def _letters(name: str) -> str:
    return "".join(letter for letter in name.casefold() if letter.isalnum())


_BY_ALIAS = {_letters(alias): corpus.name for corpus in CORPORA.values() for alias in (corpus.name, *corpus.aliases)}


@dataclasses.dataclass(frozen=True)
class CorpusLocation:
    """Where a corpus lies.

    Attributes:
        name: the corpus's name.
        folders: the folders that hold it, mostly one.
        corpus: what is known of it; None for a folder with a `manifest.csv`.
    """

    name: str
    folders: tuple[Path, ...]
    corpus: Corpus | None


def find_corpora(data: Path) -> dict[str, CorpusLocation]:
    """Return the corpora in a data folder by name: the folder itself if it is a corpus, or else its subfolders.

    A corpus in several subfolders, such as `AudioWAV` and `AudioMP3`, is one.

    Raises:
        InputError: there is no such folder, or two corpora in it have the same name.
    """
    if not data.is_dir():
        raise InputError(f"expected a data folder, but there is none at {data}")
    whole = _identify(data)
    if whole:
        return {whole.name: whole}
    places: dict[str, CorpusLocation] = {}
    for folder in sorted(data.iterdir()):
        place = _identify(folder) if folder.is_dir() and not folder.name.startswith(".") else None
        if place:
            before = places.get(place.name, CorpusLocation(place.name, (), place.corpus))
            if before.corpus != place.corpus:
                raise InputError(f"two corpora go by the name {place.name!r}: {before.folders[0]} and {folder}")
            places[place.name] = dataclasses.replace(place, folders=(*before.folders, folder))
    return places


def pick_corpora(data: Path, places: dict[str, CorpusLocation], names: Sequence[str]) -> list[CorpusLocation]:
    """Return the corpora asked for.

    Args:
        data: the data folder.
        places: what `find_corpora` found in it.
        names: the corpora's names or aliases. If no corpus was found, a single one may say what the folder itself is.

    Raises:
        InputError: a corpus is not there.
    """
    picked = {}
    for name in names:
        known = name if name in places else known_name(name)
        if known in places:
            picked[known] = places[known]
        elif known and len(names) == 1 and not places and _holds(data, CORPORA[known]):
            picked[known] = CorpusLocation(known, (data,), CORPORA[known])
        else:
            raise InputError(_not_there(data, name, known, places))
    return list(picked.values())


def _holds(data: Path, corpus: Corpus) -> bool:
    return not corpus.marker and any(corpus.parse(path) for path in audio_files(data))


def _identify(folder: Path) -> CorpusLocation | None:
    for name, corpus in CORPORA.items():
        if corpus.marker and (folder / corpus.marker).is_file():
            return CorpusLocation(name, (folder,), corpus)
    folder_name = Path(os.path.abspath(folder)).name  # so that "." has its name too
    known = known_name(folder_name)
    if known and not CORPORA[known].marker:
        return CorpusLocation(known, (folder,), CORPORA[known])
    return CorpusLocation(folder_name, (folder,), None) if (folder / MANIFEST).is_file() else None


def _not_there(data: Path, name: str, known: str | None, places: dict[str, CorpusLocation]) -> str:
    expected = f"a folder {data / name}"
    expected += f", or clips in {data} named {CORPORA[known].grammar}" if known else f" with a {MANIFEST}"
    return f"no corpus {name!r}: expected {expected}; corpora found: {', '.join(places) or 'none'}"
