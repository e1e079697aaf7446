"""Targets of the prediction: label sets, each the clusters of one kind of features, written `mfcc=100,prosody=64`.

The features `mfcc`, `prosody` and `manner` are computed from the waveform; `MODEL@LAYER` is a layer of a trained
network, for second and later iterations. Several sets are predicted side by side. `manner` stands for one small label
set per contour, `manner.pitch` and so on, which together have the weight of any other kind in the loss.

Features have one row per HuBERT frame. A frame's label is the cluster of the nearest centroid.
"""

import dataclasses
import re
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from tqdm import tqdm

from ser_embed.cli import quiet
from ser_embed.errors import InputError
from ser_embed.pretraining.audio_cache import Waveforms
from ser_embed.pretraining.features.frames import normalized
from ser_embed.pretraining.features.functionals import clip_contours
from ser_embed.pretraining.features.mfcc import cepstra
from ser_embed.pretraining.features.prosody import MANNER_NAMES, STATISTICS_PER_CONTOUR, manner, prosody

DEFAULT_TARGETS = "mfcc"
MAX_CLUSTERS = 65_536  # labels are stored in 16 bits
_LAYER_CLUSTERS = 200
_FIT_FRAMES = 200_000  # frames that k-means is fitted on: 67 minutes
_NAME = re.compile(r"(?P<name>[^=]+?)(=(?P<clusters>\d+))?")

Features = Callable[[list[np.ndarray]], list[np.ndarray]]  # waveforms (samples,) to features (frames, width)


@dataclasses.dataclass(frozen=True)
class FeatureKind:
    """Features that are computed from the waveform.

    Attributes:
        features: computes the features of a clip of unit variance, as the network receives it: float32 (samples,) to
            float32 (frames, width).
        clusters: default number of clusters.
        standardized: whether the features have different units, and so are scaled to unit variance.
    """

    features: Callable[[np.ndarray], np.ndarray]
    clusters: int
    standardized: bool


_KINDS = {
    "mfcc": FeatureKind(cepstra, clusters=100, standardized=False),
    "prosody": FeatureKind(prosody, clusters=64, standardized=True),
    "manner": FeatureKind(manner, clusters=32, standardized=True),
}


@dataclasses.dataclass(frozen=True)
class Target:
    """One label set.

    Attributes:
        name: "mfcc", "prosody", "manner.CONTOUR" or MODEL@LAYER.
        clusters: number of labels.
    """

    name: str
    clusters: int

    def __str__(self) -> str:
        return f"{self.name}={self.clusters}"

    @property
    def kind(self) -> str:
        """Kind of the features: sets of one kind are clustered from columns of the same features."""
        return "manner" if self.name.startswith("manner.") else self.name

    @property
    def model(self) -> str:
        """The model whose layer is clustered, as the user named it; "" for acoustic features."""
        return self.name.rpartition("@")[0]

    @property
    def columns(self) -> slice:
        """Columns of the features that are clustered."""
        if self.kind == self.name:
            return slice(None)
        first = STATISTICS_PER_CONTOUR * MANNER_NAMES.index(self.name.removeprefix("manner."))
        return slice(first, first + STATISTICS_PER_CONTOUR)

    @property
    def standardized(self) -> bool:
        """Whether the features are scaled to unit variance."""
        return self.kind in _KINDS and _KINDS[self.kind].standardized


@dataclasses.dataclass(frozen=True)
class Clustering:
    """Clusters of frames, by their centroids.

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


def parse_targets(text: str) -> tuple[Target, ...]:
    """Parse a list of label sets.

    Raises:
        InputError: a name is not that of a target, or a number of clusters is out of range.

    >>> [str(target) for target in parse_targets("mfcc,runs/one@4=200")]
    ['mfcc=100', 'runs/one@4=200']
    """
    return tuple(target for item in text.split(",") for target in _parse_item(item.strip()))


def _parse_item(text: str) -> list[Target]:
    """Parse one item of the list: one target, or those of all contours for `manner`."""
    match = _NAME.fullmatch(text)
    name = match["name"] if match else ""
    manner_names = [f"manner.{contour}" for contour in MANNER_NAMES]
    if name not in (*_KINDS, *manner_names) and not re.fullmatch(r".+@\d+", name):
        raise InputError(f"targets have to be {', '.join(_KINDS)} or MODEL@LAYER, such as runs/one@4, not {text!r}")
    kind = _KINDS.get(Target(name, 0).kind)
    clusters = int((match and match["clusters"]) or (kind.clusters if kind else _LAYER_CLUSTERS))
    if not 2 <= clusters <= MAX_CLUSTERS:
        raise InputError(f"the number of clusters has to be from 2 to {MAX_CLUSTERS}, not {clusters}")
    return [Target(target_name, clusters) for target_name in (manner_names if name == "manner" else [name])]


def loss_weights(targets: Sequence[Target]) -> np.ndarray:
    """Return the weight of each label set in the loss, float64 (sets,), sum 1: all kinds have the same weight."""
    kinds = [target.kind for target in targets]
    return np.array([1 / kinds.count(kind) for kind in kinds]) / len(set(kinds))


def features_of(kind: str, device: str) -> Features:
    """Return the function that computes the features of a kind of target.

    Raises:
        InputError: the model of a layer target, or its layer, does not exist.
    """
    if kind in _KINDS:
        return lambda waveforms: [_KINDS[kind].features(normalized(waveform)) for waveform in waveforms]
    model, _, layer = kind.rpartition("@")
    return _layer_features(model, layer, device)


def _layer_features(model: str, layer: str, device: str) -> Features:
    from ser_embed.encoders.base import EncoderOptions
    from ser_embed.encoders.batching import encode_all
    from ser_embed.encoders.registry import load_encoder

    encoder = load_encoder(model, EncoderOptions(layers=layer, pooling="frames", device=device))
    return lambda waveforms: [frames[:, 0] for frames in encode_all(encoder, waveforms)]  # the only layer


def fit_clusterings(
    waveforms: Waveforms,
    rows: Sequence[int],
    features: Features,
    targets: Sequence[Target],
    rng: np.random.Generator,
) -> list[Clustering]:
    """Fit the clusters of targets of one kind, on about `_FIT_FRAMES` frames of clips drawn at random.

    Args:
        waveforms: the clips.
        rows: the clips that may be used.
        features: computes the features of the kind.
        targets: the number of clusters, and the columns of the features, of each set.
        rng: draws the clips, and the seeds of the first centroids.

    Returns:
        The clustering of each target.

    Raises:
        InputError: there are fewer frames than clusters.
    """
    drawn = rng.permutation(np.asarray(rows))
    count = int(np.searchsorted(waveforms.frame_counts[drawn].cumsum(), _FIT_FRAMES)) + 1
    batches = _read_clips(waveforms, drawn[:count].tolist(), f"{targets[0].kind}: fitting")
    frames = np.concatenate([clip_frames for batch in batches for clip_frames in features(batch)])
    return [
        fit_clusters(frames[:, target.columns], target.clusters, target.standardized, int(rng.integers(2**31)))
        for target in targets
    ]


def fit_clusters(features: np.ndarray, clusters: int, standardize: bool, seed: int) -> Clustering:
    """Cluster frames by scikit-learn's MiniBatchKMeans.

    Args:
        features: float32 (frames, features).
        clusters: number of clusters.
        standardize: whether to scale every feature to unit variance first, for features of different units.
        seed: of the first centroids.

    Returns:
        The clusters.

    Raises:
        InputError: scikit-learn is not installed, or there are fewer frames than clusters.
    """
    try:
        from sklearn.cluster import MiniBatchKMeans
    except ModuleNotFoundError as error:
        raise InputError("clusters need scikit-learn; install it with: pip install 'twostage-ser[pretrain]'") from error
    if len(features) < clusters:
        raise InputError(f"{clusters} clusters need at least as many frames of 20 ms, found {len(features)}")
    mean = features.mean(axis=0)
    scale = np.maximum(features.std(axis=0), 1e-6) if standardize else np.ones_like(mean)
    model = MiniBatchKMeans(clusters, batch_size=10_000, n_init=3, max_no_improvement=30, random_state=seed)
    model.fit((features - mean) / scale)
    return Clustering(model.cluster_centers_.astype(np.float32), mean, scale)


def assign_labels(
    waveforms: Waveforms, features: Features, targets: Sequence[Target], clusterings: Sequence[Clustering]
) -> np.ndarray:
    """Label every frame of every clip, for targets of one kind.

    Args:
        waveforms: the clips.
        features: computes the features of the kind.
        targets: the label sets.
        clusterings: the clusters of each target.

    Returns:
        uint16 (sets, all frames), clip after clip.
    """
    rows = range(len(waveforms.counts))
    labels = [
        [clustering.assign(frames[:, target.columns]) for target, clustering in zip(targets, clusterings, strict=True)]
        for batch in _read_clips(waveforms, rows, f"{targets[0].kind}: labelling")
        for frames in features(batch)
    ]
    return np.concatenate(labels, axis=1)


def all_clip_contours(waveforms: Waveforms) -> np.ndarray:
    """Measure the contours of every frame of every clip: float16 (all frames, contours), clip after clip."""
    batches = _read_clips(waveforms, range(len(waveforms.counts)), "contours")
    return np.concatenate([clip_contours(clip) for batch in batches for clip in batch])


def _read_clips(waveforms: Waveforms, rows: Sequence[int], text: str) -> Iterator[list[np.ndarray]]:
    """Yield the clips of `rows`, about a minute of audio at a time, with a progress bar labelled `text`."""
    with tqdm(total=len(rows), desc=text, unit="clip", disable=quiet()) as bar:
        for batch in waveforms.batches(rows):
            yield [waveforms.clip(row) for row in batch]
            bar.update(len(batch))
