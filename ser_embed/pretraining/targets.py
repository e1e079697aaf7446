"""What is predicted: label sets, each a kind of feature and its clusters, named as in `mfcc=100,prosody=64`.

`mfcc` and `prosody` are worked out from the waveform; `MODEL@LAYER` is a layer of a network that was trained before,
for second and later iterations. Several sets at once are predicted side by side.
"""

import dataclasses
import re
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from tqdm import tqdm

from ser_embed.console import quiet
from ser_embed.errors import InputError
from ser_embed.pretraining.clustering import Clustering, fit_clusters
from ser_embed.pretraining.waveforms import Waveforms

DEFAULT = "mfcc"
MAX_CLUSTERS = 65_536  # labels are kept in 16 bits
_CLUSTERS = {"mfcc": 100, "prosody": 64}
_LAYER_CLUSTERS = 200
_FIT_FRAMES = 200_000  # frames k-means looks at: 67 minutes
_NAME = re.compile(r"(?P<name>[^=]+?)(=(?P<clusters>\d+))?")

Features = Callable[[list[np.ndarray]], list[np.ndarray]]  # waveforms (samples,) to features (frames, width)


@dataclasses.dataclass(frozen=True)
class Target:
    """One label set.

    Attributes:
        name: "mfcc", "prosody" or MODEL@LAYER.
        clusters: how many labels there are.
    """

    name: str
    clusters: int

    def __str__(self) -> str:
        return f"{self.name}={self.clusters}"


def parse_targets(text: str) -> tuple[Target, ...]:
    """Read a list of label sets.

    Raises:
        InputError: a name or a number of clusters is none.

    >>> [str(target) for target in parse_targets("mfcc,runs/one@4=200")]
    ['mfcc=100', 'runs/one@4=200']
    """
    return tuple(_parse(part.strip()) for part in text.split(","))


def _parse(text: str) -> Target:
    match = _NAME.fullmatch(text)
    name = match["name"] if match else ""
    if name not in _CLUSTERS and not re.fullmatch(r".+@\d+", name):
        raise InputError(f"targets have to be {', '.join(_CLUSTERS)} or MODEL@LAYER, such as runs/one@4, not {text!r}")
    clusters = int((match and match["clusters"]) or _CLUSTERS.get(name, _LAYER_CLUSTERS))
    if not 2 <= clusters <= MAX_CLUSTERS:
        raise InputError(f"the number of clusters has to be from 2 to {MAX_CLUSTERS}, not {clusters}")
    return Target(name, clusters)


def features_of(target: Target, device: str) -> Features:
    """Return the function that works out a target's features.

    Raises:
        InputError: the model of a layer target, or its layer, is not there.
    """
    if target.name == "mfcc":
        from ser_embed.pretraining.cepstra import cepstra

        return lambda waveforms: [cepstra(waveform) for waveform in waveforms]
    if target.name == "prosody":
        from ser_embed.pretraining.prosody import prosody

        return lambda waveforms: [prosody(waveform) for waveform in waveforms]
    model, _, layer = target.name.rpartition("@")
    return _layer(model, layer, device)


def _layer(model: str, layer: str, device: str) -> Features:
    from ser_embed.batching import make_batches
    from ser_embed.encoders import EncoderOptions, load_encoder
    from ser_embed.spec import RATE_HZ

    encoder = load_encoder(model, EncoderOptions(layers=layer, pooling="frames", device=device))
    budget = round(encoder.batch_seconds * RATE_HZ)

    def features(waveforms: list[np.ndarray]) -> list[np.ndarray]:
        found: list[np.ndarray] = [np.empty(0)] * len(waveforms)
        for batch in make_batches([len(waveform) for waveform in waveforms], budget):
            for position, frames in zip(batch, encoder.encode([waveforms[i] for i in batch])(), strict=True):
                found[position] = frames[:, 0]  # the only layer
        return found

    return features


def cluster(
    waveforms: Waveforms, rows: Sequence[int], features: Features, target: Target, rng: np.random.Generator
) -> Clustering:
    """Find a target's clusters.

    Args:
        waveforms: the clips.
        rows: which of them may be looked at.
        features: works out the target's features.
        target: says how many clusters there are.
        rng: draws the clips, and the first centroids.

    Raises:
        InputError: there are fewer frames than clusters.
    """
    drawn = rng.permutation(np.asarray(rows))
    enough = int(np.searchsorted(waveforms.frame_counts[drawn].cumsum(), _FIT_FRAMES)) + 1
    found = [
        frames
        for batch in _read(waveforms, drawn[:enough].tolist(), f"{target}: fitting")
        for frames in features(batch)
    ]
    seed = int(rng.integers(2**31))
    return fit_clusters(np.concatenate(found), target.clusters, target.name == "prosody", seed)


def label(waveforms: Waveforms, features: Features, clustering: Clustering, name: str) -> np.ndarray:
    """Return the label of every frame of every clip, one clip after another: uint16 (all frames,)."""
    rows = range(len(waveforms.counts))
    found = [
        clustering.assign(frames)
        for batch in _read(waveforms, rows, f"{name}: labelling")
        for frames in features(batch)
    ]
    return np.concatenate(found)


def _read(waveforms: Waveforms, rows: Sequence[int], text: str) -> Iterator[list[np.ndarray]]:
    """Yield the clips of `rows`, about a minute together, under a progress bar."""
    with tqdm(total=len(rows), desc=text, unit="clip", disable=quiet()) as bar:
        for batch in waveforms.batches(rows):
            yield [waveforms.clip(row) for row in batch]
            bar.update(len(batch))
