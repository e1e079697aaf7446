"""Cross-corpus transfer matrix: the cell each run fills, runs that are refused, warnings, output formats."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import balanced_accuracy_score

import ser_head
from ser_embed.errors import InputError
from ser_head.compare import main
from ser_head.evaluation.predictions import read_predictions
from ser_head.reporting.plots.matrices import transfer_map
from tests.ser_head.fabricated import LABELS, edit_json, fabricate
from tests.ser_head.reporting.html_parts import HtmlParts

SHARED = ("angry", "happy", "sad")


def run_of(folder, corpora, protocol, labels=LABELS, normalization="all", **changes):
    """Fabricate a run that tests `corpora`, half of the speakers each, and return its folder."""
    speakers = tuple(f"{corpora[number % len(corpora)]}/{number:02}" for number in range(8))
    run, _ = fabricate(folder, corpus=corpora[0], speakers=speakers, protocol=protocol, labels=labels, **changes)
    table = pd.read_csv(run / "predictions.csv")
    corpus = table["speaker"].str.partition("/")[0]
    table["utterance_id"] = corpus + "/" + table["utterance_id"].str.partition("/")[2]
    table.to_csv(run / "predictions.csv", index=False)
    settings = json.loads((run / "run.json").read_text())["settings"]
    chosen = [] if protocol.startswith("cross") else corpora
    edit_json(run / "run.json", settings={**settings, "normalization": normalization, "corpus": chosen})
    return run.rename(folder.with_name(f"{folder.name}-run"))


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Return runs within EmoDB, within RAVDESS, from RAVDESS to EmoDB, and on both."""
    folder = tmp_path_factory.mktemp("runs")
    return {
        "emodb": run_of(folder / "emodb", ["emodb"], "loso", skill=2.5),
        "ravdess": run_of(folder / "ravdess", ["ravdess"], "kfold:4", skill=2.0),
        "cross": run_of(folder / "cross", ["emodb"], "cross:ravdess:emodb", SHARED, skill=0.5),
        "both": run_of(folder / "both", ["emodb", "ravdess"], "kfold:4", skill=1.5),
    }


def figures_of(run):
    return json.loads((run / "metrics.json").read_text())["test"]


def test_each_run_has_its_cell_and_a_cell_without_a_run_is_empty(runs):
    matrix = ser_head.compare([runs[name] for name in ("cross", "ravdess", "emodb")], matrix=True)
    assert (matrix.train, matrix.test) == (["emodb", "ravdess"], ["emodb", "ravdess"])
    for train, test, name in (
        ("emodb", "emodb", "emodb"),
        ("ravdess", "ravdess", "ravdess"),
        ("ravdess", "emodb", "cross"),
    ):
        cell, figures = matrix.cell(train, test), figures_of(runs[name])
        assert (cell["run"], cell["uar"]) == (f"{name}-run", figures["uar"])
        assert [cell["uar_low"], cell["uar_high"]] == figures["ci95"]["uar"]
        assert cell["n_test"] == len(read_predictions(runs[name] / "predictions.csv"))
    assert matrix.cell("emodb", "ravdess") is None


def test_a_run_on_both_corpora_has_a_row_with_a_figure_for_each(runs):
    matrix = ser_head.compare([runs["both"], runs["emodb"]], matrix=True)
    assert matrix.train == ["emodb", "emodb + ravdess"]
    table = read_predictions(runs["both"] / "predictions.csv")
    for corpus, rows in table.groupby(table["speaker"].str.partition("/")[0]):
        cell = matrix.cell("emodb + ravdess", corpus)
        assert cell["uar"] == pytest.approx(balanced_accuracy_score(rows["label"], rows["prediction"]))
        assert cell["uar_low"] < cell["uar"] < cell["uar_high"]
        assert cell["n_test"] == len(rows)


def test_sets_of_emotions_are_numbered_and_different_ones_give_a_warning(runs):
    matrix = ser_head.compare([runs["cross"], runs["emodb"]], matrix=True)
    assert matrix.labels == {"#1": LABELS, "#2": SHARED}
    assert matrix.cell("ravdess", "emodb")["labels"] == "#2"
    assert "#2: angry, happy, sad (guessing: 0.333)" in matrix.text()
    assert any("scored on different emotions" in warning for warning in matrix.warnings)
    one_set = ser_head.compare([runs["ravdess"], runs["emodb"]], matrix=True)
    assert one_set.labels == {"#1": LABELS}
    assert one_set.warnings == ()


def test_two_runs_of_one_cell_are_refused_and_a_repeated_run_counts_once(runs, tmp_path):
    second = run_of(tmp_path / "again", ["emodb"], "kfold:4")
    with pytest.raises(InputError, match="both .*run and .*run were trained on emodb and tested on emodb"):
        ser_head.compare([runs["emodb"], second], matrix=True)
    assert len(ser_head.compare([runs["emodb"], runs["emodb"]], matrix=True).table) == 1


def test_a_run_that_shares_speakers_is_left_out(runs, tmp_path):
    leaky = run_of(tmp_path / "leaky", ["ravdess"], "random", disjoint=False)
    matrix = ser_head.compare([runs["emodb"], leaky], matrix=True)
    assert matrix.table["run"].tolist() == ["emodb-run"]
    assert matrix.warnings == ("leaky-run is left out: some of its test speakers were in training",)
    with pytest.raises(InputError, match="none of these is one"):
        ser_head.compare(leaky, matrix=True)


def test_transductive_runs_and_differing_settings_are_named(runs, tmp_path):
    moved = run_of(tmp_path / "moved", ["ravdess"], "cross:emodb:ravdess", SHARED, normalization="coral")
    folds = json.loads((moved / "run.json").read_text())["folds"]
    measured = {"emodb": {"clips": 5, "transductive": False}, "ravdess": {"clips": 9, "transductive": True}}
    settings = json.loads((moved / "run.json").read_text())["settings"]
    edit_json(
        moved / "run.json",
        folds=[{**fold, "corpora": measured} for fold in folds],
        settings={**settings, "head": "deep"},
    )
    warnings = ser_head.compare([runs["cross"], moved], matrix=True).warnings
    assert "moved-run is transductive: its test corpus was measured on its test clips, without labels" in warnings
    assert "the runs differ in normalization (all: cross-run; coral: moved-run)" in warnings
    assert "the runs differ in head (mlp (last): cross-run; deep (last): moved-run)" in warnings
    warnings = ser_head.compare([runs["cross"], moved]).warnings
    assert any("measured on test clips" in warning for warning in warnings)


def test_the_text_has_a_dash_in_an_empty_cell(runs):
    matrix = ser_head.compare([runs["cross"], runs["emodb"], runs["ravdess"]], matrix=True)
    heading, emodb, ravdess, *_ = matrix.text().splitlines()
    assert heading.split() == ["trained", "on", "/", "tested", "on", "emodb", "ravdess"]
    assert emodb.startswith("emodb ")
    assert emodb.endswith(" –")
    assert ravdess.startswith("ravdess ")
    assert "–" not in ravdess


def test_a_notebook_shows_the_heat_map_and_the_table(runs):
    matrix = ser_head.compare([runs["cross"], runs["emodb"], runs["ravdess"]], matrix=True)
    fragment = HtmlParts(matrix._repr_html_())
    page = HtmlParts(matrix.page())
    assert not {"html", "head", "body", "title"} & set(fragment.tags)
    assert (fragment.fetched, fragment.alts) == (page.fetched, page.alts)
    assert fragment.text.strip() == page.text.partition("Cross-corpus transfer ")[2].strip()
    assert "scored on different emotions" in fragment.text


@pytest.mark.parametrize("suffix", [".html", ".csv", ".json", ".md", ".png"])
def test_output_by_suffix(runs, tmp_path, suffix):
    path = tmp_path / f"matrix{suffix}"
    matrix = ser_head.compare([runs["cross"], runs["emodb"], runs["ravdess"]], path, matrix=True)
    content = path.read_bytes()
    if suffix == ".png":
        assert content.startswith(b"\x89PNG")
    elif suffix == ".csv":
        assert pd.read_csv(path)["uar"].tolist() == pytest.approx(matrix.table["uar"].tolist())
    elif suffix == ".json":
        assert json.loads(content) == matrix.to_json()
        assert len(matrix.to_json()["cells"]) == 3
    else:
        assert b"cross-run" in content or b"| ravdess" in content
        assert b"#2: angry, happy, sad" in content
        assert suffix == ".md" or b'src="data:image/svg+xml;base64,' in content


def test_the_command_prints_the_matrix_and_warnings(runs, capsys):
    assert main([str(runs["cross"]), str(runs["emodb"]), "--matrix"]) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("trained on / tested on")
    assert "warning: the cells were scored on different emotions" in printed.err
    assert main([str(runs["emodb"]), "--matrix", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["cells"][0]["train"] == "emodb"


def test_the_heat_map_has_the_figure_of_each_cell_and_a_dash_in_an_empty_one():
    figure = transfer_map(np.array([[0.5, np.nan]]), [["below", ""]], (["a"], ["a", "b"]), ["#1: sad, angry"])
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.texts] == ["0.500", "below", "–", ""]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["a", "b"]
    assert axes.images[0].get_array().mask.tolist() == [[False, True]]
    assert figure.get_supxlabel() == "#1: sad, angry"
