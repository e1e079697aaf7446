"""Extraction as a command and a function: `python -m ser_embed.extract`, `ser_embed.extract(...)`."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ser_embed.cli import Command, CommandModule, CommandOutput
from ser_embed.extraction.config import ExtractConfig
from ser_embed.options import config_from_args, with_config_signature

if TYPE_CHECKING:
    from ser_embed.extraction.report import ExtractReport


@with_config_signature(ExtractConfig)
def extract(model: str | Path, **config: Any) -> "ExtractReport":
    """Turn corpora into a store of vectors, extracting only what is new or has changed.

    Args:
        model: encoder name, Hub id, or folder of a saved model.
        **config: the fields of `ser_embed.extraction.config.ExtractConfig`, which are also the command's flags.

    Returns:
        The store's path, counts, unreadable clips, speed.

    Raises:
        InputError: the input cannot be worked with; nothing was changed.

    >>> report = extract("mfcc", data="data", corpus="demo")  # doctest: +SKIP
    """
    from ser_embed.extraction.pipeline import run_extraction

    return run_extraction(ExtractConfig(model=str(model), **config))


def _run(args: argparse.Namespace) -> CommandOutput:
    from ser_embed.extraction.pipeline import run_extraction

    report = run_extraction(config_from_args(args, ExtractConfig))
    return CommandOutput(report.summary(), report.to_json(), report.unreadable)


COMMAND = Command(
    "ser_embed.extract", "Turn corpora into a store of encoder vectors.", _run, config=ExtractConfig, resumes=True
)
build_parser, main = COMMAND.build_parser, COMMAND.main

sys.modules[__name__].__class__ = CommandModule

if __name__ == "__main__":
    sys.exit(main())
