"""Demo corpus on disk: clips, marker, table of speakers and README, written completely or not at all."""

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
from ser_embed.synthesis.waveform import simulate_recording

README = "README.md"
_README_TEXT = """# Synthetic speech

These clips are not spoken by people. They were made by `python -m ser_embed.demo` with the speech synthesiser
espeak-ng; a rule per emotion changed its pitch, rate and loudness. They are meant for trying out the tools: results
measured on them say nothing about the emotions of people.

File names have the fields of CREMA-D (speaker, sentence, emotion, intensity), but no clip comes from that corpus.
`{marker}` marks the folder as the corpus `demo`; `{speakers}` lists the speakers and their voices.
"""


@dataclasses.dataclass(frozen=True)
class DemoReport:
    """Summary of the corpus that was written: its folder, counts, and the total length of its clips in seconds."""

    folder: str
    clips: int
    speakers: int
    emotions: int
    sentences: int
    duration_s: float
    synthetic: bool = True


def write_corpus(folder: Path, config: DemoConfig) -> DemoReport:
    """Write the demo corpus to `folder`; an earlier demo corpus in it is replaced.

    Raises:
        InputError: `folder` is a file, or holds other files than those of a demo corpus.
    """
    folder = Path(os.path.abspath(folder))
    _require_replaceable(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with atomic_folder(folder) as draft:
        num_samples = _write_clips(draft, config)
        _write_description(draft, config)
    num_clips = config.speakers * len(LABELS) * config.sentences
    duration_s = round(num_samples / RATE_HZ, 3)
    return DemoReport(str(folder), num_clips, config.speakers, len(LABELS), config.sentences, duration_s)


def _require_replaceable(folder: Path) -> None:
    if not folder.exists():
        return
    if not folder.is_dir():
        raise InputError(f"expected a folder to write to, but {folder} is a file")
    names = sorted(path.name for path in folder.iterdir())
    is_demo = demo.MARKER in names
    demo_files = {README, demo.MARKER, demo.SPEAKER_TABLE} if is_demo else set()
    foreign = [name for name in names if name not in demo_files and not (is_demo and demo.parse(PurePosixPath(name)))]
    if foreign:
        raise InputError(f"expected {folder} to be empty or to hold an earlier demo corpus, found {foreign[0]!r} in it")


def _write_clips(folder: Path, config: DemoConfig) -> int:
    """Write the clips and return the sum of their numbers of samples."""
    num_samples = 0
    total = config.speakers * len(LABELS) * config.sentences
    for name, clip in tqdm(_make_clips(config), desc="demo corpus", unit="clip", total=total, disable=None):
        soundfile.write(folder / f"{name}.wav", clip, RATE_HZ, subtype="PCM_16")
        num_samples += len(clip)
    return num_samples


def _make_clips(config: DemoConfig) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the name of each clip and its samples, int16 (samples,) at 16 kHz."""
    for number in range(config.speakers):
        speaker = draw_speaker(number, config.seed)
        for emotion_index, emotion in enumerate(LABELS):
            for sentence_index, sentence in enumerate(list(SENTENCES)[: config.sentences]):
                random = np.random.default_rng([config.seed, number, emotion_index, sentence_index])
                clip = _make_clip(speaker, emotion, SENTENCES[sentence], random)
                yield f"{speaker.name}_{sentence}_{emotion}_XX", clip


def _make_clip(speaker: Speaker, emotion: str, text: str, random: np.random.Generator) -> np.ndarray:
    take = draw_take(speaker, emotion, random)
    speech = espeak.speak(text, take.delivery, seed=int(random.integers(1, 2**31)))
    return simulate_recording(speech, espeak.RATE_HZ, take.level_db, take.tilt_db, random)


def _write_description(folder: Path, config: DemoConfig) -> None:
    """Write the marker and the README, which state that the clips are synthetic, and the table of speakers."""
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
