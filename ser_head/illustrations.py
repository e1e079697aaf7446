"""The pictures of a run's report: each one that the run has the data for, with its description in words."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from ser_embed.store import Store
from ser_head.evidence import one_vs_rest, project, speaker_accuracy
from ser_head.figures.bars import class_counts, clip_lengths, layer_weights, speaker_bars
from ser_head.figures.curves import roc_curves, training_curves
from ser_head.figures.maps import confusion_matrix, vector_map
from ser_head.figures.style import Picture, picture
from ser_head.predictions import PROBABILITY
from ser_head.results import PARTS, Results


def illustrate(results: Results, store: Store, clips: pd.DataFrame) -> dict[str, Picture]:
    """Draw every picture the run has the data for.

    Args:
        results: the run.
        store: the store its vectors come from.
        clips: the store's clips the run used, their index the row numbers of the store, with a column part.

    Returns:
        The pictures by name: training, confusion, roc, speakers, classes, lengths, map, layers. One without data is
        left out.
    """
    drawn = (
        *_training(results),
        *_confusion(results),
        *_roc(results),
        *_speakers(results),
        *_classes(results, clips),
        *_lengths(clips),
        *_map(results, store, clips),
        *_layers(results),
    )
    return dict(drawn)


def _training(results: Results) -> Iterator[tuple[str, Picture]]:
    history = results.history
    if len(history) > 1 and "loss" in history:
        folds, epochs = history["fold"].nunique(), history["epoch"].nunique()
        alt = f"Loss and accuracy over up to {epochs} epochs of training, {folds} round(s), training against validation"
        yield "training", picture(training_curves(history, results.kept_epochs), alt)


def _confusion(results: Results) -> Iterator[tuple[str, Picture]]:
    counts = results.metrics["test"].get("confusion")
    if counts:
        labels = results.labels
        alt = f"Confusion matrix of {len(labels)} classes: acted emotion by row, predicted by column"
        yield "confusion", picture(confusion_matrix(np.asarray(counts), labels), alt)


def _roc(results: Results) -> Iterator[tuple[str, Picture]]:
    labels = results.labels
    if all(PROBABILITY + label in results.tested for label in labels):
        curves = one_vs_rest(results.tested, labels)
        if curves:
            areas = ", ".join(f"{curve.label} {curve.auc:.3f}" for curve in curves)
            yield "roc", picture(roc_curves(curves), f"ROC curves, each class against the others. AUC: {areas}")


def _speakers(results: Results) -> Iterator[tuple[str, Picture]]:
    accuracy = speaker_accuracy(results.tested)
    if len(accuracy) > 1:
        alt = f"Accuracy of {len(accuracy)} speakers, from {accuracy.iloc[0]:.0%} to {accuracy.iloc[-1]:.0%}"
        yield "speakers", picture(speaker_bars(accuracy, 1 / len(results.labels)), alt)


def _classes(results: Results, clips: pd.DataFrame) -> Iterator[tuple[str, Picture]]:
    if len(clips):
        counts = pd.crosstab(clips["emotion"], clips["part"])
        counts = counts.reindex([label for label in results.labels if label in counts.index])
        parts = ", ".join(f"{label} {total}" for label, total in counts.sum(axis=1).items())
        yield (
            "classes",
            picture(class_counts(counts[[part for part in PARTS if part in counts]]), f"Clips per class: {parts}"),
        )


def _lengths(clips: pd.DataFrame) -> Iterator[tuple[str, Picture]]:
    known = clips[clips["duration_s"].notna()]
    if len(known):
        lengths = known["duration_s"]
        durations = {str(name): group.to_numpy() for name, group in lengths.groupby(known["corpus"])}
        alt = f"Histogram of clip lengths, from {lengths.min():.1f} to {lengths.max():.1f} s"
        yield "lengths", picture(clip_lengths(durations), alt)


def _map(results: Results, store: Store, clips: pd.DataFrame) -> Iterator[tuple[str, Picture]]:
    rows = clips.index.to_numpy()
    projection = project(store, rows, _shown_layer(results, store)) if len(rows) else None
    if projection:
        first, second = projection.explained
        alt = (
            f"The vectors of {len(projection.points)} clips (layer {projection.layer}) on their first two principal "
            f"components ({first:.1%} and {second:.1%} of the variance), coloured by emotion and by speaker"
        )
        yield "map", picture(vector_map(projection), alt)


def _shown_layer(results: Results, store: Store) -> int:
    """Return the position of the layer the head uses, of the one it weighs most, or of the last."""
    weights = results.layer_weights
    wanted = max(weights, key=weights.__getitem__) if weights else results.run.about["layers"][-1]
    return store.layers.index(wanted)


def _layers(results: Results) -> Iterator[tuple[str, Picture]]:
    weights = results.layer_weights
    if len(weights) > 1:
        most = max(weights, key=weights.__getitem__)
        alt = f"Learned weights of {len(weights)} layers; the largest is {weights[most]:.3f} for layer {most}"
        yield "layers", picture(layer_weights(weights), alt)
