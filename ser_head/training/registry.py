"""Trainer registry: the ways to train a head, by the name that `ser_head.heads.registry.HeadSpec` gives."""

from collections.abc import Callable
from typing import Any

from ser_head.config.experiment import ExperimentConfig
from ser_head.config.training import TrainConfig
from ser_head.data.dataset import Dataset
from ser_head.heads.registry import HEADS
from ser_head.personalization.methods import input_widths
from ser_head.training.base import Trainer
from ser_head.training.search import SearchTrainer


def make_trainer(data: Dataset, config: ExperimentConfig, table_rows: int) -> Trainer:
    """Return a trainer of the configured head; with `config.search`, one that also searches for better settings.

    Args:
        data: the clips of all folds.
        config: the run's.
        table_rows: rows of a personalised network's speaker table.
    """
    if config.search:
        return SearchTrainer(data, config, lambda candidate: make_trainer(data, candidate, table_rows))
    return TRAINERS[HEADS[config.head].trainer](data, config, table_rows)


def _keras_trainer(data: Dataset, config: TrainConfig, table_rows: int) -> Trainer:
    from ser_head.training.keras_trainer import KerasTrainer

    return KerasTrainer(data, config, input_widths(config.personalized, data.shape[1], table_rows))


def _sklearn_trainer(data: Dataset, config: TrainConfig, _: Any) -> Trainer:
    from ser_head.training.sklearn_trainer import SklearnTrainer

    return SklearnTrainer(data, config)


def _finetuning_trainer(data: Dataset, config: Any, _: Any) -> Trainer:
    from ser_head.training.finetuning_trainer import FinetuningTrainer

    return FinetuningTrainer(data, config)


TRAINERS: dict[str, Callable[[Dataset, Any, int], Trainer]] = {
    "keras": _keras_trainer,
    "sklearn": _sklearn_trainer,
    "finetuning": _finetuning_trainer,
}
