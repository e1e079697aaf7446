"""Training one fold after another on one compiled network.

A network is compiled once; each fold starts from fresh weights copied into it, which saves building the graph anew.
Every random choice of a fold (first weights, dropout, batches, speakers left out) comes from the run's seed and the
fold's number, so folds do not depend on one another.
"""

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from ser_embed.errors import InputError
from ser_head.backend import keras
from ser_head.dataset import Dataset
from ser_head.heads import HEADS
from ser_head.networks import NetworkShape, Regularization, build_network
from ser_head.scaling import Scaling, fit_scaling
from ser_head.settings import TrainSettings
from ser_head.speakers import drop_speakers, speaker_rows
from ser_head.splits import Split

_SCORED_AT_ONCE = 1024  # clips per forward pass outside training
_SMALLEST_PROBABILITY = 1e-7  # float32's resolution; keeps one sure mistake from making a loss infinite


@dataclass(frozen=True)
class Fold:
    """A split with what is measured on its training clips alone.

    Attributes:
        split: the clips.
        scaling: mean and variance of the training vectors.
        known: speakers with a row of their own, ascending; none for a head that is not personalised.
        weights: weight of each class in the loss, float32 (classes,).
    """

    split: Split
    scaling: Scaling
    known: tuple[str, ...]
    weights: np.ndarray


@dataclass(frozen=True)
class Fitted:
    """What training a fold gave.

    Attributes:
        history: one row per epoch: epoch, loss, accuracy, val_loss, val_accuracy. Losses are weighted by class.
        best_epoch: the epoch with the lowest validation loss; the first is 1.
        validated: probabilities of the validation clips after that epoch, float32 (clips, classes).
    """

    history: list[dict[str, float]]
    best_epoch: int
    validated: np.ndarray


def prepare_fold(data: Dataset, split: Split, settings: TrainSettings) -> Fold:
    """Measure scaling, class weights and speakers on the training clips of `split`; it has some of every class."""
    scaling = fit_scaling(data.read(window) for window in data.windows(split.train))
    counts = np.bincount(data.targets[split.train], minlength=len(data.labels))
    weights = (len(split.train) / (len(counts) * counts)) ** settings.balance
    known = tuple(sorted(set(data.speakers[split.train]) - {""})) if settings.personalized else ()
    return Fold(split, scaling, known, weights.astype(np.float32))


class Trainer:
    """Trains the folds of one run, one after another, on the same network.

    Attributes:
        settings: the run's settings.
        network: the network as the last fold left it.
    """

    def __init__(self, data: Dataset, settings: TrainSettings, most_known: int) -> None:
        """Build and compile the network.

        Args:
            data: the clips of all folds.
            settings: the run's settings.
            most_known: speakers a fold knows at most; 0 for a head that is not personalised.
        """
        self._data = data
        self.settings = settings
        self._shape = NetworkShape(*data.shape, len(data.labels), most_known + 1 if most_known else 0)
        self.network = self._untrained(0)
        optimizer = keras.optimizers.AdamW(settings.learning_rate, weight_decay=settings.weight_decay)
        optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta", "logits"])
        self.network.compile(optimizer, loss="sparse_categorical_crossentropy", metrics=["accuracy"])
        optimizer.build(self.network.trainable_variables)
        self._optimizer_start = [keras.ops.convert_to_numpy(each) for each in optimizer.variables]

    def fit(self, fold: Fold, on_epoch: Callable[[], object]) -> Fitted:
        """Train from fresh weights; the network then has those of the best validation epoch, or of a refit.

        Args:
            fold: the clips, and what was measured on them.
            on_epoch: called after each epoch.

        Raises:
            InputError: the loss is not a number.
        """
        random = self._start(fold)
        history: list[dict[str, float]] = []
        best_epoch, lowest, weights = 0, np.inf, None
        epochs = self.settings.epochs_for(len(fold.split.train))
        for epoch in range(1, epochs + 1):
            history.append({"epoch": epoch, **self._train_epoch(fold, random), **self._validate(fold)})
            on_epoch()
            if history[-1]["val_loss"] < lowest:
                best_epoch, lowest, weights = epoch, history[-1]["val_loss"], self.network.get_weights()
            elif epoch - best_epoch >= self.settings.patience * epochs:
                break
        if weights is None:
            raise InputError(
                f"training diverged: the validation loss is {history[-1]['val_loss']}; lower --learning-rate"
            )
        self.network.set_weights(weights)
        validated = self.predict(fold, fold.split.validation)
        if self.settings.refits:
            self._refit(fold, best_epoch, on_epoch)
        return Fitted(history, best_epoch, validated)

    def predict(self, fold: Fold, indices: np.ndarray, strangers: bool = False) -> np.ndarray:
        """Score clips with the network as it stands.

        Args:
            fold: whose scaling and speakers to use.
            indices: the clips, ascending.
            strangers: take every speaker for unknown.

        Returns:
            Probabilities, float32 (indices, classes).
        """
        scored = []
        for window in self._data.windows(indices):
            vectors = fold.scaling.apply(self._data.read(window))
            rows = speaker_rows(self._data.speakers[window], () if strangers else fold.known)
            for start in range(0, len(window), _SCORED_AT_ONCE):
                part = slice(start, start + _SCORED_AT_ONCE)
                scored.append(self.network.predict_on_batch(self._inputs(vectors[part], rows[part])))
        return np.concatenate(scored)

    def _refit(self, fold: Fold, epochs: int, on_epoch: Callable[[], object]) -> None:
        """Train afresh on training and validation clips; scaling, speakers and class weights stay as they were."""
        both = np.union1d(fold.split.train, fold.split.validation)
        whole = dataclasses.replace(fold, split=dataclasses.replace(fold.split, train=both))
        random = self._start(fold)
        for _ in range(epochs):
            self._train_epoch(whole, random)
            on_epoch()

    def _train_epoch(self, fold: Fold, random: np.random.Generator) -> dict[str, float]:
        """Go once through the training clips; return their mean loss and accuracy on the way."""
        totals = np.zeros(2)
        for clips, vectors in self._batches(fold, random):
            targets = self._data.targets[clips]
            rows = drop_speakers(speaker_rows(self._data.speakers[clips], fold.known), random)
            figures = self.network.train_on_batch(
                self._inputs(vectors, rows), targets, sample_weight=fold.weights[targets], return_dict=True
            )
            totals += len(clips) * np.array([figures["loss"], figures["accuracy"]], dtype=np.float64)
        loss, accuracy = totals / len(fold.split.train)
        return {"loss": float(loss), "accuracy": float(accuracy)}

    def _batches(self, fold: Fold, random: np.random.Generator) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield shuffled clips with their standardised vectors, in batches of like size: none is a tiny remainder."""
        for window in self._data.windows(fold.split.train, random):
            vectors = fold.scaling.apply(self._data.read(window))
            steps = -(-len(window) // self.settings.batch_size)
            for part in np.array_split(random.permutation(len(window)), steps):
                yield window[part], vectors[part]

    def _validate(self, fold: Fold) -> dict[str, float]:
        clips = fold.split.validation
        targets = self._data.targets[clips]
        probabilities = self.predict(fold, clips)
        right = np.maximum(probabilities[np.arange(len(clips)), targets], _SMALLEST_PROBABILITY)
        loss = np.average(-np.log(right), weights=fold.weights[targets])
        return {"val_loss": float(loss), "val_accuracy": float(np.mean(probabilities.argmax(axis=1) == targets))}

    def _inputs(self, vectors: np.ndarray, rows: np.ndarray) -> np.ndarray | list[np.ndarray]:
        return [vectors, rows] if self._shape.speakers else vectors

    def _untrained(self, seed: int) -> keras.Model:
        regularization = Regularization(self.settings.dropout, self.settings.noise)
        return build_network(HEADS[self.settings.head], self._shape, regularization, seed)

    def _start(self, fold: Fold) -> np.random.Generator:
        """Give the compiled network the fold's first weights and dropout, and an optimiser that has not moved.

        Returns:
            The generator of the fold's other random choices.
        """
        random = np.random.default_rng([self.settings.seed, fold.split.fold])
        untrained = self._untrained(int(random.integers(2**31)))
        for held, fresh in zip(self.network.variables, untrained.variables, strict=True):
            held.assign(fresh)
        for held, start in zip(self.network.optimizer.variables, self._optimizer_start, strict=True):
            held.assign(start)
        return random
