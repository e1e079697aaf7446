"""How fast does a head train against scikit-learn's MLPClassifier of the same shape?

    python -m benchmarks.heads [--clips 4465] [--epochs 20]

CREMA-D's training size and settings: vectors of 1024, hidden layers 256 and 64, batches of 150, Adam. Both train as
many epochs on the same clips; imports and the building of graphs are left out, as a run pays them once. The head is
timed as it comes, which reads its clips anew in every epoch as samples of their speakers normalise them, and on the
clips as they are, like the peer.
"""

import argparse
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from sklearn.neural_network import MLPClassifier

from benchmarks.measure import Row, in_turn, ratio, table
from ser_embed.manifest import build_manifest
from ser_embed.spec import EmbeddingSpec
from ser_embed.store.reader import Store
from ser_embed.store.writer import StoreWriter
from ser_head.config import TrainConfig
from ser_head.data.dataset import Dataset
from ser_head.data.splits import Split
from ser_head.training.fold import prepare_fold
from ser_head.training.keras_trainer import KerasTrainer

WIDTH, BATCH = 1024, 150
EMOTIONS = ("angry", "disgust", "fear", "happy", "neutral", "sad")


def write_store(path: Path, num_clips: int) -> None:
    """Write random vectors that know a little of their emotion."""
    random = np.random.default_rng(0)
    spec = EmbeddingSpec("stub", "", "stub", ("0",), "mean", WIDTH, 16_000, "none", None, None, "float32")
    places = random.standard_normal((len(EMOTIONS), 1, WIDTH)) / 4
    classes = random.integers(len(EMOTIONS), size=num_clips)
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
    vectors = places[classes] + random.standard_normal((num_clips, 1, WIDTH))
    with StoreWriter(path, spec, {}) as writer:
        writer.add(build_manifest(rows), list(vectors.astype(np.float32)))
        writer.commit()


def run(num_clips: int = 4_465, epochs: int = 20, rounds: int = 3) -> list[Row]:
    """Measure and return the rows."""
    with tempfile.TemporaryDirectory() as name:
        write_store(Path(name) / "s.h5", num_clips + 200)
        config = TrainConfig(epochs=epochs, patience=1.0)
        with Store(Path(name) / "s.h5") as store:
            data = Dataset(store, "last", (), shared=False)
            everything = np.arange(num_clips + 200)
            split = Split(1, everything[:num_clips], everything[-200:], everything[-200:])
            fold = prepare_fold(data, split, config)
            sides = {name: _fit(data, split, replace(config, augment=name)) for name in ("speakers", "none")}
            vectors = fold.scaling.apply(data.read(split.train))[:, 0]
            targets = data.targets[split.train]

            def sklearn_fit() -> None:
                peer = MLPClassifier((256, 64), batch_size=BATCH, learning_rate_init=1.1e-3, max_iter=epochs, tol=0)
                peer.n_iter_no_change = epochs
                import warnings

                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # it says that it has not converged, which nobody asked it to
                    peer.fit(vectors, targets)

            taken = in_turn({**sides, "sklearn": sklearn_fit}, rounds)
    speed = {side: num_clips * epochs / float(np.median(seconds)) for side, seconds in taken.items()}
    return [
        Row(
            f"head training (--augment {name}), {num_clips} x {WIDTH}, {epochs} epochs",
            f"{speed[name]:.0f} clips/s",
            f"MLPClassifier: {speed['sklearn']:.0f} clips/s",
            ratio(taken["sklearn"], taken[name]),
        )
        for name in sides
    ]


def _fit(data: Dataset, split: Split, config: TrainConfig) -> Callable[[], object]:
    trainer, fold = KerasTrainer(data, config, {}), prepare_fold(data, split, config)
    return lambda: trainer.fit(fold, lambda: None)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=4_465)
    parser.add_argument("--epochs", type=int, default=20)
    args = parser.parse_args()
    print(table(run(args.clips, args.epochs)))
