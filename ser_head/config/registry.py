"""Registry of configs: the command that made a run says which config its settings are of."""

from collections.abc import Mapping
from typing import Any

from ser_head.config.experiment import ExperimentConfig
from ser_head.config.finetuning import FinetuneConfig
from ser_head.config.training import TrainConfig

CONFIGS: dict[str, type[ExperimentConfig]] = {config.command: config for config in (TrainConfig, FinetuneConfig)}
COMMAND = "command"


def read_config(about: Mapping[str, Any]) -> ExperimentConfig:
    """Return the config of a run.

    Args:
        about: content of run.json; runs before version 0.3 were all made by `ser_head.train`, and do not say so.

    Raises:
        ValueError: there is no such command.
        InputError: a setting is out of its bounds.
        TypeError: a setting is unknown.
    """
    command = about.get(COMMAND, TrainConfig.command)
    if command not in CONFIGS:
        raise ValueError(f"expected one of {', '.join(CONFIGS)} as command, not {command!r}")
    return CONFIGS[command](**about["settings"])
