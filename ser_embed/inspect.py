"""Store inspection as a command and a function: `python -m ser_embed.inspect STORE`, `ser_embed.inspect(store)`."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from ser_embed.cli import Command, CommandModule, CommandOutput
from ser_embed.errors import EXIT_DONE, EXIT_FAILED


def inspect(store: str | Path, verify: bool = False, data: str | Path | None = None) -> dict[str, Any]:
    """Describe a store, and check it if asked to.

    Args:
        store: the HDF5 file.
        verify: reread every vector and every source clip.
        data: the folder the clips are in; None takes the one they were extracted from.

    Returns:
        Plain JSON values: path, spec, software, clips, copies (the augmented ones among them), shape, audio_s, corpora,
        emotions, speakers, unreadable, and with `verify` the list of disagreements.

    Raises:
        InputError: it is not a store.
    """
    from ser_embed.manifest import recordings_of
    from ser_embed.store.reader import Store
    from ser_embed.store.verify import disagreements

    with Store(store) as opened:
        clips = opened.utterances
        description: dict[str, Any] = {
            "store": str(store),
            "spec": json.loads(opened.spec.to_json()),
            "software": opened.software,
            "clips": len(opened),
            "copies": int((recordings_of(clips) != clips["utterance_id"]).sum()),
            "shape": list(opened.vectors.shape),
            "audio_s": round(float(clips["duration_s"].sum()), 3),
            "corpora": clips["corpus"].value_counts().to_dict(),
            "emotions": clips["emotion"].value_counts().to_dict(),
            "speakers": int(clips["speaker"].nunique()),
            "unreadable": opened.unreadable.to_dict("records"),
        }
        if verify:
            description["disagreements"] = disagreements(opened, Path(data or opened.software["data"]))
    return description


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("store", metavar="STORE", type=Path, help="the HDF5 file")
    parser.add_argument("--verify", action="store_true", help="reread every vector and every source clip")
    parser.add_argument("--data", metavar="DIR", type=Path, help="folder of the clips (default: as when extracted)")


def _run(args: argparse.Namespace) -> CommandOutput:
    """Describe the store; the exit code is 1 if something disagrees."""
    description = inspect(args.store, args.verify, args.data)
    exit_code = EXIT_FAILED if description.get("disagreements") else EXIT_DONE
    return CommandOutput("\n".join(_lines(description)), description, exit_code=exit_code)


def _lines(description: dict[str, Any]) -> list[str]:
    spec = description["spec"]
    copies = f" ({description['copies']} augmented copies)" if description["copies"] else ""
    lines = [
        f"{description['store']}: {description['clips']} clips{copies}, {description['audio_s'] / 3600:.2f} h, "
        f"{description['speakers']} speakers, vectors {tuple(description['shape'])}",
        *(f"  {name:14} {value}" for name, value in spec.items() if value not in ("", None) and name != "layers"),
        f"  {'layers':14} {' '.join(spec['layers'])}",
        *(f"  {name:14} {_counts(description[name])}" for name in ("corpora", "emotions")),
        *(f"  unreadable     {clip['path']}: {clip['reason']}" for clip in description["unreadable"]),
    ]
    if "disagreements" in description:
        lines += [f"  disagrees      {problem}" for problem in description["disagreements"]]
        lines.append(f"verified: {len(description['disagreements'])} disagreements")
    return lines


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name or '(none)'} {count}" for name, count in counts.items())


COMMAND = Command("ser_embed.inspect", "Show what is in a store, and check it.", _run, add_arguments=_add_arguments)
build_parser, main = COMMAND.build_parser, COMMAND.main

sys.modules[__name__].__class__ = CommandModule

if __name__ == "__main__":
    sys.exit(main())
