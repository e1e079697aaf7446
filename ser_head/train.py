"""Train a head on a store of vectors: `python -m ser_head.train`, or `ser_head.train(...)`."""

import argparse
import sys
from typing import TYPE_CHECKING, Any

from ser_embed.cli import (
    CommandModule,
    CommandParser,
    add_options,
    config_from_args,
    print_json,
    run_command,
    with_config_signature,
)
from ser_embed.errors import EXIT_DONE
from ser_head.config import TrainConfig
from ser_head.presets import listed_presets, with_preset
from ser_head.reporting.text import decimal

if TYPE_CHECKING:
    from ser_head.training.experiment import TrainResult


@with_config_signature(TrainConfig)
def train(**config: Any) -> "TrainResult":
    """Train a head and write its run folder.

    Args:
        **config: fields of `ser_head.config.TrainConfig`, such as `store`, `protocol` or `personalized`; with
            `preset`, those that are not given are the preset's.

    Returns:
        The run folder and the content of its metrics.json.

    Raises:
        InputError: what is asked for cannot be done with this store; nothing is written.
    """
    from ser_head.training.experiment import run_experiment

    return run_experiment(TrainConfig(**with_preset(config)))


def build_parser() -> argparse.ArgumentParser:
    """Build the command's parser."""
    parser = CommandParser(
        prog="python -m ser_head.train",
        description="Train a head on a store of vectors.",
        epilog=listed_presets(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_options(parser, TrainConfig)
    parser.add_argument("--json", action="store_true", help="print metrics.json and the run folder as one JSON object")
    return parser


def summary(trained: "TrainResult") -> str:
    """Return what a person wants to know of a training, in three lines, and one for each kind of copies among clips."""
    from ser_head.reporting.text import COPIES, shared_in_words

    test, disjoint = trained.metrics["test"], trained.metrics["speaker_disjoint"]
    main, name, other = ("uar", "UAR", "accuracy") if trained.metrics["labels"] else ("ccc", "CCC", "mae")
    interval = test["ci95"][main]
    spread = f" (95 % interval {interval[0]:.3f} to {interval[1]:.3f})" if interval else ""
    kept = "no speaker in both training and test" if disjoint else "SPEAKERS SHARED between training and test"
    found = trained.metrics.get("leakage", {})
    copies = {name: found[name] for name in (*COPIES, "duplicates") if name in found}
    return "\n".join(
        [
            f"{name} {decimal(test[main])}{spread}, {other} {decimal(test[other])} on {test['n']} clips",
            f"protocol {trained.metrics['protocol']}: {kept}",
            *shared_in_words(copies, test["n"]),
            f"run {trained.run}",
        ]
    )


def main(argv: list[str] | None = None) -> int:
    """Run the command; return its exit code."""
    args = build_parser().parse_args(argv)

    def work() -> int:
        from ser_head.training.experiment import run_experiment

        asked = argparse.Namespace(**with_preset(vars(args)))
        trained = run_experiment(config_from_args(asked, TrainConfig))
        if args.json:
            print_json({**trained.metrics, "run": str(trained.run)})
        else:
            print(summary(trained))
        return EXIT_DONE

    return run_command(work)


sys.modules[__name__].__class__ = CommandModule
if __name__ == "__main__":
    sys.exit(main())
