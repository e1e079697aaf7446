"""Pseudo-labels of a run: clusterings, and the clusters of every frame of every clip, computed once.

The run's folder has them in `labels/labels.npy` and `labels/clusters.safetensors`, and beside them the contours that
functionals are computed from, `labels/contours.npy`, so that a run which is resumed has the same ones. Frames of all
clips follow one another, clip after clip.
"""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

from ser_embed.errors import InputError
from ser_embed.files import atomic_folder
from ser_embed.pretraining.audio_cache import Waveforms
from ser_embed.pretraining.targets import (
    Clustering,
    Target,
    assign_labels,
    features_of,
    fit_clusterings,
    parse_targets,
)

CLUSTERS_FILE = "clusters.safetensors"
_LABELS_FILE = "labels.npy"
_CONTOURS_FILE = "contours.npy"
_CLUSTERING_FIELDS = tuple(field.name for field in dataclasses.fields(Clustering))


@dataclasses.dataclass(frozen=True)
class LabelSets:
    """Label sets of all frames.

    Attributes:
        targets: the target of each set.
        clusterings: the clusters of each set.
        labels: uint16 (sets, all frames), clip after clip.
        contours: float16 (all frames, contours), for functionals; None in runs without functionals.
    """

    targets: tuple[Target, ...]
    clusterings: tuple[Clustering, ...]
    labels: np.ndarray
    contours: np.ndarray | None = None


def make_labels(
    waveforms: Waveforms,
    rows: Sequence[int],
    targets: Sequence[Target],
    clusterings: Sequence[Clustering],
    device: str,
    seed: int,
) -> LabelSets:
    """Label every frame of every clip.

    Args:
        waveforms: all clips.
        rows: the clips to fit clusters on.
        targets: the label sets.
        clusterings: the clusters of each target; empty to fit them.
        device: the torch device for the network of a layer target.
        seed: of the clips drawn for fitting, and of the first centroids.

    Returns:
        The label sets, in the order of `targets`, without contours.

    Raises:
        InputError: a target's model does not exist, or there are fewer frames than clusters.
    """
    clustering_of: dict[Target, Clustering] = dict(zip(targets, clusterings, strict=False))
    labels_of: dict[Target, np.ndarray] = {}
    for index, kind in enumerate(dict.fromkeys(target.kind for target in targets)):
        kind_targets = [target for target in targets if target.kind == kind]
        features = features_of(kind, device)
        if not clusterings:
            rng = np.random.default_rng([seed, index])
            fitted = fit_clusterings(waveforms, rows, features, kind_targets, rng)
            clustering_of.update(zip(kind_targets, fitted, strict=True))
        kind_labels = assign_labels(
            waveforms, features, kind_targets, [clustering_of[target] for target in kind_targets]
        )
        labels_of.update(zip(kind_targets, kind_labels, strict=True))
    return LabelSets(
        tuple(targets),
        tuple(clustering_of[target] for target in targets),
        np.stack([labels_of[target] for target in targets]),
    )


def save_labels(sets: LabelSets, folder: Path) -> None:
    """Write label sets into a new folder, under a temporary name that is changed when it is complete."""
    with atomic_folder(folder) as draft:
        np.save(draft / _LABELS_FILE, sets.labels)
        if sets.contours is not None:
            np.save(draft / _CONTOURS_FILE, sets.contours)
        save_clusterings(sets, draft)


def load_labels(folder: Path) -> LabelSets:
    """Read what `save_labels` wrote; labels and contours are memory-mapped."""
    targets, clusterings = load_clusterings(folder)
    contours_path = folder / _CONTOURS_FILE
    contours = np.load(contours_path, mmap_mode="r") if contours_path.is_file() else None
    return LabelSets(targets, clusterings, np.load(folder / _LABELS_FILE, mmap_mode="r"), contours)


def save_clusterings(sets: LabelSets, folder: Path) -> None:
    """Write `clusters.safetensors`: centroids, mean and scale of each target."""
    arrays = {
        f"{index}.{name}": np.ascontiguousarray(getattr(clustering, name))
        for index, clustering in enumerate(sets.clusterings)
        for name in _CLUSTERING_FIELDS
    }
    save_file(arrays, folder / CLUSTERS_FILE, {"targets": json.dumps([str(target) for target in sets.targets])})


def load_clusterings(folder: Path) -> tuple[tuple[Target, ...], tuple[Clustering, ...]]:
    """Read the targets and clusterings of a folder.

    Raises:
        InputError: the folder has none.
    """
    path = folder / CLUSTERS_FILE
    if not path.is_file():
        raise InputError(f"expected the clusters of a pre-training in {path}, found none")
    with safe_open(path, "numpy") as file:
        targets = parse_targets(",".join(json.loads(file.metadata()["targets"])))
        clusterings = tuple(
            Clustering(**{name: file.get_tensor(f"{index}.{name}") for name in _CLUSTERING_FIELDS})
            for index in range(len(targets))
        )
    return targets, clusterings
