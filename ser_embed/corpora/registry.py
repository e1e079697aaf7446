"""The corpora known by name."""

from ser_embed.corpora.base import Corpus
from ser_embed.corpora.crema_d import CREMA_D
from ser_embed.corpora.demo import DEMO
from ser_embed.corpora.emodb import EMODB
from ser_embed.corpora.ravdess import RAVDESS
from ser_embed.corpora.savee import SAVEE
from ser_embed.corpora.tess import TESS

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
