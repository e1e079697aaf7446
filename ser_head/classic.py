"""Heads of scikit-learn's over the same standardised vectors: a linear support-vector machine, a random forest.

Vectors are float32 (clips, layers, width); the layers lie side by side, so that the head may use any of them. A head is
saved by skops, which loads only types it knows to be harmless or is told to trust: nothing is unpickled.
"""

import zipfile
import zlib
from pathlib import Path
from typing import Literal

import numpy as np
import skops.io
from scipy.special import softmax
from sklearn.ensemble import RandomForestClassifier
from sklearn.svm import LinearSVC

from ser_embed.errors import InputError
from ser_head.scaling import OUTLIER

Kind = Literal["svm", "forest"]

TREES = 300
_TYPES = {"svm": LinearSVC, "forest": RandomForestClassifier}
_TRUSTED = ["sklearn.tree._tree.Tree"]  # what a forest holds beyond the types skops trusts by itself
_UNREADABLE = (OSError, ValueError, TypeError, KeyError, AttributeError, ImportError, EOFError, RuntimeError)


class ClassicHead:
    """A classifier of scikit-learn's that answers with probabilities.

    Attributes:
        kind: "svm" or "forest".
    """

    def __init__(self, kind: Kind, seed: int) -> None:
        """Make an untrained head; `seed` draws the forest's clips and dimensions, and the order the machine sees."""
        self.kind = kind
        self._seed = seed
        self._estimator: LinearSVC | RandomForestClassifier | None = None

    def fit(self, vectors: np.ndarray, targets: np.ndarray, weights: np.ndarray) -> "ClassicHead":
        """Train on clips, and return the head itself.

        The penalty C of the machine is one over the number of dimensions: standardised vectors have that mean squared
        length, and C times it is what the solution depends on, so that one rule serves 88 dimensions and 26 000. On
        validation speakers of EmoDB and RAVDESS UAR changes by less than 0.02 from a third to three times that.

        Args:
            vectors: standardised, float32 (clips, layers, width).
            targets: class of each clip, int (clips,); every class has some.
            weights: weight of each class, (classes,).
        """
        dimensions = self._flat(vectors)
        per_class = dict(enumerate(np.asarray(weights, np.float64).tolist()))
        if self.kind == "svm":
            self._estimator = LinearSVC(C=1 / dimensions.shape[1], class_weight=per_class, random_state=self._seed)
        else:
            self._estimator = RandomForestClassifier(TREES, class_weight=per_class, random_state=self._seed)
        self._estimator.fit(dimensions, targets)
        return self

    def probabilities(self, vectors: np.ndarray) -> np.ndarray:
        """Score clips.

        The machine's margins, one class against the rest, go through a softmax; a temperature has yet to say how sure
        they are (`ser_head.temperature`). A forest's are its trees' mean, as if one tree more were undecided, which
        keeps them above 0.

        Args:
            vectors: standardised, float32 (clips, layers, width).

        Returns:
            float32 (clips, classes), above 0.

        Raises:
            ValueError: the head has not been trained.
        """
        if self._estimator is None:
            raise ValueError("a head has to be trained before it can score clips")
        if not len(vectors):  # nobody enrolled; scikit-learn takes no empty array
            return np.zeros((0, len(self._estimator.classes_)), np.float32)
        dimensions = self._flat(vectors)
        if isinstance(self._estimator, RandomForestClassifier):
            shares = self._estimator.predict_proba(dimensions)
            trees = len(self._estimator)
            return ((trees * shares + 1 / shares.shape[1]) / (trees + 1)).astype(np.float32)
        margins = self._estimator.decision_function(dimensions)
        if margins.ndim == 1:  # of two classes scikit-learn gives the second one's alone
            margins = np.stack([-margins, margins], axis=1)
        return softmax(margins, axis=1).astype(np.float32)

    def save(self, path: Path) -> None:
        """Write the trained head to a file."""
        skops.io.dump(self._estimator, path, compression=zipfile.ZIP_DEFLATED)

    @classmethod
    def load(cls, path: Path) -> "ClassicHead":
        """Read a head that `save` wrote, without running any code the file may bring.

        Raises:
            InputError: it is not such a file, or holds types that are not trusted.
        """
        try:
            estimator = skops.io.load(path, trusted=_TRUSTED)
        except (*_UNREADABLE, zipfile.BadZipFile, zlib.error) as error:
            raise _not_a_head(path, str(error)) from error
        for kind, type_ in _TYPES.items():
            if type(estimator) is type_:
                head = cls(kind, estimator.random_state)  # type: ignore[arg-type]
                head._estimator = estimator
                return head
        raise _not_a_head(path, f"it holds a {type(estimator).__name__}")

    def _flat(self, vectors: np.ndarray) -> np.ndarray:
        """Lay the layers side by side, (clips, layers * width), and cut outliers as networks do.

        That costs the machine no UAR and lowers its tempered log-loss on validation clips from 1.11 to 0.88 (EmoDB),
        1.40 to 1.32 (RAVDESS, both with eGeMAPS); a forest splits by order and takes little notice.
        """
        return np.clip(vectors.reshape(len(vectors), -1), -OUTLIER, OUTLIER)


def _not_a_head(path: Path, found: str) -> InputError:
    return InputError(f"expected a head saved by this library, but {path} cannot be read as one ({found})")
