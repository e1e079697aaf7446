"""EmoDB, the Berlin Database of Emotional Speech: ten actors, ten German sentences, seven emotions.

In `03a01Fa`, 03 is the speaker, a01 the sentence, F the emotion (by its German name) and a the take.
"""

import re
from pathlib import PurePosixPath
from typing import Any

from ser_embed.corpora.base import Corpus

LABELS = {
    "W": "angry",  # Wut, also called Ärger
    "L": "bored",  # Langeweile
    "E": "disgust",  # Ekel
    "A": "fear",  # Angst
    "F": "happy",  # Freude
    "T": "sad",  # Trauer
    "N": "neutral",
}
SPEAKERS = {
    "03": ("male", 31),
    "08": ("female", 34),
    "09": ("female", 21),
    "10": ("male", 32),
    "11": ("male", 26),
    "12": ("male", 30),
    "13": ("female", 32),
    "14": ("female", 35),
    "15": ("male", 25),
    "16": ("female", 31),
}
SENTENCES = {
    "a01": "Der Lappen liegt auf dem Eisschrank.",
    "a02": "Das will sie am Mittwoch abgeben.",
    "a04": "Heute abend könnte ich es ihm sagen.",
    "a05": "Das schwarze Stück Papier befindet sich da oben neben dem Holzstück.",
    "a07": "In sieben Stunden wird es soweit sein.",
    "b01": "Was sind denn das für Tüten, die da unter dem Tisch stehen?",
    "b02": "Sie haben es gerade hochgetragen und jetzt gehen sie wieder runter.",
    "b03": "An den Wochenenden bin ich jetzt immer nach Hause gefahren und habe Agnes besucht.",
    "b09": "Ich will das eben wegbringen und dann mit Karl was trinken gehen.",
    "b10": "Die wird auf dem Platz sein, wo wir sie immer hinlegen.",
}
_NAME = re.compile(rf"({'|'.join(SPEAKERS)})({'|'.join(SENTENCES)})([{''.join(LABELS)}])([a-z])")


def parse(path: PurePosixPath) -> dict[str, Any] | None:
    """Return the fields of an EmoDB file name, or None if the name does not follow the grammar.

    >>> parse(PurePosixPath("wav/03a01Fa.wav"))["emotion"]
    'happy'
    """
    match = _NAME.fullmatch(path.stem)
    if match is None:
        return None
    speaker, sentence, label, take = match.groups()
    gender, age = SPEAKERS[speaker]
    return {
        "clip": path.stem,
        "speaker": speaker,
        "emotion": LABELS[label],
        "gender": gender,
        "age": age,
        "sentence": sentence,
        "text": SENTENCES[sentence],
        "take": take,
        "language": "de",
    }


EMODB = Corpus(
    name="emodb",
    title="Berlin Database of Emotional Speech",
    licence="free for research",
    citation="Burkhardt, Paeschke, Rolfes, Sendlmeier, Weiss: A Database of German Emotional Speech. Interspeech 2005",
    source="http://emodb.bilderbar.info",
    aliases=("emo-db", "berlin-emodb", "berlin-database-of-emotional-speech-emodb"),
    num_clips=535,
    num_speakers=10,
    labels=LABELS,
    grammar="speaker, sentence, emotion and take without separators, as in 03a01Fa",
    faults=(
        "Only recordings that listeners recognised were kept, so emotions and speakers are not balanced: "
        "127 clips are angry, 46 disgusted.",
    ),
    parse=parse,
)
