"""Demo corpus as a command and a function: `python -m ser_embed.demo DIR`, `ser_embed.demo(DIR)`.

espeak-ng speaks twelve sentences in six emotions with sixteen voices. The clips are synthetic, and say so: figures
measured on them say nothing about people.
"""

import argparse
import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ser_embed.cli import Command, CommandModule, CommandOutput
from ser_embed.errors import InputError
from ser_embed.options import config_from_args, with_config_signature
from ser_embed.synthesis.config import DemoConfig

if TYPE_CHECKING:
    from ser_embed.synthesis.corpus import DemoReport


@with_config_signature(DemoConfig)
def demo(folder: str | Path, **config: Any) -> "DemoReport":
    """Write the demo corpus.

    Args:
        folder: the corpus folder, for example "data/demo". An earlier demo corpus in it is replaced.
        **config: fields of `ser_embed.synthesis.config.DemoConfig`: speakers, sentences, seed.

    Returns:
        What was written.

    Raises:
        InputError: the folder holds something else, a setting is out of range, or the extra `demo` is not installed.
            Nothing was written.
    """
    chosen = DemoConfig(**config)
    try:
        from ser_embed.synthesis.corpus import write_corpus
    except ModuleNotFoundError as error:
        raise InputError(
            f"the demo corpus needs {error.name}; install it with: pip install 'twostage-ser[demo]'"
        ) from error
    return write_corpus(Path(folder), chosen)


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="DIR", type=Path, help="folder to write it to, for example data/demo")


def _run(args: argparse.Namespace) -> CommandOutput:
    report = demo(args.folder, **dataclasses.asdict(config_from_args(args, DemoConfig)))
    text = (
        f"{report.folder}: {report.clips} synthetic clips, {report.duration_s / 60:.1f} min, "
        f"{report.speakers} speakers x {report.emotions} emotions x {report.sentences} sentences"
    )
    return CommandOutput(text, dataclasses.asdict(report))


COMMAND = Command(
    "ser_embed.demo",
    "Write a small synthetic corpus, spoken by espeak-ng.",
    _run,
    config=DemoConfig,
    add_arguments=_add_arguments,
)
build_parser, main = COMMAND.build_parser, COMMAND.main

sys.modules[__name__].__class__ = CommandModule

if __name__ == "__main__":
    sys.exit(main())
