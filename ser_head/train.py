"""Training as a command and a function: `python -m ser_head.train`, `ser_head.train(...)`."""

import argparse
import sys
from typing import TYPE_CHECKING, Any

from ser_embed.cli import Command, CommandModule, CommandOutput
from ser_embed.options import config_from_args, with_config_signature
from ser_head.config.presets import list_presets, with_preset
from ser_head.config.training import TrainConfig
from ser_head.reporting.text import decimal

if TYPE_CHECKING:
    from ser_head.reporting.train_result import TrainResult


@with_config_signature(TrainConfig)
def train(**config: Any) -> "TrainResult":
    """Train a head and write its run folder.

    Args:
        **config: fields of `ser_head.config.training.TrainConfig`, such as `store`, `protocol` or `personalized`; with
            `preset`, those that are not given are the preset's.

    Returns:
        The run folder and the content of its metrics.json.

    Raises:
        InputError: what is asked for cannot be done with this store; nothing is written.
    """
    return _train(TrainConfig(**with_preset(config)))


def summary(result: "TrainResult") -> str:
    """Return the figures of a training for people: three lines, and one for each kind of copies among its clips."""
    from ser_head.data.encoder_leakage import ENCODER
    from ser_head.reporting.text import COPIES, shared_in_words

    test, is_disjoint = result.metrics["test"], result.metrics["speaker_disjoint"]
    main_figure, name, other = ("uar", "UAR", "accuracy") if result.metrics["labels"] else ("ccc", "CCC", "mae")
    interval = test["ci95"][main_figure]
    spread = f" (95 % interval {interval[0]:.3f} to {interval[1]:.3f})" if interval else ""
    kept = "no speaker in both training and test" if is_disjoint else "SPEAKERS SHARED between training and test"
    leakage = result.metrics.get("leakage", {})
    baseline = result.metrics.get("baseline")
    copies = {kind: leakage[kind] for kind in (*COPIES, ENCODER, "duplicates") if kind in leakage}
    return "\n".join(
        [
            f"{name} {decimal(test[main_figure])}{spread}, {other} {decimal(test[other])} on {test['n']} clips",
            f"protocol {result.metrics['protocol']}: {kept}",
            *([_baseline_line(baseline)] if baseline else []),
            *shared_in_words(copies, test["n"]),
            f"run {result.run}",
        ]
    )


def _baseline_line(baseline: dict[str, Any]) -> str:
    """Return the figures of the frozen encoder beside a fine-tuned one, and the paired difference."""
    line = f"frozen encoder ({baseline['head']}): UAR {decimal(baseline['test']['uar'])}"
    difference = baseline["difference"]
    if not difference:
        return line
    spread = "" if difference["low"] is None else f" ({difference['low']:+.3f} to {difference['high']:+.3f})"
    return f"{line}, fine-tuned {difference['uar']:+.3f}{spread} on the same clips"


def _train(config: TrainConfig) -> "TrainResult":
    from ser_head.reporting.train_result import TrainResult
    from ser_head.training.experiment import run_experiment

    return TrainResult.load(run_experiment(config))


def _run(args: argparse.Namespace) -> CommandOutput:
    result = _train(config_from_args(argparse.Namespace(**with_preset(vars(args))), TrainConfig))
    return CommandOutput(summary(result), {**result.metrics, "run": str(result.run)})


COMMAND = Command(
    "ser_head.train", "Train a head on a store of vectors.", _run, config=TrainConfig, epilog=list_presets()
)
build_parser, main = COMMAND.build_parser, COMMAND.main

sys.modules[__name__].__class__ = CommandModule

if __name__ == "__main__":
    sys.exit(main())
