"""Training speed of a head, compared with scikit-learn's MLPClassifier of the same shape.

    python -m benchmarks.heads [--clips 4465] [--epochs 20]

Size and settings are those of training on CREMA-D: vectors of width 1024, hidden layers of 256 and 64, batches of 150,
Adam. Both train for the same number of epochs on the same clips. Imports and the building of graphs are not timed, as a
run does them only once. The head is timed with its default augmentation, which normalises the clips anew in every epoch
with a sample of their speaker's clips, and without augmentation, like the peer.
"""

import argparse
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from sklearn.neural_network import MLPClassifier

from benchmarks.measure import Row, markdown_table, speedup, time_in_turn
from ser_embed.manifest import build_manifest
from ser_embed.spec import EmbeddingSpec
from ser_embed.store.reader import Store
from ser_embed.store.writer import StoreWriter
from ser_head.config.training import TrainConfig
from ser_head.data.dataset import Dataset
from ser_head.data.splits import Split
from ser_head.training.fold import prepare_fold
from ser_head.training.keras_trainer import KerasTrainer

WIDTH, BATCH = 1024, 150
EMOTIONS = ("angry", "disgust", "fear", "happy", "neutral", "sad")


def write_store(path: Path, num_clips: int) -> None:
    """Write a store of random vectors around a mean for each emotion."""
    rng = np.random.default_rng(0)
    spec = EmbeddingSpec("stub", "", "stub", ("0",), "mean", WIDTH, 16_000, "none", None, None, "float32")
    class_means = rng.standard_normal((len(EMOTIONS), 1, WIDTH)) / 4
    classes = rng.integers(len(EMOTIONS), size=num_clips)
    rows = [
        {
            "utterance_id": f"n/{i:05}",
            "path": f"{i}.wav",
            "corpus": "n",
            "speaker": f"n/{i % 90}",
            "emotion": EMOTIONS[classes[i]],
        }
        for i in range(num_clips)
    ]
    vectors = class_means[classes] + rng.standard_normal((num_clips, 1, WIDTH))
    with StoreWriter(path, spec, {}) as writer:
        writer.add(build_manifest(rows), list(vectors.astype(np.float32)))
        writer.commit()


def run(num_clips: int = 4_465, epochs: int = 20, rounds: int = 3) -> list[Row]:
    """Measure, and return the rows.

    Args:
        num_clips: training clips; 200 more are for validation and test.
        epochs: epochs of each training.
        rounds: trainings of each side that count.
    """
    with tempfile.TemporaryDirectory() as name:
        write_store(Path(name) / "s.h5", num_clips + 200)
        config = TrainConfig(epochs=epochs, patience=1.0)
        with Store(Path(name) / "s.h5") as store:
            data = Dataset(store, "last", (), shared=False)
            rows = np.arange(num_clips + 200)
            split = Split(1, rows[:num_clips], rows[-200:], rows[-200:])
            fold = prepare_fold(data, split, config)
            heads = {
                augment: _prepare_fit(data, split, replace(config, augment=augment)) for augment in ("speakers", "none")
            }
            vectors = fold.scaling.apply(data.read(split.train))[:, 0]
            targets = data.targets[split.train]
            seconds = time_in_turn({**heads, "sklearn": lambda: _fit_sklearn(vectors, targets, epochs)}, rounds)
    clips_per_s = {side: num_clips * epochs / float(np.median(side_seconds)) for side, side_seconds in seconds.items()}
    return [
        Row(
            f"head training (--augment {augment}), {num_clips} x {WIDTH}, {epochs} epochs",
            f"{clips_per_s[augment]:.0f} clips/s",
            f"MLPClassifier: {clips_per_s['sklearn']:.0f} clips/s",
            speedup(seconds["sklearn"], seconds[augment]),
        )
        for augment in heads
    ]


def _fit_sklearn(vectors: np.ndarray, targets: np.ndarray, epochs: int) -> None:
    """Train scikit-learn's classifier for so many epochs."""
    classifier = MLPClassifier((256, 64), batch_size=BATCH, learning_rate_init=1.1e-3, max_iter=epochs, tol=0)
    classifier.n_iter_no_change = epochs
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns that it has not converged, which is intended here
        classifier.fit(vectors, targets)


def _prepare_fit(data: Dataset, split: Split, config: TrainConfig) -> Callable[[], object]:
    """Return a function that trains the head; the trainer and the fold are prepared once."""
    trainer, fold = KerasTrainer(data, config, {}), prepare_fold(data, split, config)
    return lambda: trainer.fit(fold, lambda _: None)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=4_465, help="training clips (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=20, help="epochs (default: %(default)s)")
    args = parser.parse_args()
    print(markdown_table(run(args.clips, args.epochs)))
