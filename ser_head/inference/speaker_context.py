"""Speaker context: what a prediction knows of who speaks, from a profile, from enrolled clips, or from training."""

import dataclasses
import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ser_embed.errors import InputError
from ser_head.config.inference import PredictConfig
from ser_head.inference.clips import embed_clips, file_digests, find_audio
from ser_head.personalization.profiles import Profile, empty_profile, load_profile
from ser_head.runs.run import Run

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class SpeakerContext:
    """What a prediction knows of who speaks. A clip that is enrolled itself is scored with the other clips alone.

    Attributes:
        speaker: name of a training speaker, or "".
        profile: enrolled clips of somebody else, or None.
        digests: hash of each file to score that is enrolled itself, by path.
        unreadable: {"file", "reason"} of clips that were to be enrolled.
    """

    speaker: str = ""
    profile: Profile | None = None
    digests: Mapping[str, str] = dataclasses.field(default_factory=dict)
    unreadable: tuple[dict[str, str], ...] = ()

    @property
    def num_enrolled(self) -> int:
        """Number of enrolled clips with which each file is scored, at least."""
        return len(self.profile.digests) - bool(self.digests) if self.profile else 0

    def for_files(self, files: Sequence[Path]) -> "SpeakerContext":
        """Return the context for scoring these files, some of which may be enrolled."""
        if self.profile is None:
            return self
        digests = {file: digest for file, digest in file_digests(files).items() if digest in self.profile.digests}
        if digests:
            logger.info("files that are enrolled themselves: %d, each scored with the others alone", len(digests))
        return dataclasses.replace(self, digests=digests)

    def speakers(self, files: Sequence[str]) -> tuple[list[str], dict[str, np.ndarray]]:
        """Return what `ser_head.runs.run.Run.probabilities` takes.

        Returns:
            A name for the speaker of each file, and the enrolled vectors of each name, float32 (clips, layers, width).
        """
        names = [self.digests.get(file, self.speaker) for file in files]
        if self.profile is None:
            return names, {}
        return names, {name: self.profile.without({name}).vectors for name in set(names)}


def add_clips(profile: Profile, embedder: Any, paths: Iterable[Path]) -> tuple[Profile, tuple[dict[str, str], ...]]:
    """Add clips to a profile in memory, those it does not have yet.

    Args:
        profile: the speaker's.
        embedder: makes vectors of the profile's spec; see `ser_head.inference.clips.load_embedder`.
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


def resolve_speaker(run: Run, embedder: Any, config: PredictConfig) -> SpeakerContext:
    """Resolve who speaks by the config: a profile, clips to enrol, or a training speaker.

    Args:
        run: scores the audio.
        embedder: makes its vectors.
        config: names a speaker, clips to enrol, or both.

    Raises:
        InputError: the profile is damaged or of another encoder, or no clip to enrol can be read.
    """
    name = config.speaker or ""
    if not name and config.enroll is None:
        return SpeakerContext()
    if not run.config.personalized:
        logger.warning("the run %s is not personalised: who speaks makes no difference", run.folder)
        return SpeakerContext()
    profile = load_profile(run.profiles if config.profiles is None else config.profiles, name, run.spec)
    if profile is None and config.enroll is None:
        if not any(name in fold["known"] for fold in run.about["folds"]):
            logger.warning("%s has no profile and was not in training: scored as an unknown speaker", name)
        return SpeakerContext(name)
    profile = profile or empty_profile(name, run.spec)
    unreadable: tuple[dict[str, str], ...] = ()
    if config.enroll is not None:
        profile, unreadable = add_clips(profile, embedder, [config.enroll])
    logger.info("enrolled clips%s: %d", f" of {name}" if name else "", len(profile.digests))
    return SpeakerContext("", profile, unreadable=unreadable)
