"""CREMA-D: 91 actors say twelve sentences in six emotions; `1001_DFA_ANG_XX` is speaker, sentence, emotion, intensity.

Three kinds of columns hold the ratings of listeners, who heard the voice alone:

- `voice_vote`: the emotion that most listeners chose; the emotions of a tie are joined by ":" in alphabetical order;
- `voice_level`: the intensity of that emotion (0-100); of a tie, the mean over its emotions;
- `votes_<emotion>`: the number of listeners who chose this emotion.
"""

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from ser_embed.corpora.base import Corpus
from ser_embed.corpora.tables import find_table, index_by, read_table

LABELS = {"ANG": "angry", "DIS": "disgust", "FEA": "fear", "HAP": "happy", "NEU": "neutral", "SAD": "sad"}
SENTENCES = {
    "DFA": "Don't forget a jacket.",
    "IEO": "It's eleven o'clock.",
    "IOM": "I'm on my way to the meeting.",
    "ITH": "I think I have a doctor's appointment.",
    "ITS": "I think I've seen this before.",
    "IWL": "I would like a new alarm clock.",
    "IWW": "I wonder what this is about.",
    "MTI": "Maybe tomorrow it will be cold.",
    "TAI": "The airplane is almost full.",
    "TIE": "That is exactly what happened.",
    "TSI": "The surface is slick.",
    "WSI": "We'll stop in a couple of minutes.",
}
INTENSITIES = {"LO": "low", "MD": "medium", "HI": "high", "XX": "unspecified"}
_NAME = re.compile(rf"(\d{{4}})_({'|'.join(SENTENCES)})_({'|'.join(LABELS)})_({'|'.join(INTENSITIES)}|X)")
_VOTES = {label[0]: emotion for label, emotion in LABELS.items()}  # the tables write A for angry
# The first column of tabulatedVotes.csv has no title; pandas gives it this name. The first digit of its numbers, such
# as "100042", says what the listeners were given: 1 the voice, 2 the face, 3 both.
_ROW_NUMBER = "Unnamed: 0"
_VOICE_ONLY = "1"


def parse(path: PurePosixPath) -> dict[str, Any] | None:
    """Return the fields of a CREMA-D file name, or None if the name does not follow the grammar.

    >>> parse(PurePosixPath("1001_IEO_DIS_LO.wav"))["emotion"]
    'disgust'
    """
    match = _NAME.fullmatch(path.stem)
    if match is None:
        return None
    speaker, sentence, label, intensity = match.groups()
    intensity = "XX" if intensity == "X" else intensity  # 1040_ITH_SAD_X in the audio; the tables have XX
    return {
        "clip": f"{speaker}_{sentence}_{label}_{intensity}",
        "speaker": speaker,
        "emotion": LABELS[label],
        "sentence": sentence,
        "text": SENTENCES[sentence],
        "intensity": INTENSITIES[intensity],
        "language": "en",
    }


def add_tables(clips: pd.DataFrame, folders: Sequence[Path]) -> pd.DataFrame:
    """Add demographics and the ratings of listeners, from those csv files of the corpus that exist.

    Args:
        clips: the manifest.
        folders: the corpus folders.

    Returns:
        The manifest with more columns; clips without a row in a table have NaN.

    Raises:
        InputError: a file exists, but is not csv or lacks a column.
    """
    for filename, read, keys in (
        ("VideoDemographics.csv", _read_demographics, clips["speaker"]),
        ("summaryTable.csv", _read_summary, clips["utterance_id"]),
        ("tabulatedVotes.csv", _read_votes, clips["utterance_id"]),
    ):
        path = find_table(folders, filename)
        if path is not None:
            rows = read(path).reindex(keys.str.rpartition("/")[2])
            clips = clips.assign(**{str(name): column.array for name, column in rows.items()})
    return clips


def _read_demographics(path: Path) -> pd.DataFrame:
    table = index_by(read_table(path, ("ActorID", "Age", "Sex", "Race", "Ethnicity")), "ActorID")
    return pd.DataFrame(
        {
            "gender": table["Sex"].str.lower(),
            "age": pd.to_numeric(table["Age"], errors="coerce"),
            "race": table["Race"],
            "ethnicity": table["Ethnicity"],
        }
    )


def _read_summary(path: Path) -> pd.DataFrame:
    table = index_by(read_table(path, ("FileName", "VoiceVote", "VoiceLevel")), "FileName")
    # The levels of a tie are written as "37.2:58.6".
    levels = pd.to_numeric(table["VoiceLevel"].str.split(":").explode(), errors="coerce")
    return pd.DataFrame(
        {"voice_vote": table["VoiceVote"].map(_expand_votes), "voice_level": levels.groupby(level=0).mean()},
        index=table.index,
    )


def _expand_votes(votes: str) -> str:
    """Replace the letters of the emotions by their canonical names: "D:A" becomes "angry:disgust"."""
    return ":".join(sorted(_VOTES.get(vote, vote) for vote in votes.split(":")))


def _read_votes(path: Path) -> pd.DataFrame:
    table = read_table(path, ("fileName", _ROW_NUMBER, *_VOTES))
    table = index_by(table[table[_ROW_NUMBER].str.startswith(_VOICE_ONLY)], "fileName")
    return pd.DataFrame(
        {f"votes_{emotion}": pd.to_numeric(table[letter], errors="coerce") for letter, emotion in _VOTES.items()}
    )


CREMA_D = Corpus(
    name="crema-d",
    title="Crowd-sourced Emotional Multimodal Actors Dataset",
    licence="ODbL 1.0 / DbCL 1.0",
    citation="Cao, Cooper, Keutmann, Gur, Nenkova, Verma: CREMA-D. IEEE Transactions on Affective Computing 5(4), 2014",
    source="https://github.com/CheyneyComputerScience/CREMA-D",
    aliases=("CREMA-D-master", "AudioWAV", "AudioMP3"),
    num_clips=7442,
    num_speakers=91,
    labels=LABELS,
    grammar="SPEAKER_SENTENCE_EMOTION_INTENSITY, as in 1001_DFA_ANG_XX",
    faults=(
        "1076_MTI_SAD_XX is silent.",
        "1040_ITH_SAD_X in the audio release lacks a letter; here it is 1040_ITH_SAD_XX, as in the tables.",
        "A clone without git-lfs holds pointer files of about 130 bytes in place of the audio.",
        "Sentences are not balanced: only IEO was acted at three intensities.",
    ),
    parse=parse,
    add_tables=add_tables,
)
