"""RAVDESS: 24 actors say two sentences in eight emotions; `03-01-06-01-02-01-12` has seven numbered fields.

The fields are modality, vocal channel, emotion, intensity, statement, repetition and actor. The corpus repeats the
same recordings as the sound of its videos, and also contains songs: only audio-only speech (`03-01-`) is used.
"""

import re
from pathlib import PurePosixPath
from typing import Any

from ser_embed.corpora.base import Corpus

LABELS = {
    "01": "neutral",
    "02": "calm",
    "03": "happy",
    "04": "sad",
    "05": "angry",
    "06": "fear",
    "07": "disgust",
    "08": "surprise",
}
MODALITIES = {"01": "audio-video", "02": "video-only", "03": "audio-only"}
CHANNELS = {"01": "speech", "02": "song"}
INTENSITIES = {"01": "normal", "02": "strong"}
STATEMENTS = {"01": "Kids are talking by the door.", "02": "Dogs are sitting by the door."}
_NAME = re.compile(r"(0[1-3])-(0[12])-(0[1-8])-(0[12])-(0[12])-(0[12])-(0[1-9]|1\d|2[0-4])")


def parse(path: PurePosixPath) -> dict[str, Any] | None:
    """Return the fields of a RAVDESS file name, or None if the name does not follow the grammar.

    >>> parse(PurePosixPath("Actor_12/03-01-06-01-02-01-12.wav"))["emotion"]
    'fear'
    """
    match = _NAME.fullmatch(path.stem)
    if match is None:
        return None
    modality, channel, emotion, intensity, statement, repetition, actor = match.groups()
    return {
        "clip": path.stem,
        "speaker": actor,
        "emotion": LABELS[emotion],
        "gender": "male" if int(actor) % 2 else "female",
        "sentence": statement,
        "text": STATEMENTS[statement],
        "intensity": INTENSITIES[intensity],
        "take": repetition,
        "language": "en",
        "modality": MODALITIES[modality],
        "channel": CHANNELS[channel],
    }


RAVDESS = Corpus(
    name="ravdess",
    title="Ryerson Audio-Visual Database of Emotional Speech and Song, speech part",
    licence="CC BY-NC-SA 4.0",
    citation="Livingstone, Russo: The Ryerson Audio-Visual Database of Emotional Speech and Song. PLoS ONE 13(5), 2018",
    source="https://doi.org/10.5281/zenodo.1188976",
    aliases=("Audio_Speech_Actors_01-24", "Audio_Song_Actors_01-24", "ravdess-emotional-speech-audio"),
    num_clips=1440,
    num_speakers=24,
    labels=LABELS,
    grammar="MODALITY-CHANNEL-EMOTION-INTENSITY-STATEMENT-REPETITION-ACTOR, as in 03-01-06-01-02-01-12",
    faults=(
        "03-01-03-01-02-01-07 and 03-01-03-01-02-02-07 are the same recording.",
        "Five files of the 48 kHz edition are stereo.",
        "Neutral was acted at normal intensity only, so it has half as many clips as the other emotions.",
        "The copy on Kaggle holds every file twice, the second time in a nested folder.",
    ),
    parse=parse,
    required_values={"modality": "audio-only", "channel": "speech"},
)
