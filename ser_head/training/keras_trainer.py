"""Training one fold after another on one compiled network.

A network is compiled once; each fold starts from fresh weights copied into it, which saves building the graph anew.
Every random choice of a fold (first weights, dropout, batches, who is enrolled with what) comes from the run's seed and
the fold's number, so folds do not depend on one another.
"""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ser_embed.errors import InputError
from ser_head.config import TrainConfig
from ser_head.data.dataset import Dataset
from ser_head.data.frames import random_cuts
from ser_head.heads.backend import keras
from ser_head.heads.networks import (
    POWER_TRANSFORM,
    NetworkShape,
    Regularization,
    build_network,
    layer_weights,
    to_inference_model,
    unwrap_single,
)
from ser_head.heads.registry import HEADS
from ser_head.training.fold import FitResult, Fold
from ser_head.training.inputs import InputBuilder, training_inputs, validation_inputs

_SCORED_AT_ONCE = 1024  # clips per forward pass outside training
_SMALLEST_PROBABILITY = 1e-7  # float32's resolution; keeps one sure mistake from making a loss infinite


class KerasTrainer:
    """Trains the folds of one run, one after another, on the same network.

    Attributes:
        config: the run's settings.
        network: the network as the last fold left it.
    """

    def __init__(self, data: Dataset, config: TrainConfig, speaker_inputs: Mapping[str, int]) -> None:
        """Build and compile the network.

        Args:
            data: the clips of all folds.
            config: the run's settings.
            speaker_inputs: name and width of each input that tells of the speaker.
        """
        self._data = data
        self.config = config
        self._shape = NetworkShape(*data.shape, len(data.labels), speaker_inputs, config.power_transformed)
        self.network = self._untrained(0)
        optimizer = keras.optimizers.AdamW(config.learning_rate, weight_decay=config.weight_decay)
        optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta", "logits"])
        entropy = keras.losses.CategoricalCrossentropy(label_smoothing=config.label_smoothing)
        loss, shown = (entropy, ["accuracy"]) if data.labels else (ccc_loss, [])
        self.network.compile(optimizer, loss=loss, metrics=shown)
        optimizer.build(self.network.trainable_variables)
        self._optimizer_start = [keras.ops.convert_to_numpy(each) for each in optimizer.variables]

    def fit(self, fold: Fold, on_epoch: Callable[[], object]) -> FitResult:
        """Train from fresh weights; the network then has the average of them at the best validation epoch.

        What is scored, and kept, is an average over the last epochs (Izmailov et al., 2018): it lies in the middle of
        what the weights of single epochs lie around, and forgets less of what one of them happened to see last.

        Args:
            fold: the clips, and what was measured on them.
            on_epoch: called after each epoch.

        Raises:
            InputError: the loss is not a number.
        """
        random = self._start(fold)
        held = validation_inputs(self._data, fold, fold.seen, random)
        history: list[dict[str, float]] = []
        best_epoch, lowest, weights = 0, np.inf, None
        average = _Average(self.network, self.config.averaging)
        epochs = self.config.epochs_for(len(fold.split.train))
        for epoch in range(1, epochs + 1):
            trained = self._train_epoch(fold, random)
            with average.updated():
                history.append({"epoch": epoch, **trained, **self._validate(fold, held)})
            on_epoch()
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

    def refit(self, fold: Fold, fitted: FitResult, on_epoch: Callable[[], object]) -> None:
        """Train afresh on training and validation clips; scaling, speakers and class weights stay as they were."""
        both = np.union1d(fold.split.train, fold.split.validation)
        whole = dataclasses.replace(fold, split=dataclasses.replace(fold.split, train=both))
        random = self._start(fold)
        average = _Average(self.network, self.config.averaging)
        for _ in range(fitted.best_epoch or 0):
            self._train_epoch(whole, random)
            average.update()
            on_epoch()
        self.network.set_weights(average.weights)

    def predict(self, inputs: list[np.ndarray]) -> np.ndarray:
        """Score clips with the network as it stands.

        Args:
            inputs: standardised vectors, and what is told of the speakers.

        Returns:
            Probabilities, float32 (clips, classes).
        """
        parts = [slice(start, start + _SCORED_AT_ONCE) for start in range(0, len(inputs[0]), _SCORED_AT_ONCE)]
        scored = [self.network.predict_on_batch(unwrap_single([each[part] for each in inputs])) for part in parts]
        return np.concatenate(scored) if scored else np.zeros((0, self._data.desired.shape[1]), np.float32)

    def layer_weights(self) -> list[float] | None:
        """Return what the network's mix gives each layer, or None where there is but one."""
        return layer_weights(self.network)

    def save(self, folder: Path, fold: Fold, temperature: float) -> str:
        """Write the network, between the fold's scaling and the temperature, into `folder`; return the file's name."""
        to_inference_model(self.network, fold.scaling, temperature, fold.numbers).save(folder / "head.keras")
        return "head.keras"

    def _train_epoch(self, fold: Fold, random: np.random.Generator) -> dict[str, float]:
        """Go once through the training clips; return their mean loss and accuracy on the way."""
        totals = dict.fromkeys(["loss", "accuracy"] if self._data.labels else ["loss"], 0.0)
        builder = training_inputs(self._data, fold, fold.split.train, random)
        for clips, inputs in self._batches(fold, builder, random):
            weights = fold.weights[self._data.targets[clips]]
            figures = self.network.train_on_batch(
                unwrap_single(inputs), self._desired(fold, clips), sample_weight=weights, return_dict=True
            )
            for name in totals:
                totals[name] += len(clips) * float(figures[name])
        return {name: total / len(fold.split.train) for name, total in totals.items()}

    def _desired(self, fold: Fold, clips: np.ndarray) -> np.ndarray:
        """Return what the network should answer, numbers standardised."""
        desired = self._data.desired[clips]
        return desired if fold.numbers is None else (desired - fold.numbers[0]) / fold.numbers[1]

    def _batches(
        self, fold: Fold, builder: InputBuilder, random: np.random.Generator
    ) -> Iterator[tuple[np.ndarray, list[np.ndarray]]]:
        """Yield shuffled clips with their inputs, in batches of like size: none is a tiny remainder."""
        for window in self._data.windows(fold.split.train, random):
            inputs = builder.inputs(window)
            steps = -(-len(window) // self.config.batch_size)
            for part in np.array_split(random.permutation(len(window)), steps):
                yield window[part], [random_cuts(each[part], self.config.frame_step, random) for each in inputs]

    def _validate(self, fold: Fold, held: Sequence[InputBuilder]) -> dict[str, float]:
        """Return the mean loss and accuracy of the validation clips over what may be known of their speakers."""
        clips = np.tile(fold.split.validation, len(held))
        targets = self._data.targets[clips]
        probabilities = np.concatenate([builder.answers(self.predict, fold.split.validation) for builder in held])
        if not self._data.labels:
            return {"val_loss": float(ccc_loss(self._desired(fold, clips), probabilities)[0])}
        right = np.maximum(probabilities[np.arange(len(clips)), targets], _SMALLEST_PROBABILITY)
        loss = np.average(-np.log(right), weights=fold.weights[targets])
        return {"val_loss": float(loss), "val_accuracy": float(np.mean(probabilities.argmax(axis=1) == targets))}

    def _untrained(self, seed: int) -> keras.Model:
        regularization = Regularization(self.config.dropout, self.config.noise)
        return build_network(HEADS[self.config.head], self._shape, regularization, seed)

    def _start(self, fold: Fold) -> np.random.Generator:
        """Give the compiled network the fold's first weights and dropout, and an optimiser that has not moved.

        Returns:
            The generator of the fold's other random choices.
        """
        random = fold.random()
        untrained = self._untrained(int(random.integers(2**31)))
        for held, fresh in zip(self.network.variables, untrained.variables, strict=True):
            held.assign(fresh)
        if fold.power is not None:
            self.network.get_layer(POWER_TRANSFORM).use(fold.power)
        for held, start in zip(self.network.optimizer.variables, self._optimizer_start, strict=True):
            held.assign(start)
        return random


class _Average:
    """The average of a network's weights over the epochs behind it, late ones counting more.

    Attributes:
        weights: the average, as `keras.Model.get_weights` gives them.
    """

    def __init__(self, network: keras.Model, kept: float) -> None:
        """Begin with nothing; `kept` is the share of the average that stays when an epoch is taken in."""
        self._network, self._kept = network, kept
        self._epochs = 0
        self.weights: list[np.ndarray] = []

    def update(self) -> list[np.ndarray]:
        """Take in the weights as they are now, and return these."""
        now = self._network.get_weights()
        kept = min(self._kept, self._epochs / (self._epochs + 1))  # so that the first epochs' average is a plain one
        self.weights = [kept * old + (1 - kept) * new for old, new in zip(self.weights or now, now, strict=True)]
        self._epochs += 1
        return now

    @contextlib.contextmanager
    def updated(self) -> Iterator[None]:
        """Take in the weights as they are now, and let the network have the average meanwhile."""
        now = self.update()
        self._network.set_weights(self.weights)
        yield
        self._network.set_weights(now)


def ccc_loss(desired: Any, answered: Any) -> Any:
    """Return 1 - CCC (Lin, 1989) of a batch, as the loss of each of its clips: (clips,).

    Args:
        desired: numbers, (clips, 1).
        answered: likewise.
    """
    desired, answered = (keras.ops.convert_to_tensor(each, "float32") for each in (desired, answered))
    means = keras.ops.mean(desired), keras.ops.mean(answered)
    covariance = keras.ops.mean((desired - means[0]) * (answered - means[1]))
    spread = keras.ops.var(desired) + keras.ops.var(answered) + keras.ops.square(means[0] - means[1])
    return keras.ops.ones_like(answered[:, 0]) * (1 - 2 * covariance / (spread + keras.config.epsilon()))
