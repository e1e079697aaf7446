"""Enrolment as a command and a function: `python -m ser_head.enroll`, `ser_head.enroll(...)`."""

import argparse
import dataclasses
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ser_embed.cli import Command, CommandModule, CommandOutput
from ser_embed.errors import InputError
from ser_embed.options import config_from_args, with_config_signature
from ser_head.config.inference import EnrollConfig

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class EnrollResult:
    """Outcome of an enrolment.

    Attributes:
        speaker: whose profile.
        profile: file of the profile.
        clips: number of clips it has now.
        added: number of these that are new.
        unreadable: one {"file", "reason"} for each clip that could not be read.
    """

    speaker: str
    profile: Path
    clips: int
    added: int
    unreadable: tuple[dict[str, str], ...]


@with_config_signature(EnrollConfig)
def enroll(clips: str | Path | Sequence[str | Path], speaker: str, **config: Any) -> EnrollResult:
    """Write or extend a speaker's profile, so that `ser_head.predict(..., speaker=...)` is adapted to the voice.

    The profile holds vectors of the clips, neither audio nor labels. A clip it has already is not added again.

    Args:
        clips: unlabelled audio of the speaker alone: a file, a folder, or several.
        speaker: name of the profile.
        **config: fields of `ser_head.config.inference.EnrollConfig`: run, profiles, model, device.

    Raises:
        InputError: no such run, a name that cannot be one, a profile of another encoder, no clip that can be read,
            or profiles that cannot be written.
    """
    from ser_embed.files import require_writable_folder
    from ser_head.inference.clips import load_embedder
    from ser_head.inference.speaker_context import add_clips
    from ser_head.personalization.profiles import empty_profile, extend_profile, load_profile, require_name
    from ser_head.runs.location import resolve_run
    from ser_head.runs.run import Run

    options = EnrollConfig(**config)
    require_name(speaker)
    run = Run.load(resolve_run(options.run))
    if run.spec.pooling == "frames":
        raise InputError(f"expected a run on one vector per clip, but {run.folder} is on frames: it takes no profile")
    if not run.config.personalized:
        logger.warning("the run %s is not personalised: a profile makes no difference to it", run.folder)
    folder = options.profiles or run.profiles
    require_writable_folder(folder)
    profile = load_profile(folder, speaker, run.spec) or empty_profile(speaker, run.spec)
    embedder = load_embedder(run.spec, options.model, options.device)
    paths = [clips] if isinstance(clips, (str, Path)) else clips
    extended, unreadable = add_clips(profile, embedder, [Path(path) for path in paths])
    added = extended.without(profile.digests)
    profile = extend_profile(folder, added)
    return EnrollResult(speaker, folder / f"{speaker}.json", len(profile.digests), len(added.digests), unreadable)


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("clips", nargs="*", metavar="CLIP", help="unlabelled audio of the speaker alone, or folders")
    action = parser.add_mutually_exclusive_group()
    action.add_argument("--speaker", metavar="NAME", help="whose profile to write, or to add the clips to")
    action.add_argument("--list", action="store_true", help="list the profiles there are")
    action.add_argument("--delete", metavar="NAME", help="delete all that is kept of a speaker")


def _run(args: argparse.Namespace) -> CommandOutput:
    config = config_from_args(args, EnrollConfig)
    if args.list or args.delete is not None:
        if args.clips:
            raise InputError("--list and --delete take no clips")
        return _list(config) if args.delete is None else _delete(config, args.delete)
    if args.speaker is None or not args.clips:
        raise InputError("expected --speaker NAME with clips, --list, or --delete NAME")
    result = enroll(args.clips, args.speaker, **{name: getattr(config, name) for name in vars(config)})
    text = f"{result.speaker}: {result.added} added, {result.clips} in all, in {result.profile}"
    return CommandOutput(text, {**dataclasses.asdict(result), "profile": str(result.profile)}, result.unreadable)


def _list(config: EnrollConfig) -> CommandOutput:
    from ser_head.personalization.profiles import list_profiles

    profiles = list_profiles(_profile_folder(config))
    lines = [f"{profile['name']}: clips {profile['clips']}, updated {profile['updated']}" for profile in profiles]
    return CommandOutput("\n".join(lines), {"profiles": profiles})


def _delete(config: EnrollConfig, speaker: str) -> CommandOutput:
    from ser_head.personalization.profiles import delete_profile

    delete_profile(_profile_folder(config), speaker)
    return CommandOutput(f"{speaker}: deleted", {"deleted": speaker})


def _profile_folder(config: EnrollConfig) -> Path:
    from ser_head.runs.location import resolve_run
    from ser_head.runs.run import Run

    return config.profiles or Run.load(resolve_run(config.run)).profiles


COMMAND = Command(
    "ser_head.enroll",
    "Keep what a run needs to know of a voice.",
    _run,
    config=EnrollConfig,
    add_arguments=_add_arguments,
)
build_parser, main = COMMAND.build_parser, COMMAND.main

sys.modules[__name__].__class__ = CommandModule

if __name__ == "__main__":
    sys.exit(main())
