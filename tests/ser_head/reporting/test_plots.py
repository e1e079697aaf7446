"""Plots: what they show equals the data, one colour per emotion, the same bytes each time, any name can be drawn."""

import itertools
import xml.etree.ElementTree as ElementTree

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import PathCollection

from ser_embed.manifest import EMOTIONS
from ser_head.reporting.analysis import OneVsRestCurves, Projection
from ser_head.reporting.plots.bars import class_counts, clip_lengths, layer_weights, run_bars
from ser_head.reporting.plots.curves import coverage_curve, ranking_curves, reliability_diagram, training_curves
from ser_head.reporting.plots.matrices import agreement_scatter, confusion_matrix, vector_map
from ser_head.reporting.plots.speakers import enrollment_curve, gain_bars, speaker_bars
from ser_head.reporting.plots.style import EMOTION_COLORS, emotion_colors, printable, render
from tests.ser_head.fabricated import Case, history

HOSTILE = ["$x_{$", "<script>alert(1)</script>", "a\x00b\nc", "--", "张三", "x" * 500]
# Machado, Oliveira and Fernandes 2009, severity 1, on linear RGB.
VISIONS = {
    "normal": np.eye(3),
    "protanopia": np.array([
        [0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998],
    ]),
    "deuteranopia": np.array([
        [0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881],
    ]),
    "tritanopia": np.array([
        [1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900],
    ]),
}  # fmt: skip


def projection(speakers, emotions):
    points = np.random.default_rng(0).normal(size=(len(speakers), 2))
    return Projection(points, (0.3, 0.2), np.array(emotions, object), np.array(speakers, object), "4")


def every_figure(names):
    """Return each kind of plot, drawn with these names for classes, speakers, layers and runs."""
    values = np.linspace(0.2, 0.9, len(names))
    line = np.array([[0, 0.1, 1], [0, 0.8, 1]])
    return {
        "training": training_curves(history(Case()), {1: 5}),
        "ranking": ranking_curves([OneVsRestCurves(name, line, 0.85, line[:, ::-1], 0.7) for name in names]),
        "reliability": reliability_diagram([{"n": 0}, {"n": 4, "confidence": 0.8, "accuracy": 0.5}]),
        "coverage": coverage_curve([{"coverage": 1.0, "accuracy": 0.5}, {"coverage": 0.1, "accuracy": 0.9}]),
        "agreement": agreement_scatter(values, values[::-1], names[0]),
        "enrollment": enrollment_curve(names, values, [None, *[(0.1, 0.9)] * (len(names) - 1)], 0.3),
        "gains": gain_bars(pd.Series(values - 0.4, index=names)),
        "confusion": confusion_matrix(np.eye(len(names), dtype=int), names),
        "map": vector_map(projection(names * 3, names * 3)),
        "classes": class_counts(pd.DataFrame({"test": range(1, len(names) + 1)}, index=names)),
        "lengths": clip_lengths({name: np.linspace(1, 4, 9) for name in names}),
        "speakers": speaker_bars(pd.Series(values, index=names), 0.25),
        "layers": layer_weights(dict(zip(names, values, strict=True))),
        "runs": run_bars(names, values, values - 0.05, values + 0.05),
    }


def perceived(color, vision):
    """Return a colour as CIE L*a*b* float64 (3,), as someone with this vision sees it."""
    linear = np.array(matplotlib.colors.to_rgb(color))
    linear = np.where(linear <= 0.04045, linear / 12.92, ((linear + 0.055) / 1.055) ** 2.4)
    linear = np.clip(VISIONS[vision] @ linear, 0, 1)
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ linear
    root = np.cbrt(xyz / [0.9505, 1, 1.089])
    return np.array([116 * root[1] - 16, 500 * (root[0] - root[1]), 200 * (root[1] - root[2])])


@pytest.mark.parametrize("vision", VISIONS)
def test_emotions_can_be_told_apart_by_colour(vision):
    colors = [perceived(color, vision) for color in EMOTION_COLORS.values()]
    closest = min(np.linalg.norm(first - second) for first, second in itertools.combinations(colors, 2))
    assert closest > 20  # a difference of 2 can just be seen side by side


def test_every_emotion_has_its_colour_and_keeps_it():
    assert set(EMOTION_COLORS) == set(EMOTIONS)
    assert emotion_colors(["sad", "contempt"])["sad"] == emotion_colors(["sad", "angry"])["sad"]
    with_new_labels = emotion_colors(["contempt", "awe", "sad"])
    assert len(set(with_new_labels.values())) == 3
    assert with_new_labels == emotion_colors(["sad", "awe", "contempt"])


def test_every_plot_is_valid_svg_whatever_the_names():
    before = dict(matplotlib.rcParams)
    for name, figure in every_figure(HOSTILE).items():
        content = render(figure)
        assert ElementTree.fromstring(content).tag.endswith("svg"), name
        assert b"<script" not in content, name
    assert dict(matplotlib.rcParams) == before


def test_the_same_data_give_the_same_bytes():
    counts = np.eye(3, dtype=int)
    assert len({render(confusion_matrix(counts, ["angry", "happy", "sad"])) for _ in range(2)}) == 1


def test_png_is_a_png():
    assert render(confusion_matrix(np.eye(2, dtype=int), ["a", "b"]), "png").startswith(b"\x89PNG\r\n")


def test_confusion_matrix_shows_counts_and_shares_of_the_row():
    figure = confusion_matrix(np.array([[3, 1], [0, 0]]), ["happy", "sad"])
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts == ["75%", "3", "25%", "1", "0%", "0", "0%", "0"]


def test_mean_training_curve_stops_with_most_folds_and_best_epochs_are_marked():
    table = pd.DataFrame({"fold": [0] * 4 + [1] * 2 + [2] * 2, "epoch": [1, 2, 3, 4, 1, 2, 1, 2]})
    table["loss"] = [3.0, 2, 1, 0, 5, 4, 7, 6]
    (axes,) = training_curves(table.assign(val_loss=9.0), {0: 3, 1: 2, 2: 1}).axes
    mean = axes.lines[3]
    np.testing.assert_array_equal(mean.get_xdata(), [1, 2])
    np.testing.assert_allclose(mean.get_ydata(), [5, 4])
    assert sorted(axes.lines[-1].get_xdata()) == [1, 2, 3]


def test_training_curves_show_the_validation_uar_of_a_training_that_measures_it():
    rows = history(Case())
    panels = training_curves(rows.assign(val_uar=0.25), {1: 5}).axes
    assert [axes.get_title(loc="left") for axes in panels] == ["loss", "accuracy", "UAR"]
    shown = np.concatenate([line.get_ydata() for line in panels[2].lines])
    assert set(shown[~np.isnan(shown)]) == {0.25}
    assert len(training_curves(rows, {1: 5}).axes) == 2


def test_legend_of_ranking_curves_has_the_area_of_each_class_and_their_mean():
    line = np.array([[0, 0, 1], [0, 1, 1]])
    figure = ranking_curves(
        [OneVsRestCurves("happy", line, 1.0, line, 0.9), OneVsRestCurves("sad", line[::-1], 0.5, line, 0.2)]
    )
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts == [
        "happy  1.000, 0.900", "sad  0.500, 0.200", "mean of classes  0.750, 0.550", "guessing  0.500, –",
    ]  # fmt: skip


def test_reliability_diagram_has_one_dot_per_filled_bin_with_its_share_as_area():
    bins = [{"n": 0, "confidence": None, "accuracy": None}]
    bins += [{"n": 10, "confidence": 0.5, "accuracy": 0.4}, {"n": 40, "confidence": 0.9, "accuracy": 0.8}]
    (axes,) = reliability_diagram(bins).axes
    (dots,) = (artist for artist in axes.collections if isinstance(artist, PathCollection))
    np.testing.assert_allclose(dots.get_offsets(), [[0.5, 0.4], [0.9, 0.8]])
    assert dots.get_sizes()[1] == pytest.approx(4 * dots.get_sizes()[0])


def test_gains_are_drawn_in_points_and_losses_in_another_colour():
    (axes,) = gain_bars(pd.Series({"a": -0.02, "b": 0.1})).axes
    assert [bar.get_height() for bar in axes.patches] == pytest.approx([-2, 10])
    assert len({bar.get_facecolor() for bar in axes.patches}) == 2
    assert axes.get_legend().get_texts()[0].get_text() == "mean +4.0"


def test_enrollment_is_drawn_in_order_against_the_plain_head():
    (axes,) = enrollment_curve(["0", "5", "all"], [0.5, 0.6, 0.7], [None, (0.5, 0.7), None], 0.52).axes
    curves = [line for line in axes.lines if len(line.get_xdata()) == 3]
    np.testing.assert_allclose(curves[0].get_ydata(), [0.5, 0.6, 0.7])
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["UAR", "plain head 52.0%"]


def test_class_bars_stack_to_the_total():
    counts = pd.DataFrame({"training": [6, 2], "test": [3, 1]}, index=["happy", "sad"])
    (axes,) = class_counts(counts).axes
    assert [text.get_text() for text in axes.texts] == ["9", "3"]


def test_many_speakers_are_drawn_without_names():
    accuracy = pd.Series(np.linspace(0, 1, 300), index=[f"s{number}" for number in range(300)])
    (axes,) = speaker_bars(accuracy, 0.1).axes
    assert len(axes.patches) == 300
    assert len(axes.get_xticks()) == 0


def test_a_corpus_that_all_speakers_share_is_named_once():
    (axes,) = speaker_bars(pd.Series({"ravdess/01": 0.2, "ravdess/02": 0.4}), 0.1).axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["01", "02"]
    assert axes.get_xlabel() == "ravdess"
    (axes,) = speaker_bars(pd.Series({"ravdess/01": 0.2, "emodb/02": 0.4, "x": 0.5}), 0.1).axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["ravdess/01", "emodb/02", "x"]
    assert axes.get_xlabel() == ""


def test_speakers_get_a_legend_only_where_colours_can_be_told_apart():
    few = vector_map(projection(["a", "b"] * 5, ["sad"] * 10))
    many = vector_map(projection([f"s{number}" for number in range(40)], ["sad"] * 40))
    assert few.axes[1].get_legend() is not None
    assert many.axes[1].get_legend() is None


def test_runs_without_intervals_are_drawn():
    no_ends = np.full(2, np.nan)
    assert render(run_bars(["a", "b"], np.array([0.5, 0.4]), no_ends, no_ends))


def test_printable_keeps_both_ends():
    assert printable("ravdess/01") == "ravdess/01"
    assert printable("a\x07b") == "a�b"
    shortened = printable("begin" + "x" * 100 + "end", 11)
    assert shortened.startswith("begin")
    assert shortened.endswith("end")
    assert len(shortened) <= 11
