"""TESS: two women, one older (OAF) and one younger (YAF), say 200 words in seven emotions; `OAF_back_angry`."""

import re
from pathlib import PurePosixPath
from typing import Any

from ser_embed.corpora.base import Corpus

LABELS = {
    "angry": "angry",
    "disgust": "disgust",
    "fear": "fear",
    "happy": "happy",
    "neutral": "neutral",
    "ps": "surprise",
    "sad": "sad",
}
AGES = {"OAF": 64, "YAF": 26}
_NAME = re.compile(rf"(OAF|YAF|OA)_([A-Za-z]+)_({'|'.join(LABELS)})")


def parse(path: PurePosixPath) -> dict[str, Any] | None:
    """Return the fields of a TESS file name, or None if the name does not follow the grammar.

    >>> parse(PurePosixPath("YAF_pleasant_surprised/YAF_gap_ps.wav"))["emotion"]
    'surprise'
    """
    match = _NAME.fullmatch(path.stem)
    if match is None:
        return None
    speaker, word, label = match.groups()
    speaker = "OAF" if speaker == "OA" else speaker  # OA_bite_neutral is misspelled
    return {
        "clip": f"{speaker}_{word}_{label}",
        "speaker": speaker,
        "emotion": LABELS[label],
        "gender": "female",
        "age": AGES[speaker],
        "sentence": word,
        "text": f"Say the word {word}.",
        "language": "en",
    }


TESS = Corpus(
    name="tess",
    title="Toronto Emotional Speech Set",
    licence="CC BY-NC-ND 4.0",
    citation="Pichora-Fuller, Dupuis: Toronto emotional speech set (TESS). Scholars Portal Dataverse, 2020",
    source="https://doi.org/10.5683/SP2/E8H2MF",
    aliases=("TESS Toronto emotional speech set data", "toronto-emotional-speech-set-tess"),
    num_clips=2800,
    num_speakers=2,
    labels=LABELS,
    grammar="SPEAKER_WORD_EMOTION, as in OAF_back_angry",
    faults=(
        "One file is named OA_bite_neutral; here it is OAF_bite_neutral.",
        "With two speakers, a test on unseen speakers rests on a single voice.",
        "The copy on Kaggle holds every file twice, the second time in a nested folder.",
    ),
    parse=parse,
)
