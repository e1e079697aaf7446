"""k-means over frames: from features to the pseudo-labels that masked prediction is taught with."""

import dataclasses

import numpy as np

from ser_embed.errors import InputError


@dataclasses.dataclass(frozen=True)
class Clustering:
    """Clusters of frames, each the nearest to its centroid.

    Attributes:
        centroids: float32 (clusters, features), in units of `scale` around `mean`.
        mean: float32 (features,).
        scale: float32 (features,).
    """

    centroids: np.ndarray
    mean: np.ndarray
    scale: np.ndarray

    def assign(self, features: np.ndarray) -> np.ndarray:
        """Return the cluster of each frame: float (frames, features) to uint16 (frames,)."""
        scaled = (features - self.mean) / self.scale
        nearness = scaled @ self.centroids.T - np.square(self.centroids).sum(axis=1) / 2  # (frames, clusters)
        return nearness.argmax(axis=1).astype(np.uint16)


def fit_clusters(features: np.ndarray, clusters: int, standardize: bool, seed: int) -> Clustering:
    """Cluster frames by scikit-learn's MiniBatchKMeans.

    Args:
        features: float32 (frames, features).
        clusters: how many clusters.
        standardize: bring every feature to unit variance first, for features of different units.
        seed: of the first centroids.

    Raises:
        InputError: scikit-learn is not installed, or there are fewer frames than clusters.
    """
    try:
        from sklearn.cluster import MiniBatchKMeans
    except ModuleNotFoundError as error:
        raise InputError("clusters need scikit-learn; install it with: pip install 'twostage-ser[pretrain]'") from error
    if len(features) < clusters:
        raise InputError(f"{clusters} clusters need as many frames of 20 ms at least, found {len(features)}")
    mean = features.mean(axis=0)
    scale = np.maximum(features.std(axis=0), 1e-6) if standardize else np.ones_like(mean)
    model = MiniBatchKMeans(clusters, batch_size=10_000, n_init=3, max_no_improvement=30, random_state=seed)
    model.fit((features - mean) / scale)
    return Clustering(model.cluster_centers_.astype(np.float32), mean, scale)
