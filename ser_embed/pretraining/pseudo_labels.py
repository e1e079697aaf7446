"""Pseudo-labels of a run, worked out once: clusterings and, for each frame of each clip, the clusters it is in.

They are kept in the run's folder, `labels/labels.npy` and `labels/clusters.safetensors`, and beside them the contours
functionals are worked out from, `labels/contours.npy`, so that a run which was stopped goes on with the same ones.
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
from ser_embed.pretraining.targets import Clustering, Target, cluster, features_of, label, parse_targets

CLUSTERS_FILE = "clusters.safetensors"
_CONTOURS_FILE = "contours.npy"
_FIELDS = tuple(field.name for field in dataclasses.fields(Clustering))


@dataclasses.dataclass(frozen=True)
class LabelSets:
    """The labels of all frames, several sets of them.

    Attributes:
        targets: what each set is.
        clusterings: the clusters of each set.
        labels: uint16 (sets, all frames), clip after clip.
        contours: float16 (all frames, contours), what functionals are worked out from; None if none are wanted.
    """

    targets: tuple[Target, ...]
    clusterings: tuple[Clustering, ...]
    labels: np.ndarray
    contours: np.ndarray | None = None


def make_labels(
    waveforms: Waveforms,
    rows: Sequence[int],
    targets: Sequence[Target],
    known: Sequence[Clustering],
    device: str,
    seed: int,
) -> LabelSets:
    """Cluster the clips of `rows`, or take clusterings that are `known`, and label every clip.

    Raises:
        InputError: a target's model is not there, or there are fewer frames than clusters.
    """
    clusterings: dict[Target, Clustering] = dict(zip(targets, known, strict=False))
    labels: dict[Target, np.ndarray] = {}
    for index, kind in enumerate(dict.fromkeys(target.kind for target in targets)):
        alike = [target for target in targets if target.kind == kind]
        features = features_of(kind, device)
        if not known:
            rng = np.random.default_rng([seed, index])
            clusterings.update(zip(alike, cluster(waveforms, rows, features, alike, rng), strict=True))
        found = label(waveforms, features, alike, [clusterings[target] for target in alike])
        labels.update(zip(alike, found, strict=True))
    return LabelSets(
        tuple(targets),
        tuple(clusterings[target] for target in targets),
        np.stack([labels[target] for target in targets]),
    )


def save_labels(sets: LabelSets, folder: Path) -> None:
    """Write label sets into a new folder, which appears by renaming."""
    with atomic_folder(folder) as draft:
        np.save(draft / "labels.npy", sets.labels)
        if sets.contours is not None:
            np.save(draft / _CONTOURS_FILE, sets.contours)
        save_clusterings(sets, draft)


def load_labels(folder: Path) -> LabelSets:
    """Read what `save_labels` wrote."""
    targets, clusterings = load_clusterings(folder)
    path = folder / _CONTOURS_FILE
    contours = np.load(path, mmap_mode="r") if path.is_file() else None
    return LabelSets(targets, clusterings, np.load(folder / "labels.npy", mmap_mode="r"), contours)


def save_clusterings(sets: LabelSets, folder: Path) -> None:
    """Write `clusters.safetensors`: centroids, mean and scale of each target."""
    arrays = {
        f"{index}.{name}": np.ascontiguousarray(getattr(clustering, name))
        for index, clustering in enumerate(sets.clusterings)
        for name in _FIELDS
    }
    save_file(arrays, folder / CLUSTERS_FILE, {"targets": json.dumps([str(target) for target in sets.targets])})


def load_clusterings(folder: Path) -> tuple[tuple[Target, ...], tuple[Clustering, ...]]:
    """Read the targets and clusterings of a folder.

    Raises:
        InputError: there are none.
    """
    path = folder / CLUSTERS_FILE
    if not path.is_file():
        raise InputError(f"expected the clusters of a pre-training in {path}, found none")
    with safe_open(path, "numpy") as file:
        targets = parse_targets(",".join(json.loads(file.metadata()["targets"])))
        clusterings = tuple(
            Clustering(**{name: file.get_tensor(f"{index}.{name}") for name in _FIELDS})
            for index in range(len(targets))
        )
    return targets, clusterings
