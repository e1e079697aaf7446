"""CREMA-D: 91 actors say twelve sentences in six emotions; `1001_DFA_ANG_XX` is speaker, sentence, emotion, intensity.

Beside the acted emotion stand what listeners heard: `voice_vote`, the emotion most of them chose from the voice alone
(ties joined by ":", in alphabetical order), `voice_level`, how intense they found it (0-100; of a tie, the mean of its
emotions), and `votes_<emotion>`, how many chose each.
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
_ROW = "Unnamed: 0"  # pandas' name for the nameless first column of tabulatedVotes.csv, where "100042" ...
_VOICE_QUERY = "1"  # ... begins with what the listeners had: 1 the voice, 2 the face, 3 both


def parse(path: PurePosixPath) -> dict[str, Any] | None:
    """Return what a CREMA-D file name tells, or None if it is not one.

    >>> parse(PurePosixPath("1001_IEO_DIS_LO.wav"))["emotion"]
    'disgust'
    """
    match = _NAME.fullmatch(path.stem)
    if match is None:
        return None
    speaker, sentence, label, intensity = match.groups()
    intensity = "XX" if intensity == "X" else intensity  # 1040_ITH_SAD_X lacks a letter; the tables write it in full
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
    """Add demographics and the listeners' ratings from those of the corpus's csv files that are there.

    Raises:
        InputError: a file is there, but it is not the table it should be.
    """
    for filename, reader, key in (
        ("VideoDemographics.csv", _demographics, clips["speaker"]),
        ("summaryTable.csv", _summary, clips["utterance_id"]),
        ("tabulatedVotes.csv", _tabulated_votes, clips["utterance_id"]),
    ):
        path = find_table(folders, filename)
        if path is not None:
            rows = reader(path).reindex(key.str.rpartition("/")[2])
            clips = clips.assign(**{str(name): column.array for name, column in rows.items()})
    return clips


def _demographics(path: Path) -> pd.DataFrame:
    table = index_by(read_table(path, ("ActorID", "Age", "Sex", "Race", "Ethnicity")), "ActorID")
    return pd.DataFrame(
        {
            "gender": table["Sex"].str.lower(),
            "age": pd.to_numeric(table["Age"], errors="coerce"),
            "race": table["Race"],
            "ethnicity": table["Ethnicity"],
        }
    )


def _summary(path: Path) -> pd.DataFrame:
    table = index_by(read_table(path, ("FileName", "VoiceVote", "VoiceLevel")), "FileName")
    levels = pd.to_numeric(table["VoiceLevel"].str.split(":").explode(), errors="coerce")  # a tie: "37.2:58.6"
    return pd.DataFrame(
        {"voice_vote": table["VoiceVote"].map(_spell_out), "voice_level": levels.groupby(level=0).mean()},
        index=table.index,
    )


def _spell_out(votes: str) -> str:
    return ":".join(sorted(_VOTES.get(vote, vote) for vote in votes.split(":")))


def _tabulated_votes(path: Path) -> pd.DataFrame:
    table = read_table(path, ("fileName", _ROW, *_VOTES))
    table = index_by(table[table[_ROW].str.startswith(_VOICE_QUERY)], "fileName")
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
