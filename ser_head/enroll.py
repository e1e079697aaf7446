"""Speaker profiles as a command and a function: `python -m ser_head.enroll`, `ser_head.enroll(...)`."""

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ser_embed.cli import CommandModule, CommandParser, note, print_json, run_command
from ser_embed.errors import EXIT_DONE, EXIT_SOME_UNREADABLE, InputError


@dataclasses.dataclass(frozen=True)
class Enrolled:
    """What became of clips.

    Attributes:
        speaker: whose profile.
        profile: where it is.
        clips: how many it has now.
        added: how many of these are new.
        unreadable: one {"file", "reason"} for each clip that could not be read.
    """

    speaker: str
    profile: Path
    clips: int
    added: int
    unreadable: tuple[dict[str, str], ...]


def enroll(
    clips: str | Path | Sequence[str | Path],
    speaker: str,
    run: str | Path | None = None,
    profiles: str | Path | None = None,
    model: str | None = None,
    device: str = "auto",
) -> Enrolled:
    """Write or extend a speaker's profile, so that `ser_head.predict(..., speaker=...)` is adapted to the voice.

    The profile holds vectors of the clips, neither audio nor labels. A clip it has already is not added again.

    Args:
        clips: unlabelled audio of the speaker alone: a file, a folder, or several.
        speaker: name of the profile.
        run: the run whose encoder to use; None takes the newest in runs/.
        profiles: folder of profiles; None takes profiles/ in the run's.
        model: where the encoder is, if not where it was in training.
        device: where it runs.

    Raises:
        InputError: no such run, a name that cannot be one, a profile of another encoder, no clip that can be read,
            or profiles that cannot be written.
    """
    from ser_embed.files import require_writable_folder
    from ser_head.inference.audio import load_embedder
    from ser_head.inference.speaker_context import extend
    from ser_head.personalization.profiles import empty_profile, load_profile, require_name, save_profile
    from ser_head.runs.run import Run, newest_run

    require_name(speaker)
    trained = Run.load(run or newest_run())
    if trained.spec.pooling == "frames":
        raise InputError(
            f"expected a run on one vector per clip, but {trained.folder} hears frames: it takes no profile"
        )
    if not trained.config.personalized:
        note(f"the run {trained.folder} is not personalised: a profile makes no difference to it")
    folder = trained.profiles if profiles is None else Path(profiles)
    require_writable_folder(folder)
    old = load_profile(folder, speaker, trained.spec) or empty_profile(speaker, trained.spec)
    embedder = load_embedder(trained.spec, model, device)
    paths = [clips] if isinstance(clips, (str, Path)) else clips
    new, unreadable = extend(old, embedder, [Path(path) for path in paths])
    added = len(new.digests) - len(old.digests)
    place = save_profile(folder, new) if added else folder / f"{speaker}.json"
    return Enrolled(speaker, place, len(new.digests), added, unreadable)


def build_parser() -> CommandParser:
    """Return the command's parser."""
    parser = CommandParser("python -m ser_head.enroll", description="Keep what a run needs to know of a voice.")
    parser.add_argument("clips", nargs="*", metavar="CLIP", help="unlabelled audio of the speaker alone, or folders")
    action = parser.add_mutually_exclusive_group()
    action.add_argument("--speaker", metavar="NAME", help="whose profile to write, or to add the clips to")
    action.add_argument("--list", action="store_true", help="list the profiles there are")
    action.add_argument("--delete", metavar="NAME", help="delete all that is kept of a speaker")
    parser.add_argument("--run", metavar="DIR", help="run folder (default: the newest in runs/)")
    parser.add_argument("--profiles", metavar="DIR", help="folder of profiles (default: profiles/ in the run folder)")
    parser.add_argument("--model", metavar="PATH", help="where the encoder is now (default: where it was in training)")
    parser.add_argument("--device", default="auto", help="where the encoder runs (default: auto)")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of lines")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command; return its exit code."""
    args = build_parser().parse_args(argv)

    def work() -> int:
        if args.list or args.delete is not None:
            if args.clips:
                raise InputError("--list and --delete take no clips")
            document, lines = _deleted(args) if args.delete is not None else _listed(args)
        else:
            document, lines = _enrolled(args)
        if args.json:
            print_json(document)
        elif lines:
            print(*lines, sep="\n")
        unreadable = document.get("unreadable", [])
        for file in unreadable:
            note(f"unreadable: {file['file']}: {file['reason']}")
        return EXIT_SOME_UNREADABLE if unreadable else EXIT_DONE

    return run_command(work)


def _enrolled(args: argparse.Namespace) -> tuple[dict[str, Any], list[str]]:
    if args.speaker is None or not args.clips:
        raise InputError("expected --speaker NAME with clips, --list, or --delete NAME")
    done = enroll(args.clips, args.speaker, args.run, args.profiles, args.model, args.device)
    line = f"{done.speaker}: {done.added} added, {done.clips} in all, in {done.profile}"
    return {**dataclasses.asdict(done), "profile": str(done.profile)}, [line]


def _listed(args: argparse.Namespace) -> tuple[dict[str, Any], list[str]]:
    from ser_head.personalization.profiles import list_profiles

    found = list_profiles(_folder(args))
    lines = [f"{each['name']}: clips {each['clips']}, updated {each['updated']}" for each in found]
    return {"profiles": found}, lines


def _deleted(args: argparse.Namespace) -> tuple[dict[str, Any], list[str]]:
    from ser_head.personalization.profiles import delete_profile

    delete_profile(_folder(args), args.delete)
    return {"deleted": args.delete}, [f"{args.delete}: deleted"]


def _folder(args: argparse.Namespace) -> Path:
    if args.profiles is not None:
        return Path(args.profiles)
    from ser_head.runs.run import Run, newest_run

    return Run.load(args.run or newest_run()).profiles


sys.modules[__name__].__class__ = CommandModule

if __name__ == "__main__":
    sys.exit(main())
