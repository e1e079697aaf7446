"""Pre-training as a command and a function: `python -m ser_embed.pretrain`, `ser_embed.pretrain(...)`."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ser_embed.cli import Command, CommandModule, CommandOutput
from ser_embed.options import config_from_args, with_config_signature
from ser_embed.pretraining.config import PretrainConfig

if TYPE_CHECKING:
    from ser_embed.pretraining.pipeline import PretrainReport


@with_config_signature(PretrainConfig)
def pretrain(output: str | Path, **settings: Any) -> "PretrainReport":
    """Pre-train a HuBERT by masked prediction, from scratch or from a trained one.

    Called again with the same settings it goes on from the last checkpoint, to exactly the weights of a run that was
    never stopped, and does nothing if the run was finished.

    Args:
        output: the folder to write the model to. `--model` of the other commands and transformers'
            `HubertModel.from_pretrained` take it.
        **settings: the fields of `ser_embed.pretraining.config.PretrainConfig`, which are also the command's flags.

    Returns:
        Steps, validation loss and accuracy, unreadable files.

    Raises:
        InputError: the data, the model or the output folder does not fit.

    >>> report = pretrain("models/mine", data="speech", targets="mfcc,prosody")  # doctest: +SKIP
    """
    from ser_embed.pretraining.pipeline import run_pretraining

    return run_pretraining(PretrainConfig(output=Path(output), **settings))


def _run(args: argparse.Namespace) -> CommandOutput:
    from ser_embed.pretraining.pipeline import run_pretraining

    report = run_pretraining(config_from_args(args, PretrainConfig))
    return CommandOutput(report.summary(), report.to_json(), report.unreadable)


COMMAND = Command(
    "ser_embed.pretrain",
    "Pre-train a HuBERT on unlabelled speech; the same command goes on where it stopped.",
    _run,
    config=PretrainConfig,
    resumes=True,
)
build_parser, main = COMMAND.build_parser, COMMAND.main

sys.modules[__name__].__class__ = CommandModule

if __name__ == "__main__":
    sys.exit(main())
