"""Plots of a run's report: each as an image with a description in words, for the runs that have the data for it.

To add a plot, write a function of a run's results, its store and its clips, and add one line to `PLOTS`. The clips are
those of the store that the run used: their index is the row number in the store, the column part says which part of
the data they are in.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd

from ser_embed.store.reader import Store
from ser_head.evaluation.predictions import PROBABILITY
from ser_head.personalization.conditions import ENROLLED, PLAIN, TRANSDUCTIVE, UNKNOWN
from ser_head.reporting.analysis import one_vs_rest, project, speaker_accuracy
from ser_head.reporting.plots.bars import class_counts, clip_lengths, layer_weights
from ser_head.reporting.plots.curves import coverage_curve, ranking_curves, reliability_diagram, training_curves
from ser_head.reporting.plots.matrices import agreement_scatter, confusion_matrix, vector_map
from ser_head.reporting.plots.speakers import enrollment_curve, gain_bars, speaker_bars
from ser_head.reporting.plots.style import Picture, picture
from ser_head.runs.results import PARTS, RunResults

Plot = Callable[[RunResults, Store, pd.DataFrame], Picture | None]


def draw_plots(results: RunResults, store: Store, clips: pd.DataFrame) -> dict[str, Picture]:
    """Draw every plot of `PLOTS` that the run has the data for.

    Args:
        results: the run.
        store: the store its vectors come from.
        clips: the store's clips the run used, their index the row numbers of the store, with a column part.

    Returns:
        The images by name. A plot without data is left out.
    """
    pictures = {name: plot(results, store, clips) for name, plot in PLOTS.items()}
    return {name: image for name, image in pictures.items() if image}


def _confusion(results: RunResults, *_: object) -> Picture | None:
    labels, counts = results.labels, results.metrics["test"].get("confusion")
    if not labels or not counts:
        return None
    alt = f"Confusion matrix of {len(labels)} classes: acted emotion by row, predicted by column"
    return picture(confusion_matrix(np.asarray(counts), labels), alt)


def _ranking(results: RunResults, *_: object) -> Picture | None:
    labels = results.labels
    if not all(PROBABILITY + label in results.tested for label in labels):
        return None
    curves = one_vs_rest(results.tested, labels)
    if not curves:
        return None
    areas = ", ".join(f"{curve.label} {curve.auc:.3f} and {curve.average_precision:.3f}" for curve in curves)
    alt = f"ROC and precision-recall curves, each class against the others. AUC and average precision: {areas}"
    return picture(ranking_curves(curves), alt)


def _reliability(results: RunResults, *_: object) -> Picture | None:
    test = results.metrics["test"]
    if not results.labels or not test.get("reliability"):
        return None
    alt = f"Reliability diagram: stated probability against accuracy; expected calibration error {test['ece']:.3f}"
    return picture(reliability_diagram(test["reliability"]), alt)


def _coverage(results: RunResults, *_: object) -> Picture | None:
    test = results.metrics["test"]
    if not results.labels or not test.get("coverage"):
        return None
    points = test["coverage"]["points"]
    first, last = points[0], points[-1]
    alt = (
        f"Accuracy on the clips the head is surest of: {first['accuracy']:.0%} on {first['coverage']:.0%} of them, "
        f"{last['accuracy']:.0%} on {last['coverage']:.0%}"
    )
    return picture(coverage_curve(points), alt)


def _speakers(results: RunResults, *_: object) -> Picture | None:
    if not results.labels:
        return None
    accuracy = speaker_accuracy(results.tested)
    if len(accuracy) < 2:
        return None
    alt = f"Accuracy of {len(accuracy)} speakers, from {accuracy.iloc[0]:.0%} to {accuracy.iloc[-1]:.0%}"
    return picture(speaker_bars(accuracy, 1 / len(results.labels)), alt)


def _classes(results: RunResults, _: Store, clips: pd.DataFrame) -> Picture | None:
    if not results.labels or not len(clips):
        return None
    counts = pd.crosstab(clips["emotion"], clips["part"])
    counts = counts.reindex([label for label in results.labels if label in counts.index])
    totals = ", ".join(f"{label} {total}" for label, total in counts.sum(axis=1).items())
    figure = class_counts(counts[[part for part in PARTS if part in counts]])
    return picture(figure, f"Clips per class: {totals}")


def _agreement(results: RunResults, *_: object) -> Picture | None:
    if results.labels:
        return None
    truth, predictions = (results.tested[name].to_numpy(float) for name in ("label", "prediction"))
    alt = f"The answers for {len(truth)} clips against what was rated, from {truth.min():g} to {truth.max():g}"
    return picture(agreement_scatter(truth, predictions, results.target), alt)


def _enrollment(results: RunResults, *_: object) -> Picture | None:
    conditions, measure = results.metrics.get("conditions", {}), "UAR" if results.labels else "CCC"
    key, number_format = measure.lower(), "{:.1%}" if results.labels else "{:.3f}"
    sizes = sorted(int(name.partition(":")[2]) for name in conditions if name.startswith(f"{ENROLLED}:"))
    points_by_name = {UNKNOWN: "0", **{f"{ENROLLED}:{size}": str(size) for size in sizes}, TRANSDUCTIVE: "all"}
    measured = {name: conditions[name] for name in points_by_name if conditions.get(name, {}).get(key) is not None}
    if not sizes or len(measured) < 2:
        return None
    values = [figures[key] for figures in measured.values()]
    intervals = [(figures.get("ci95") or {}).get(key) for figures in measured.values()]
    plain = conditions.get(PLAIN, {}).get(key)
    points = [points_by_name[name] for name in measured]
    alt = f"{measure} by number of clips of the speaker known beforehand: " + ", ".join(
        f"{point}: {number_format.format(value)}" for point, value in zip(points, values, strict=True)
    )
    return picture(enrollment_curve(points, values, intervals, plain, measure), alt)


def _gains(results: RunResults, *_: object) -> Picture | None:
    condition = results.shown_gain
    if not condition:
        return None
    gains = pd.Series(results.metrics["gains"][condition]["speakers"]).sort_values(kind="stable")
    span = f"from {gains.iloc[0]:+.1%} to {gains.iloc[-1]:+.1%}"
    alt = f"Gain in UAR of {len(gains)} speakers under {condition}, {span}"
    return picture(gain_bars(gains), alt)


def _training(results: RunResults, *_: object) -> Picture | None:
    history = results.history
    if len(history) < 2 or "loss" not in history:
        return None
    folds, epochs = history["fold"].nunique(), history["epoch"].nunique()
    measures = "Loss, accuracy and UAR" if "val_uar" in history else "Loss and accuracy"
    measures = measures if "accuracy" in history else "Loss"
    alt = f"{measures} over up to {epochs} epochs of training, {folds} round(s), training against validation"
    return picture(training_curves(history, results.kept_epochs), alt)


def _layers(results: RunResults, *_: object) -> Picture | None:
    weights = results.layer_weights
    if len(weights) < 2:
        return None
    largest = max(weights, key=weights.__getitem__)
    alt = f"Learned weights of {len(weights)} layers; the largest is {weights[largest]:.3f} for layer {largest}"
    return picture(layer_weights(weights), alt)


def _lengths(_results: RunResults, _store: Store, clips: pd.DataFrame) -> Picture | None:
    with_length = clips[clips["duration_s"].notna()]
    if not len(with_length):
        return None
    lengths_s = with_length["duration_s"]
    durations_s = {str(name): group.to_numpy() for name, group in lengths_s.groupby(with_length["corpus"])}
    alt = f"Histogram of clip lengths, from {lengths_s.min():.1f} to {lengths_s.max():.1f} s"
    return picture(clip_lengths(durations_s), alt)


def _map(results: RunResults, store: Store, clips: pd.DataFrame) -> Picture | None:
    rows = clips.index.to_numpy()
    projection = project(store, rows, _shown_layer(results, store)) if len(rows) else None
    if not projection:
        return None
    first, second = projection.explained
    shown = "mean frames" if store.spec.pooling == "frames" else "vectors"
    alt = (
        f"The {shown} of {len(projection.points)} clips (layer {projection.layer}) on their first two principal "
        f"components ({first:.1%} and {second:.1%} of the variance), coloured by emotion and by speaker"
    )
    return picture(vector_map(projection), alt)


def _shown_layer(results: RunResults, store: Store) -> int:
    """Return the position of the layer to project: the one with the largest weight, or the last the head uses."""
    weights = results.layer_weights
    name = max(weights, key=weights.__getitem__) if weights else results.run.about["layers"][-1]
    return store.layers.index(name)


PLOTS: dict[str, Plot] = {
    "confusion": _confusion,
    "ranking": _ranking,
    "reliability": _reliability,
    "coverage": _coverage,
    "speakers": _speakers,
    "classes": _classes,
    "agreement": _agreement,
    "enrollment": _enrollment,
    "gains": _gains,
    "training": _training,
    "layers": _layers,
    "lengths": _lengths,
    "map": _map,
}
# Plots that have a place in a section of the report. All others are shown under "More plots", at its end.
PLACED = frozenset({
    "confusion", "ranking", "reliability", "coverage", "speakers", "classes", "agreement", "enrollment", "gains",
    "training", "layers", "lengths", "map",
})  # fmt: skip
