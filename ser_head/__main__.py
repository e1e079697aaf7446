"""Console script `ser`: every command as a subcommand, `ser extract`, `ser train`, `ser predict` and so on."""

import sys
from collections.abc import Sequence
from importlib import import_module

from ser_embed import __version__
from ser_embed.errors import EXIT_BAD_INPUT, EXIT_DONE

COMMANDS = {
    "demo": ("ser_embed.demo", "write a small synthetic corpus"),
    "extract": ("ser_embed.extract", "turn corpora into a store of encoder vectors"),
    "inspect": ("ser_embed.inspect", "show what is in a store, and check it"),
    "pretrain": ("ser_embed.pretrain", "pre-train a HuBERT on unlabelled speech"),
    "train": ("ser_head.train", "train a head on a store of vectors"),
    "finetune": ("ser_head.finetune", "fine-tune the upper layers of an encoder"),
    "predict": ("ser_head.predict", "score new audio with a trained run"),
    "enroll": ("ser_head.enroll", "keep what a run needs to know of a voice"),
    "score": ("ser_head.score", "recompute a run's figures from its predictions"),
    "compare": ("ser_head.compare", "lay runs side by side"),
    "watch": ("ser_monitor.watch", "listen to a microphone, files or streams"),
    "report": ("ser_monitor.report", "report what was heard over a period"),
    "admin": ("ser_monitor.admin", "keep the database of a monitor in order"),
}


def usage() -> str:
    """Return the list of subcommands."""
    lines = [f"  {name:10}{summary}" for name, (_, summary) in COMMANDS.items()]
    return "\n".join(["usage: ser COMMAND [--help] ...", "", *lines, "", "  --version prints the version"])


def main(argv: Sequence[str] | None = None) -> int:
    """Run a subcommand; return its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(usage())
        return EXIT_DONE if arguments else EXIT_BAD_INPUT
    if arguments[0] == "--version":
        print(f"twostage-ser {__version__}")
        return EXIT_DONE
    if arguments[0] not in COMMANDS:
        print(f"error: no command {arguments[0]!r}; expected one of {', '.join(COMMANDS)}", file=sys.stderr)
        return EXIT_BAD_INPUT
    module = import_module(COMMANDS[arguments[0]][0])
    return module.main(arguments[1:], prog=f"ser {arguments[0]}")


if __name__ == "__main__":
    sys.exit(main())
