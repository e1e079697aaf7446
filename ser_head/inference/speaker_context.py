"""Enrolment with real audio: clips into a speaker's profile, and what a prediction is told of who speaks."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ser_embed.cli import note
from ser_embed.errors import InputError
from ser_head.inference.audio import PredictConfig, embed_clips, file_digests, find_audio
from ser_head.personalization.profiles import Profile, empty_profile, load_profile
from ser_head.runs.run import Run


@dataclasses.dataclass(frozen=True)
class SpeakerContext:
    """What a head is told of who speaks. A clip tells nothing of itself: it is scored with the others.

    Attributes:
        speaker: a training speaker, or "".
        profile: enrolled clips of somebody else, or None.
        digests: hash of each file to score that is enrolled itself.
        unreadable: {"file", "reason"} of clips that were to be enrolled.
    """

    speaker: str = ""
    profile: Profile | None = None
    digests: Mapping[Path, str] = dataclasses.field(default_factory=dict)
    unreadable: tuple[dict[str, str], ...] = ()

    @property
    def clips(self) -> int:
        """With how many enrolled clips each file is scored, at least."""
        return len(self.profile.digests) - bool(self.digests) if self.profile else 0

    def speakers(self, files: Sequence[Path]) -> tuple[list[str], dict[str, np.ndarray]]:
        """Return what `ser_head.runs.run.Run.probabilities` wants to know.

        Returns:
            A name for the speaker of each file, and float32 (clips, layers, width) enrolled for each of the names.
        """
        names = [self.digests.get(file, self.speaker) for file in files]
        if self.profile is None:
            return names, {}
        return names, {name: self.profile.without({name}).vectors for name in set(names)}


def extend(profile: Profile, embedder: Any, paths: Iterable[Path]) -> tuple[Profile, tuple[dict[str, str], ...]]:
    """Add clips to a profile in memory, those it does not have yet.

    Args:
        profile: of the speaker.
        embedder: makes vectors of the profile's spec; see `ser_head.inference.audio.load_embedder`.
        paths: files, and folders that are searched for audio.

    Returns:
        The new profile, and {"file", "reason"} of each clip that could not be read.

    Raises:
        InputError: a folder holds no audio, or no clip can be read.
    """
    files = find_audio(paths)
    clips = embed_clips(embedder, files, profile.digests)
    if len(clips.unreadable) == len(files):
        first = clips.unreadable[0]
        raise InputError(
            f"expected clips to enrol, but none of {len(files)} can be read; {first['file']}: {first['reason']}"
        )
    return profile.with_clips(clips.vectors, clips.digests), clips.unreadable


def resolve_speaker(run: Run, embedder: Any, files: Sequence[Path], hearing: PredictConfig) -> SpeakerContext:
    """Find out who speaks, and tell.

    Args:
        run: scores the audio.
        embedder: makes its vectors.
        files: the audio.
        hearing: names a speaker, clips to enrol, or both.

    Raises:
        InputError: the profile is damaged or of another encoder, or no clip to enrol can be read.
    """
    name = hearing.speaker or ""
    if not name and hearing.enroll is None:
        return SpeakerContext()
    if not run.config.personalized:
        note(f"the run {run.folder} is not personalised: who speaks makes no difference")
        return SpeakerContext()
    profile = load_profile(run.profiles if hearing.profiles is None else Path(hearing.profiles), name, run.spec)
    if profile is None and hearing.enroll is None:
        if not any(name in fold["known"] for fold in run.about["folds"]):
            note(f"{name} has no profile and was not in training: scored as an unknown speaker")
        return SpeakerContext(name)
    profile = profile or empty_profile(name, run.spec)
    unreadable: tuple[dict[str, str], ...] = ()
    if hearing.enroll is not None:
        profile, unreadable = extend(profile, embedder, [Path(hearing.enroll)])
    digests = {file: digest for file, digest in file_digests(files).items() if digest in profile.digests}
    own = f"; to be scored among them: {len(digests)}, each with the others alone" if digests else ""
    note(f"enrolled clips{' of ' if name else ''}{name}: {len(profile.digests)}{own}")
    return SpeakerContext("", profile, digests, unreadable)
