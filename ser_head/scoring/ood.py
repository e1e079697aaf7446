"""Out-of-domain detection by nearest neighbours: the distance of a clip from the training clips.

A classifier gives a confident answer to any audio; that a clip is unlike anything in training shows in its vector
(Sun, Ming, Zhu and Li, "Out-of-Distribution Detection with Deep Nearest Neighbors", 2022). Vectors are standardised,
float32 (clips, layers, width); layers are averaged.

With eGeMAPS or MFCC, trained on EmoDB or RAVDESS, the other corpus, noise and chords are told from clips of speakers
who were not in training with an area under the ROC curve of 0.99 or more in every fold. The Mahalanobis distance
(Ledoit-Wolf) comes near in area, 0.95 or more, but at as few false warnings it missed half of the pink noise.

Distances are written out in place of scipy's `cdist` and scikit-learn's `NearestNeighbors`: as a matrix product they
are faster than `cdist` on thousands of clips, and this module needs NumPy alone.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

_EXAMPLES = 500  # training clips kept to compare with; 250 and 1000 detect as well
_NEIGHBOURS = 5  # a single one could be an outlier of the training clips, and would hide all clips near it
# Bound of a dimension in standard deviations. Without it the few outliers of eGeMAPS set the threshold, and a quarter
# of all noise stayed below it.
_BOUND = 5.0
# Clips of the few validation speakers lie nearer to the training clips than clips of new speakers do: a threshold at
# their 99th percentile alone warns of 3 to 5 in 100 clips of new speakers, a threshold a tenth above it of 1 to 3.
_PERCENTILE, _MARGIN = 99, 1.1
_SMALLEST_THRESHOLD = float(np.finfo(np.float32).tiny)  # where all validation clips are copies of training clips


@dataclass(frozen=True)
class KnnOodDetector:
    """A detector of clips that are unlike the training clips of a fold.

    Attributes:
        examples: vectors of some training clips, bounded and averaged over layers, float32 (examples, width), or
            float16 in a run that ships.
        threshold: score above which a clip is out of domain.
    """

    examples: np.ndarray
    threshold: float

    def score(self, vectors: np.ndarray) -> np.ndarray:
        """Measure how far clips are from the training clips.

        Args:
            vectors: standardised, float32 (clips, layers, width).

        Returns:
            Mean distance to the nearest examples, in standard deviations per dimension, float64 (clips,).
        """
        return _knn_distances(_bounded_means(vectors), *self._prepared)

    @cached_property
    def _prepared(self) -> tuple[np.ndarray, np.ndarray]:
        """The examples in float64, and their squared norms."""
        return _prepare(self.examples)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return the detector as arrays for `numpy.savez`; `from_arrays` reads them back."""
        return {"examples": self.examples, "threshold": np.array(self.threshold)}

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> "KnnOodDetector":
        """Make the detector that `to_arrays` saved."""
        return cls(arrays["examples"], float(arrays["threshold"]))


def fit_ood_detector(vectors: np.ndarray, validation_vectors: np.ndarray) -> KnnOodDetector:
    """Fit a detector to the clips of a fold.

    Args:
        vectors: of the training clips, standardised, float32 (clips, layers, width).
        validation_vectors: of the validation clips, of the same form; they set the threshold.
    """
    examples = draw_examples(vectors)
    distances = _knn_distances(_bounded_means(validation_vectors), *_prepare(examples))
    return KnnOodDetector(examples, ood_threshold(distances))


def draw_examples(vectors: np.ndarray) -> np.ndarray:
    """Return what a detector keeps of training clips: at most `_EXAMPLES`, float32 (examples, width).

    Args:
        vectors: standardised, float32 (clips, layers, width).
    """
    drawn = np.random.default_rng(0).permutation(len(vectors))[:_EXAMPLES]
    return _bounded_means(vectors[np.sort(drawn)])


def ood_threshold(distances: np.ndarray) -> float:
    """Return the distance above which a clip is out of domain.

    Args:
        distances: of clips by speakers who were not in training, float64 (clips,).
    """
    return max(_MARGIN * float(np.percentile(distances, _PERCENTILE)), _SMALLEST_THRESHOLD)


def _prepare(examples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return examples in float64, (examples, width), and their squared norms, (examples,)."""
    exact = examples.astype(np.float64)
    return exact, (exact**2).sum(axis=1)


def _bounded_means(vectors: np.ndarray) -> np.ndarray:
    """Bound the values and average the layers: float32 (clips, width)."""
    return np.clip(vectors, -_BOUND, _BOUND).mean(axis=1, dtype=np.float32)


def _knn_distances(clips: np.ndarray, examples: np.ndarray, squared_norms: np.ndarray) -> np.ndarray:
    """Return the mean distance of each clip to its nearest examples over the root of the width, float64 (clips,).

    Args:
        clips: (clips, width).
        examples: float64 (examples, width).
        squared_norms: of the examples, float64 (examples,).
    """
    clips = clips.astype(np.float64)
    squares = (clips**2).sum(axis=1)[:, None] + squared_norms - 2 * clips @ examples.T  # (clips, examples)
    nearest = np.sort(squares, axis=1)[:, :_NEIGHBOURS].clip(min=0)
    return np.sqrt(nearest).mean(axis=1) / np.sqrt(examples.shape[1])
