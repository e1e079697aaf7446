"""What is predicted: label sets, each a kind of feature and its clusters, named as in `mfcc=100,prosody=64`.

`mfcc`, `prosody` and `manner` are worked out from the waveform; `MODEL@LAYER` is a layer of a network that was trained
before, for second and later iterations. Several sets at once are predicted side by side. `manner` stands for one small
label set per contour, `manner.pitch` and so on, which together count as much as any other kind.
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
from ser_embed.pretraining.features.prosody import MANNER_NAMES, PER_CONTOUR, manner, prosody


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


DEFAULT = "mfcc"
MAX_CLUSTERS = 65_536  # labels are kept in 16 bits
_LAYER_CLUSTERS = 200
_FIT_FRAMES = 200_000  # frames k-means looks at: 67 minutes
_NAME = re.compile(r"(?P<name>[^=]+?)(=(?P<clusters>\d+))?")

Features = Callable[[list[np.ndarray]], list[np.ndarray]]  # waveforms (samples,) to features (frames, width)


@dataclasses.dataclass(frozen=True)
class FeatureKind:
    """Features that are worked out from the waveform.

    Attributes:
        features: of a clip of unit variance, as the network hears it, float32 (frames, width).
        clusters: how many, unless said otherwise.
        standardized: whether they have different units, and so are brought to unit variance.
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
        clusters: how many labels there are.
    """

    name: str
    clusters: int

    def __str__(self) -> str:
        return f"{self.name}={self.clusters}"

    @property
    def kind(self) -> str:
        """What its features are: sets of one kind are clustered from columns of the same features."""
        return "manner" if self.name.startswith("manner.") else self.name

    @property
    def columns(self) -> slice:
        """Which of the features are clustered."""
        if self.kind == self.name:
            return slice(None)
        first = PER_CONTOUR * MANNER_NAMES.index(self.name.removeprefix("manner."))
        return slice(first, first + PER_CONTOUR)

    @property
    def standardized(self) -> bool:
        """Whether the features are brought to unit variance."""
        return self.kind in _KINDS and _KINDS[self.kind].standardized


def parse_targets(text: str) -> tuple[Target, ...]:
    """Read a list of label sets.

    Raises:
        InputError: a name or a number of clusters is none.

    >>> [str(target) for target in parse_targets("mfcc,runs/one@4=200")]
    ['mfcc=100', 'runs/one@4=200']
    """
    return tuple(target for part in text.split(",") for target in _parse(part.strip()))


def _parse(text: str) -> list[Target]:
    match = _NAME.fullmatch(text)
    name = match["name"] if match else ""
    contours = [f"manner.{contour}" for contour in MANNER_NAMES]
    if name not in (*_KINDS, *contours) and not re.fullmatch(r".+@\d+", name):
        raise InputError(f"targets have to be {', '.join(_KINDS)} or MODEL@LAYER, such as runs/one@4, not {text!r}")
    names = contours if name == "manner" else [name]
    kind = _KINDS.get(Target(name, 0).kind)
    clusters = int((match and match["clusters"]) or (kind.clusters if kind else _LAYER_CLUSTERS))
    if not 2 <= clusters <= MAX_CLUSTERS:
        raise InputError(f"the number of clusters has to be from 2 to {MAX_CLUSTERS}, not {clusters}")
    return [Target(each, clusters) for each in names]


def shares(targets: Sequence[Target]) -> np.ndarray:
    """Return what each label set counts in the loss: every kind as much, float64 (sets,) that add up to 1."""
    kinds = [target.kind for target in targets]
    return np.array([1 / kinds.count(kind) for kind in kinds]) / len(set(kinds))


def features_of(kind: str, device: str) -> Features:
    """Return the function that works out the features of a kind of target.

    Raises:
        InputError: the model of a layer target, or its layer, is not there.
    """
    if kind in _KINDS:
        return lambda waveforms: [_KINDS[kind].features(normalized(waveform)) for waveform in waveforms]
    model, _, layer = kind.rpartition("@")
    return _layer(model, layer, device)


def _layer(model: str, layer: str, device: str) -> Features:
    from ser_embed.encoders.base import EncoderOptions
    from ser_embed.encoders.batching import encode_all
    from ser_embed.encoders.registry import load_encoder

    encoder = load_encoder(model, EncoderOptions(layers=layer, pooling="frames", device=device))
    return lambda waveforms: [frames[:, 0] for frames in encode_all(encoder, waveforms)]  # the only layer


def cluster(
    waveforms: Waveforms,
    rows: Sequence[int],
    features: Features,
    targets: Sequence[Target],
    rng: np.random.Generator,
) -> list[Clustering]:
    """Find the clusters of targets of one kind.

    Args:
        waveforms: the clips.
        rows: which of them may be looked at.
        features: works out the kind's features.
        targets: say how many clusters there are, and of which features.
        rng: draws the clips, and the first centroids.

    Raises:
        InputError: there are fewer frames than clusters.
    """
    drawn = rng.permutation(np.asarray(rows))
    enough = int(np.searchsorted(waveforms.frame_counts[drawn].cumsum(), _FIT_FRAMES)) + 1
    batches = _read(waveforms, drawn[:enough].tolist(), f"{targets[0].kind}: fitting")
    found = np.concatenate([frames for batch in batches for frames in features(batch)])
    return [
        fit_clusters(found[:, target.columns], target.clusters, target.standardized, int(rng.integers(2**31)))
        for target in targets
    ]


def label(
    waveforms: Waveforms, features: Features, targets: Sequence[Target], clusterings: Sequence[Clustering]
) -> np.ndarray:
    """Return the labels of every frame of every clip, one clip after another: uint16 (sets, all frames)."""
    rows = range(len(waveforms.counts))
    found = [
        [clustering.assign(frames[:, target.columns]) for target, clustering in zip(targets, clusterings, strict=True)]
        for batch in _read(waveforms, rows, f"{targets[0].kind}: labelling")
        for frames in features(batch)
    ]
    return np.concatenate(found, axis=1)


def measure(waveforms: Waveforms) -> np.ndarray:
    """Return the contours of every frame of every clip, one clip after another: float16 (all frames, contours)."""
    batches = _read(waveforms, range(len(waveforms.counts)), "contours")
    return np.concatenate([clip_contours(clip) for batch in batches for clip in batch])


def _read(waveforms: Waveforms, rows: Sequence[int], text: str) -> Iterator[list[np.ndarray]]:
    """Yield the clips of `rows`, about a minute together, under a progress bar."""
    with tqdm(total=len(rows), desc=text, unit="clip", disable=quiet()) as bar:
        for batch in waveforms.batches(rows):
            yield [waveforms.clip(row) for row in batch]
            bar.update(len(batch))
