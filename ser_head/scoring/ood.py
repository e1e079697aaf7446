"""How familiar audio is: its distance from the training clips, and from where on a prediction deserves a warning.

A classifier answers surely whatever it hears; that the audio is like nothing it was trained on shows in the vectors
(k-nearest neighbours: Sun, Ming, Zhu and Li, "Out-of-Distribution Detection with Deep Nearest Neighbors", 2022).
Vectors are standardised, float32 (clips, layers, width); layers are averaged.

With eGeMAPS or MFCC, trained on EmoDB or RAVDESS, the other corpus, noise and chords are told from clips of unheard
speakers with an area under the curve of 0.99 or more in every fold. Mahalanobis distance (Ledoit-Wolf) comes near in
area, 0.95 or more, but where its false warnings were as rare it missed half of the pink noise.
"""

from dataclasses import dataclass

import numpy as np

_EXAMPLES = 500  # training clips kept to compare with; 250 and 1000 tell as much
_NEIGHBOURS = 5  # one alone could be a stray clip, whose surroundings would be familiar
# Standard deviations beyond which a value says no more. Without a bound the few outliers of eGeMAPS set the threshold,
# and a quarter of all noise came below it.
_BOUND = 5.0
# Clips of the few validation speakers lie nearer than those of all speakers to come: a threshold at their 99th
# percentile alone warns of 3 to 5 in 100 clips of unheard speakers, a tenth above it of 1 to 3.
_PERCENTILE, _MARGIN = 99, 1.1


@dataclass(frozen=True)
class KnnOodDetector:
    """What a fold's training clips look like.

    Attributes:
        examples: vectors of some of them, bounded, float32 (examples, width).
        threshold: score above which a clip is unlike them.
    """

    examples: np.ndarray
    threshold: float

    def score(self, vectors: np.ndarray) -> np.ndarray:
        """Tell how far clips are from the training clips.

        Args:
            vectors: standardised, float32 (clips, layers, width).

        Returns:
            Mean distance to the nearest examples, in standard deviations per dimension, float64 (clips,).
        """
        return _distances(_profiles(vectors), self.examples)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return what `from_arrays` makes the same of, for `numpy.savez`."""
        return {"examples": self.examples, "threshold": np.array(self.threshold)}

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> "KnnOodDetector":
        """Undo `to_arrays`."""
        return cls(arrays["examples"], float(arrays["threshold"]))


def fit_ood_detector(vectors: np.ndarray, held: np.ndarray) -> KnnOodDetector:
    """Learn what is familiar.

    Args:
        vectors: of the training clips, standardised, float32 (clips, layers, width).
        held: of validation clips, likewise; they set the threshold.
    """
    drawn = np.random.default_rng(0).permutation(len(vectors))[:_EXAMPLES]
    examples = _profiles(vectors[np.sort(drawn)])
    return KnnOodDetector(examples, _MARGIN * float(np.percentile(_distances(_profiles(held), examples), _PERCENTILE)))


def _profiles(vectors: np.ndarray) -> np.ndarray:
    """Bound the values and average the layers: float32 (clips, width)."""
    return np.clip(vectors, -_BOUND, _BOUND).mean(axis=1, dtype=np.float32)


def _distances(profiles: np.ndarray, examples: np.ndarray) -> np.ndarray:
    """Return the mean distance of each profile to its nearest examples, per root of the dimensions: (clips,)."""
    first, second = profiles.astype(np.float64), examples.astype(np.float64)
    squares = (first**2).sum(axis=1)[:, None] + (second**2).sum(axis=1) - 2 * first @ second.T  # (clips, examples)
    nearest = np.sort(squares, axis=1)[:, :_NEIGHBOURS].clip(min=0)
    return np.sqrt(nearest).mean(axis=1) / np.sqrt(examples.shape[1])
