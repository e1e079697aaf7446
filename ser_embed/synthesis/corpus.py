"""Writing the demo corpus: all of it or nothing."""

import csv
import dataclasses
import json
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np
import soundfile
from tqdm import tqdm

from ser_embed.corpora import demo
from ser_embed.corpora.crema_d import LABELS, SENTENCES
from ser_embed.errors import InputError
from ser_embed.files import atomic_folder
from ser_embed.spec import RATE_HZ
from ser_embed.synthesis import espeak
from ser_embed.synthesis.config import DemoConfig
from ser_embed.synthesis.prosody import Speaker, draw_speaker, draw_take
from ser_embed.synthesis.waveform import record

README = "README.md"
_README_TEXT = """# Synthetic speech

No person speaks here. The clips were made by `python -m ser_embed.demo` with the speech synthesiser espeak-ng, whose
pitch, rate and loudness a rule per emotion moved. They exist to try the tools out; figures measured on them say nothing
about the emotions of people.

File names follow CREMA-D, speaker, sentence, emotion, intensity, but the clips have nothing to do with that corpus.
`{marker}` marks the folder as the corpus `demo`; `{speakers}` lists the voices.
"""


@dataclasses.dataclass(frozen=True)
class DemoReport:
    """What was written: the folder, counts, and the length of all clips together in seconds."""

    folder: str
    clips: int
    speakers: int
    emotions: int
    sentences: int
    duration_s: float
    synthetic: bool = True


def write_corpus(folder: Path, config: DemoConfig) -> DemoReport:
    """Write the demo corpus to `folder`; an earlier demo corpus there is replaced.

    Raises:
        InputError: the folder holds anything else.
    """
    folder = Path(os.path.abspath(folder))
    _require_free(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with atomic_folder(folder) as draft:
        samples = _write_clips(draft, config)
        _write_labels(draft, config)
    num_clips = config.speakers * len(LABELS) * config.sentences
    duration_s = round(samples / RATE_HZ, 3)
    return DemoReport(str(folder), num_clips, config.speakers, len(LABELS), config.sentences, duration_s)


def _require_free(folder: Path) -> None:
    if not folder.exists():
        return
    if not folder.is_dir():
        raise InputError(f"expected a folder to write to, but {folder} is a file")
    names = sorted(path.name for path in folder.iterdir())
    ours = {README, demo.MARKER, demo.SPEAKER_TABLE} if demo.MARKER in names else set()
    other = [name for name in names if name not in ours and not (ours and demo.parse(PurePosixPath(name)))]
    if other:
        raise InputError(f"expected {folder} to be empty or to hold an earlier demo corpus, found {other[0]!r} in it")


def _write_clips(folder: Path, config: DemoConfig) -> int:
    """Write the clips and return how many samples they have."""
    samples = 0
    total = config.speakers * len(LABELS) * config.sentences
    for name, clip in tqdm(_clips(config), desc="demo corpus", unit="clip", total=total, disable=None):
        soundfile.write(folder / f"{name}.wav", clip, RATE_HZ, subtype="PCM_16")
        samples += len(clip)
    return samples


def _clips(config: DemoConfig) -> Iterator[tuple[str, np.ndarray]]:
    for number in range(config.speakers):
        speaker = draw_speaker(number, config.seed)
        for label, emotion in enumerate(LABELS):
            for line, sentence in enumerate(list(SENTENCES)[: config.sentences]):
                random = np.random.default_rng([config.seed, number, label, line])
                yield f"{speaker.name}_{sentence}_{emotion}_XX", _say(speaker, emotion, SENTENCES[sentence], random)


def _say(speaker: Speaker, emotion: str, text: str, random: np.random.Generator) -> np.ndarray:
    take = draw_take(speaker, emotion, random)
    speech = espeak.speak(text, take.delivery, seed=int(random.integers(1, 2**31)))
    return record(speech, espeak.RATE_HZ, take.level_db, take.tilt_db, random)


def _write_labels(folder: Path, config: DemoConfig) -> None:
    """Write what says that the clips are synthetic, and who speaks."""
    marker = {"synthetic": True, "made_by": "python -m ser_embed.demo", **dataclasses.asdict(config)}
    (folder / demo.MARKER).write_text(json.dumps(marker, indent=2) + "\n", encoding="utf-8")
    text = _README_TEXT.format(marker=demo.MARKER, speakers=demo.SPEAKER_TABLE)
    (folder / README).write_text(text, encoding="utf-8")
    with open(folder / demo.SPEAKER_TABLE, "w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(("speaker", "gender", "voice"))
        for number in range(config.speakers):
            speaker = draw_speaker(number, config.seed)
            table.writerow((speaker.name, speaker.gender, f"espeak-ng {speaker.variant}"))
