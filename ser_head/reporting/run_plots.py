"""The pictures of a run's report: each one that the run has the data for, with its description in words."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from ser_embed.store.reader import Store
from ser_head.evaluation.predictions import PROBABILITY
from ser_head.personalization.conditions import ENROLLED, PLAIN, TRANSDUCTIVE, UNKNOWN
from ser_head.reporting.analysis import one_vs_rest, project, speaker_accuracy
from ser_head.reporting.plots.bars import class_counts, clip_lengths, layer_weights
from ser_head.reporting.plots.curves import coverage_curve, ranking_curves, reliability_diagram, training_curves
from ser_head.reporting.plots.matrices import agreement_scatter, confusion_matrix, vector_map
from ser_head.reporting.plots.speakers import enrolment_curve, gain_bars, speaker_bars
from ser_head.reporting.plots.style import Picture, picture
from ser_head.runs.results import PARTS, Results


def illustrate(results: Results, store: Store, clips: pd.DataFrame) -> dict[str, Picture]:
    """Draw every picture the run has the data for.

    Args:
        results: the run.
        store: the store its vectors come from.
        clips: the store's clips the run used, their index the row numbers of the store, with a column part.

    Returns:
        The pictures by name: confusion, ranking, reliability, coverage, speakers and classes, or in their place for a
        head that answers with a number, agreement; enrolment, gains; training, layers, lengths, map. One without data
        is left out.
    """
    judged = (
        (_confusion(results), _ranking(results), _certainty(results), _speakers(results), _classes(results, clips))
        if results.labels
        else (_agreement(results),)
    )
    others = _enrolment(results), _gains(results), _training(results), _layers(results), _lengths(clips)
    return dict(each for drawn in (*judged, *others, _map(results, store, clips)) for each in drawn)


def _confusion(results: Results) -> Iterator[tuple[str, Picture]]:
    counts = results.metrics["test"].get("confusion")
    if counts:
        labels = results.labels
        alt = f"Confusion matrix of {len(labels)} classes: acted emotion by row, predicted by column"
        yield "confusion", picture(confusion_matrix(np.asarray(counts), labels), alt)


def _ranking(results: Results) -> Iterator[tuple[str, Picture]]:
    labels = results.labels
    if all(PROBABILITY + label in results.tested for label in labels):
        rankings = one_vs_rest(results.tested, labels)
        if rankings:
            areas = ", ".join(f"{each.label} {each.auc:.3f} and {each.average_precision:.3f}" for each in rankings)
            alt = f"ROC and precision-recall curves, each class against the others. AUC and average precision: {areas}"
            yield "ranking", picture(ranking_curves(rankings), alt)


def _certainty(results: Results) -> Iterator[tuple[str, Picture]]:
    test = results.metrics["test"]
    if test.get("reliability"):
        alt = f"Reliability diagram: stated probability against accuracy; expected calibration error {test['ece']:.3f}"
        yield "reliability", picture(reliability_diagram(test["reliability"]), alt)
    if test.get("coverage"):
        points = test["coverage"]["points"]
        first, last = points[0], points[-1]
        alt = (
            f"Accuracy on the clips the head is surest of: {first['accuracy']:.0%} on {first['coverage']:.0%} of them, "
            f"{last['accuracy']:.0%} on {last['coverage']:.0%}"
        )
        yield "coverage", picture(coverage_curve(points), alt)


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
        drawn = class_counts(counts[[part for part in PARTS if part in counts]])
        yield "classes", picture(drawn, f"Clips per class: {parts}")


def _agreement(results: Results) -> Iterator[tuple[str, Picture]]:
    truth, answers = (results.tested[name].to_numpy(float) for name in ("label", "prediction"))
    alt = f"The answers for {len(truth)} clips against what was rated, from {truth.min():g} to {truth.max():g}"
    yield "agreement", picture(agreement_scatter(truth, answers, results.target), alt)


def _enrolment(results: Results) -> Iterator[tuple[str, Picture]]:
    conditions, measure = results.metrics.get("conditions", {}), "UAR" if results.labels else "CCC"
    key, write = measure.lower(), "{:.1%}" if results.labels else "{:.3f}"
    sizes = sorted(int(name.partition(":")[2]) for name in conditions if name.startswith(f"{ENROLLED}:"))
    names = {UNKNOWN: "0", **{f"{ENROLLED}:{size}": str(size) for size in sizes}, TRANSDUCTIVE: "all"}
    measured = {name: conditions[name] for name in names if conditions.get(name, {}).get(key) is not None}
    if sizes and len(measured) > 1:
        values = [figures[key] for figures in measured.values()]
        intervals = [(figures.get("ci95") or {}).get(key) for figures in measured.values()]
        plain = conditions.get(PLAIN, {}).get(key)
        points = [names[name] for name in measured]
        alt = f"{measure} by number of clips of the speaker known beforehand: " + ", ".join(
            f"{point}: {write.format(value)}" for point, value in zip(points, values, strict=True)
        )
        yield "enrolment", picture(enrolment_curve(points, values, intervals, plain, measure), alt)


def _gains(results: Results) -> Iterator[tuple[str, Picture]]:
    condition = results.shown_gain
    if condition:
        gains = pd.Series(results.metrics["gains"][condition]["speakers"]).sort_values(kind="stable")
        span = f"from {gains.iloc[0]:+.1%} to {gains.iloc[-1]:+.1%}"
        alt = f"Gain in UAR of {len(gains)} speakers under {condition}, {span}"
        yield "gains", picture(gain_bars(gains), alt)


def _training(results: Results) -> Iterator[tuple[str, Picture]]:
    history = results.history
    if len(history) > 1 and "loss" in history:
        folds, epochs = history["fold"].nunique(), history["epoch"].nunique()
        measures = "Loss and accuracy" if "accuracy" in history else "Loss"
        alt = f"{measures} over up to {epochs} epochs of training, {folds} round(s), training against validation"
        yield "training", picture(training_curves(history, results.kept_epochs), alt)


def _layers(results: Results) -> Iterator[tuple[str, Picture]]:
    weights = results.layer_weights
    if len(weights) > 1:
        most = max(weights, key=weights.__getitem__)
        alt = f"Learned weights of {len(weights)} layers; the largest is {weights[most]:.3f} for layer {most}"
        yield "layers", picture(layer_weights(weights), alt)


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
