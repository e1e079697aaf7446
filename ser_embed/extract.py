"""Stage 1 as a command and a function: `python -m ser_embed.extract`, `ser_embed.extract(...)`."""

import sys
from typing import TYPE_CHECKING, Any

from ser_embed.cli import (
    CommandModule,
    CommandParser,
    add_options,
    note,
    print_json,
    run_command,
    settings_from,
    takes_settings,
)
from ser_embed.errors import EXIT_DONE, EXIT_SOME_UNREADABLE
from ser_embed.extraction.config import ExtractSettings

if TYPE_CHECKING:
    from ser_embed.extraction.pipeline import ExtractReport

_LISTED = 20  # unreadable clips named on the terminal; all of them are in the store


@takes_settings(ExtractSettings)
def extract(model: str, **settings: Any) -> "ExtractReport":
    """Turn corpora into a store of vectors, extracting only what is new or has changed.

    Args:
        model: encoder name, Hub id, or folder of a saved model.
        **settings: the fields of `ser_embed.extraction.config.ExtractSettings`, which are also the command's flags.

    Returns:
        What was done: the store's path, counts, unreadable clips, speed.

    Raises:
        InputError: the input cannot be worked with; nothing was changed.

    >>> report = extract("mfcc", data="data", corpus="demo")  # doctest: +SKIP
    """
    from ser_embed.extraction.pipeline import run_extraction

    return run_extraction(ExtractSettings(model=model, **settings))


def build_parser() -> CommandParser:
    """Return the command's parser."""
    parser = CommandParser("python -m ser_embed.extract", description="Turn corpora into a store of encoder vectors.")
    add_options(parser, ExtractSettings)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a summary")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the command; return its exit code."""
    args = build_parser().parse_args(argv)

    def work() -> int:
        from ser_embed.extraction.pipeline import run_extraction

        report = run_extraction(settings_from(args, ExtractSettings))
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
