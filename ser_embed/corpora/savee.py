"""SAVEE: four men each say 120 TIMIT sentences in seven emotions; `DC_a01.wav`, in the first release `DC/a01.wav`."""

import re
from pathlib import PurePosixPath
from typing import Any

from ser_embed.corpora.base import Corpus

LABELS = {
    "a": "angry",
    "d": "disgust",
    "f": "fear",
    "h": "happy",
    "n": "neutral",
    "sa": "sad",
    "su": "surprise",
}
SPEAKERS = ("DC", "JE", "JK", "KL")
_NAME = re.compile(rf"(?:.*/)?({'|'.join(SPEAKERS)})[_/]({'|'.join(LABELS)})(\d\d)")


def parse(path: PurePosixPath) -> dict[str, Any] | None:
    """Return the fields of a SAVEE file name, or None if the name does not follow the grammar.

    >>> parse(PurePosixPath("AudioData/DC/su03.wav"))["emotion"]
    'surprise'
    """
    match = _NAME.fullmatch(str(path.with_suffix("")))
    if match is None:
        return None
    speaker, label, number = match.groups()
    return {
        "clip": f"{speaker}_{label}{number}",
        "speaker": speaker,
        "emotion": LABELS[label],
        "gender": "male",
        "sentence": f"{label}{number}",
        "language": "en",
    }


SAVEE = Corpus(
    name="savee",
    title="Surrey Audio-Visual Expressed Emotion database",
    licence="free for research, on registration",
    citation="Haq, Jackson: Speaker-dependent audio-visual emotion recognition. AVSP 2009",
    source="http://kahlan.eps.surrey.ac.uk/savee/",
    aliases=("surrey-audiovisual-expressed-emotion-savee",),
    num_clips=480,
    num_speakers=4,
    labels=LABELS,
    grammar="SPEAKER_EMOTION and a two-digit number, as in DC_a01, or DC/a01",
    faults=(
        "All speakers are men.",
        "Neutral has 30 clips per speaker, every other emotion 15.",
        "Three sentences are the same in every emotion, the others are not: the words alone tell something.",
    ),
    parse=parse,
)
