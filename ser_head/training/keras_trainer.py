"""Trainer of Keras networks: one fold after another on one compiled network.

A network is compiled once; each fold starts from fresh weights copied into it, which saves building the graph anew.
Every random choice of a fold (initial weights, dropout, batches, enrolments) comes from the run's seed and the fold's
number, so folds do not depend on one another.
"""

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ser_embed.errors import InputError
from ser_head.config.training import TrainConfig
from ser_head.data.dataset import Dataset
from ser_head.data.frames import random_cuts
from ser_head.heads.backend import keras
from ser_head.heads.networks import (
    POWER_TRANSFORM,
    NetworkShape,
    Regularization,
    layer_weights,
    to_inference_model,
    unwrap_single,
)
from ser_head.heads.registry import HEADS
from ser_head.training.base import FitResult, OnEpoch
from ser_head.training.fold import Fold
from ser_head.training.inputs import InputBuilder, training_inputs, validation_inputs

HEAD_FILE = "head.keras"
_SCORED_AT_ONCE = 1024  # clips per forward pass outside training
_SMALLEST_PROBABILITY = 1e-7  # float32's resolution; keeps one confident mistake from making the loss infinite


class KerasTrainer:
    """Trains the folds of one run, one after another, on the same network.

    Attributes:
        config: the run's.
        network: the network as the last fold left it.
    """

    def __init__(self, data: Dataset, config: TrainConfig, speaker_inputs: Mapping[str, int]) -> None:
        """Build and compile the network.

        Args:
            data: the clips of all folds.
            config: the run's.
            speaker_inputs: name and width of each input that describes the speaker.
        """
        self._data = data
        self.config = config
        self._shape = NetworkShape(*data.shape, len(data.labels), speaker_inputs, config.power_transformed)
        self.network = self._untrained(0)
        optimizer = keras.optimizers.AdamW(config.learning_rate, weight_decay=config.weight_decay)
        optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta", "logits"])
        entropy = keras.losses.CategoricalCrossentropy(label_smoothing=config.label_smoothing)
        loss, metrics = (entropy, ["accuracy"]) if data.labels else (ccc_loss, [])
        self.network.compile(optimizer, loss=loss, metrics=metrics)
        optimizer.build(self.network.trainable_variables)
        self._optimizer_start = [keras.ops.convert_to_numpy(variable) for variable in optimizer.variables]

    def fit(self, fold: Fold, on_epoch: OnEpoch) -> FitResult:
        """Train from fresh weights; the network then has their average at the best validation epoch.

        What is scored, and kept, is an average over the last epochs (Izmailov et al., 2018). The weights of single
        epochs lie around it, and it depends less on the batches that happened to come last.

        Args:
            fold: the clips, and what is measured on them.
            on_epoch: called after each epoch, with its row of the history.

        Raises:
            InputError: the loss is not a number.
        """
        random = self._start(fold)
        validation = validation_inputs(self._data, fold, fold.training_personalizer, random)
        history: list[dict[str, float]] = []
        best_epoch, lowest, weights = 0, np.inf, None
        average = WeightAverage(self.network, self.config.averaging)
        epochs = self.config.epochs_for(len(fold.split.train))
        for epoch in range(1, epochs + 1):
            train_figures = self._train_epoch(fold, random)
            with average.in_use():
                history.append({"epoch": epoch, **train_figures, **self._validate(fold, validation)})
            on_epoch(history[-1])
            if history[-1]["val_loss"] < lowest:
                best_epoch, lowest, weights = epoch, history[-1]["val_loss"], average.weights
            elif epoch - best_epoch >= self.config.patience * epochs:
                break
        if weights is None:
            raise InputError(
                f"training diverged: the validation loss is {history[-1]['val_loss']}; lower --learning-rate"
            )
        self.network.set_weights(weights)
        return FitResult(history, best_epoch)

    def refit(self, fold: Fold, result: FitResult, on_epoch: OnEpoch) -> None:
        """Train again on training and validation clips; scaling, speakers and class weights stay as they were."""
        both = self._data.with_copies(np.union1d(fold.split.train, fold.split.validation))
        whole = dataclasses.replace(fold, split=dataclasses.replace(fold.split, train=both))
        random = self._start(fold)
        average = WeightAverage(self.network, self.config.averaging)
        for _ in range(result.best_epoch or 0):
            self._train_epoch(whole, random)
            average.update()
            on_epoch({})
        self.network.set_weights(average.weights)

    def predict(self, inputs: list[np.ndarray]) -> np.ndarray:
        """Score clips with the network as it is now.

        Args:
            inputs: standardised vectors, then the inputs that describe the speakers.

        Returns:
            Probabilities, float32 (clips, classes).
        """
        parts = [slice(start, start + _SCORED_AT_ONCE) for start in range(0, len(inputs[0]), _SCORED_AT_ONCE)]
        outputs = [self.network.predict_on_batch(unwrap_single([array[part] for array in inputs])) for part in parts]
        return np.concatenate(outputs) if outputs else np.zeros((0, self._data.desired.shape[1]), np.float32)

    def layer_weights(self) -> list[float] | None:
        """Return the learned weight of each encoder layer, or None where there is only one layer."""
        return layer_weights(self.network)

    def save(self, folder: Path, fold: Fold, temperature: float) -> str:
        """Write the network, with the fold's scaling before and the temperature after it; return the file's name."""
        to_inference_model(self.network, fold.scaling, temperature, fold.numbers).save(folder / HEAD_FILE)
        return HEAD_FILE

    def _train_epoch(self, fold: Fold, random: np.random.Generator) -> dict[str, float]:
        """Train for one epoch; return the mean loss and accuracy of its batches."""
        totals = dict.fromkeys(["loss", "accuracy"] if self._data.labels else ["loss"], 0.0)
        builder = training_inputs(self._data, fold, fold.split.train, random)
        for clips, inputs in self._batches(fold, builder, random):
            weights = fold.class_weights[self._data.targets[clips]]
            figures = self.network.train_on_batch(
                unwrap_single(inputs), self._desired(fold, clips), sample_weight=weights, return_dict=True
            )
            for name in totals:
                totals[name] += len(clips) * float(figures[name])
        return {name: total / len(fold.split.train) for name, total in totals.items()}

    def _desired(self, fold: Fold, clips: np.ndarray) -> np.ndarray:
        """Return the network's targets, numbers standardised."""
        desired = self._data.desired[clips]
        return desired if fold.numbers is None else (desired - fold.numbers[0]) / fold.numbers[1]

    def _batches(
        self, fold: Fold, builder: InputBuilder, random: np.random.Generator
    ) -> Iterator[tuple[np.ndarray, list[np.ndarray]]]:
        """Yield shuffled clips with their inputs, in batches of nearly equal size: none is a tiny remainder."""
        for window in self._data.windows(fold.split.train, random):
            inputs = builder.inputs(window)
            steps = -(-len(window) // self.config.batch_size)
            for part in np.array_split(random.permutation(len(window)), steps):
                yield window[part], [random_cuts(array[part], self.config.frame_step, random) for array in inputs]

    def _validate(self, fold: Fold, validation: Sequence[InputBuilder]) -> dict[str, float]:
        """Return the mean loss and accuracy of the validation clips over all enrolment sizes."""
        clips = np.tile(fold.split.validation, len(validation))
        targets = self._data.targets[clips]
        probabilities = np.concatenate([builder.outputs(self.predict, fold.split.validation) for builder in validation])
        if not self._data.labels:
            return {"val_loss": float(ccc_loss(self._desired(fold, clips), probabilities)[0])}
        target_probabilities = np.maximum(probabilities[np.arange(len(clips)), targets], _SMALLEST_PROBABILITY)
        loss = np.average(-np.log(target_probabilities), weights=fold.class_weights[targets])
        return {"val_loss": float(loss), "val_accuracy": float(np.mean(probabilities.argmax(axis=1) == targets))}

    def _untrained(self, seed: int) -> keras.Model:
        regularization = Regularization(self.config.dropout, self.config.noise)
        return HEADS[self.config.head].build(self._shape, regularization, seed)  # type: ignore[attr-defined]

    def _start(self, fold: Fold) -> np.random.Generator:
        """Give the compiled network the fold's initial weights and dropout, and a fresh optimiser.

        Returns:
            The generator of the fold's other random choices.
        """
        random = fold.generator()
        untrained = self._untrained(int(random.integers(2**31)))
        for variable, fresh in zip(self.network.variables, untrained.variables, strict=True):
            variable.assign(fresh)
        if fold.power_transform is not None:
            self.network.get_layer(POWER_TRANSFORM).use(fold.power_transform)
        for variable, start in zip(self.network.optimizer.variables, self._optimizer_start, strict=True):
            variable.assign(start)
        return random


class WeightAverage:
    """Exponential moving average of a network's weights over epochs.

    Attributes:
        weights: the average, as `keras.Model.get_weights` gives weights.
    """

    def __init__(self, network: keras.Model, decay: float) -> None:
        """Begin with no epoch; `decay` is the share of the average that stays when an epoch is taken in."""
        self._network, self._decay = network, decay
        self._epochs = 0
        self.weights: list[np.ndarray] = []

    def update(self) -> list[np.ndarray]:
        """Take in the present weights, and return them."""
        present = self._network.get_weights()
        decay = min(self._decay, self._epochs / (self._epochs + 1))  # a plain mean over the first epochs
        self.weights = [
            decay * old + (1 - decay) * new for old, new in zip(self.weights or present, present, strict=True)
        ]
        self._epochs += 1
        return present

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        """Take in the present weights, and let the network have the average inside the block."""
        present = self.update()
        self._network.set_weights(self.weights)
        yield
        self._network.set_weights(present)


def ccc_loss(targets: Any, predictions: Any) -> Any:
    """Return 1 - CCC (Lin, 1989) of a batch, as the loss of each of its clips: (clips,).

    Args:
        targets: numbers, (clips, 1).
        predictions: numbers, (clips, 1).
    """
    targets, predictions = (keras.ops.convert_to_tensor(values, "float32") for values in (targets, predictions))
    means = keras.ops.mean(targets), keras.ops.mean(predictions)
    covariance = keras.ops.mean((targets - means[0]) * (predictions - means[1]))
    spread = keras.ops.var(targets) + keras.ops.var(predictions) + keras.ops.square(means[0] - means[1])
    return keras.ops.ones_like(predictions[:, 0]) * (1 - 2 * covariance / (spread + keras.config.epsilon()))
