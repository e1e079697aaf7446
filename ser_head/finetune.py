"""Fine-tuning as a command and a function: `python -m ser_head.finetune`, `ser_head.finetune(...)`."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ser_embed.cli import Command, CommandModule, CommandOutput
from ser_embed.options import config_from_args, with_config_signature
from ser_head.config.finetuning import FinetuneConfig
from ser_head.config.presets import FINETUNING_PRESETS, list_presets, with_preset
from ser_head.train import summary

if TYPE_CHECKING:
    from ser_head.reporting.train_result import TrainResult


@with_config_signature(FinetuneConfig)
def finetune(model: str | Path, **config: Any) -> "TrainResult":
    """Fine-tune an encoder with a classifier, fold by fold, and write the run folder.

    Args:
        model: encoder name, Hub id, or folder of a saved model.
        **config: fields of `ser_head.config.finetuning.FinetuneConfig`, such as `data`, `protocol` or `unfreeze`; with
            `preset`, those that are not given are the preset's.

    Returns:
        The run folder and the content of its metrics.json.

    Raises:
        InputError: what is asked for cannot be done with these corpora; no run is written.
    """
    return _finetune(FinetuneConfig(**with_preset({"model": str(model), **config}, FINETUNING_PRESETS)))[0]


def _finetune(config: FinetuneConfig) -> tuple["TrainResult", tuple[dict[str, str], ...]]:
    from ser_head.reporting.train_result import TrainResult
    from ser_head.training.finetuning import run_finetuning

    run, unreadable = run_finetuning(config)
    return TrainResult.load(run), unreadable


def _run(args: argparse.Namespace) -> CommandOutput:
    settings = with_preset(vars(args), FINETUNING_PRESETS)
    result, unreadable = _finetune(config_from_args(argparse.Namespace(**settings), FinetuneConfig))
    return CommandOutput(summary(result), {**result.metrics, "run": str(result.run)}, unreadable)


COMMAND = Command(
    "ser_head.finetune",
    "Fine-tune the upper layers of an encoder together with a classifier.",
    _run,
    config=FinetuneConfig,
    epilog=list_presets(FINETUNING_PRESETS),
    resumes=True,
)
build_parser, main = COMMAND.build_parser, COMMAND.main

sys.modules[__name__].__class__ = CommandModule

if __name__ == "__main__":
    sys.exit(main())
