"""Stage 1 as a command and a function: `python -m ser_embed.extract`, `ser_embed.extract(...)`."""

import sys
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
from ser_embed.extraction.config import ExtractConfig

if TYPE_CHECKING:
    from ser_embed.extraction.report import ExtractReport

_LISTED = 20  # unreadable clips named on the terminal; all of them are in the store


@with_config_signature(ExtractConfig)
def extract(model: str, **config: Any) -> "ExtractReport":
    """Turn corpora into a store of vectors, extracting only what is new or has changed.

    Args:
        model: encoder name, Hub id, or folder of a saved model.
        **config: the fields of `ser_embed.extraction.config.ExtractConfig`, which are also the command's flags.

    Returns:
        What was done: the store's path, counts, unreadable clips, speed.

    Raises:
        InputError: the input cannot be worked with; nothing was changed.

    >>> report = extract("mfcc", data="data", corpus="demo")  # doctest: +SKIP
    """
    from ser_embed.extraction.pipeline import run_extraction

    return run_extraction(ExtractConfig(model=model, **config))


def build_parser() -> CommandParser:
    """Return the command's parser."""
    parser = CommandParser("python -m ser_embed.extract", description="Turn corpora into a store of encoder vectors.")
    add_options(parser, ExtractConfig)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a summary")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command; return its exit code."""
    args = build_parser().parse_args(argv)

    def work() -> int:
        from ser_embed.extraction.pipeline import run_extraction

        report = run_extraction(config_from_args(args, ExtractConfig))
        if args.json:
            print_json(report.to_json())
        else:
            print(report.summary())
        for clip in report.unreadable[:_LISTED]:
            note(f"unreadable: {clip['path']}: {clip['reason']}")
        if len(report.unreadable) > _LISTED:
            note(f"... and {len(report.unreadable) - _LISTED} more: python -m ser_embed.inspect {report.store}")
        return EXIT_SOME_UNREADABLE if report.unreadable else EXIT_DONE

    return run_command(work, resumes=True)


sys.modules[__name__].__class__ = CommandModule

if __name__ == "__main__":
    sys.exit(main())
