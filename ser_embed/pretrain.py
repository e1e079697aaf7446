"""Pre-train a HuBERT as a command and a function: `python -m ser_embed.pretrain`, `ser_embed.pretrain(...)`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ser_embed.cli import (
    CommandModule,
    CommandParser,
    add_options,
    config_from_args,
    note,
    print_json,
    run_command,
    with_config_signature,
)
from ser_embed.errors import EXIT_DONE, EXIT_SOME_UNREADABLE
from ser_embed.pretraining.config import PretrainConfig

if TYPE_CHECKING:
    from ser_embed.pretraining.pipeline import PretrainReport

_LISTED = 20  # unreadable files named on the terminal; all of them are in OUTPUT/pretraining.json


@with_config_signature(PretrainConfig)
def pretrain(output: str | Path, **settings: Any) -> "PretrainReport":
    """Pre-train a HuBERT by masked prediction, from scratch or going on from a trained one.

    Called again with the same settings it goes on from the last checkpoint, to exactly the weights it would have come
    to without a stop, and does nothing if it was finished.

    Args:
        output: the folder to write the model to. `--model` of the other commands and transformers'
            `HubertModel.from_pretrained` take it.
        **settings: the fields of `ser_embed.pretraining.config.PretrainConfig`, which are also the command's flags.

    Returns:
        What was done: steps, validation loss and accuracy, unreadable files.

    Raises:
        InputError: the data, the model or the output folder does not fit.

    >>> report = pretrain("models/mine", data="speech", targets="mfcc,prosody")  # doctest: +SKIP
    """
    from ser_embed.pretraining.pipeline import run_pretraining

    return run_pretraining(PretrainConfig(output=Path(output), **settings))


def build_parser() -> CommandParser:
    """Return the command's parser."""
    parser = CommandParser(
        "python -m ser_embed.pretrain",
        description="Pre-train a HuBERT on unlabelled speech; the same command goes on where it stopped.",
    )
    add_options(parser, PretrainConfig)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a summary")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command; return its exit code."""
    args = build_parser().parse_args(argv)

    def work() -> int:
        from ser_embed.pretraining.pipeline import run_pretraining

        report = run_pretraining(config_from_args(args, PretrainConfig))
        if args.json:
            print_json(report.to_json())
        else:
            print(report.summary())
        for file in report.unreadable[:_LISTED]:
            note(f"unreadable: {file['path']}: {file['reason']}")
        if len(report.unreadable) > _LISTED:
            note(f"... and {len(report.unreadable) - _LISTED} more")
        return EXIT_SOME_UNREADABLE if report.unreadable else EXIT_DONE

    return run_command(work, resumes=True)


sys.modules[__name__].__class__ = CommandModule

if __name__ == "__main__":
    sys.exit(main())
