"""Report of a run: self-contained, clear about speakers and their overlap, safe against hostile names."""

import base64
import html
import json
import re
import shutil
from dataclasses import replace
from importlib.resources import files

import pandas as pd
import pytest

from ser_embed.errors import InputError
from ser_embed.store.reader import Store
from ser_head.reporting.analysis import MAX_POINTS, one_vs_rest
from ser_head.reporting.plots.style import Picture
from ser_head.reporting.run_plots import PLACED, PLOTS
from ser_head.reporting.run_report import used_clips, write_report
from ser_head.runs.results import RunResults
from tests.ser_head.fabricated import LABELS, SPEC, Case, edit_json, fabricate, make_numeric, personalize
from tests.ser_head.reporting.html_parts import HtmlParts

pytestmark = pytest.mark.pictures


def report(run, store):
    with Store(store) as opened:
        path = write_report(run, opened)
    assert path == run / "report.html"
    return HtmlParts(path.read_text("utf-8"))


def svg_images(run):
    return re.findall(r'src="data:image/svg\+xml;base64,([^"]+)"', (run / "report.html").read_text("utf-8"))


@pytest.fixture(scope="module")
def example(tmp_path_factory):
    """Return a run, its store and its report, which tests must not change."""
    run, store = fabricate(tmp_path_factory.mktemp("example"))
    folds = [
        {"fold": fold, "head": "head.keras", "known": [], "layer_weights": weights}
        for fold, weights in enumerate(([0.1, 0.7, 0.2], [0.3, 0.3, 0.4]), 1)
    ]
    edit_json(run / "run.json", layers=["0", "1", "2"], folds=folds)
    return run, store, report(run, store)


@pytest.fixture
def without_rendering(monkeypatch):
    """Skip the rendering of figures, which takes most of a report's time; every figure is still made."""
    monkeypatch.setattr("ser_head.reporting.plots.style.render", lambda figure: b"<svg/>")


def test_report_is_one_self_contained_file(example):
    run, _, page = example
    assert page.fetched
    assert all(uri.startswith("data:image/svg+xml;base64,") for uri in page.fetched)
    text = (run / "report.html").read_text("utf-8")
    assert not re.search(r"@import|url\(|<script|<link|<iframe", text)
    for image in svg_images(run):
        svg = base64.b64decode(image).decode()
        references = re.findall(r'(?:href|src)="([^"]*)"', svg)
        assert all(reference.startswith(("#", "data:image/png;base64,")) for reference in references)
    assert not [name for name in run.iterdir() if name.suffix == ".tmp"]


def test_every_image_has_a_description(example):
    _, _, page = example
    assert len(page.alts) == 10
    assert all(len(alt) > 20 for alt in page.alts)


def test_the_one_vs_rest_curves_are_described_by_their_areas(example):
    run, _, page = example
    curves = one_vs_rest(RunResults.load(run).tested, LABELS)
    alt = next(alt for alt in page.alts if alt.startswith("ROC"))
    areas = [f"{curve.label} {curve.auc:.3f} and {curve.average_precision:.3f}" for curve in curves]
    assert alt.endswith(", ".join(areas))


def test_report_has_the_main_results_in_words(example):
    run, _, page = example
    test = json.loads((run / "metrics.json").read_text())["test"]
    for words in (
        "Tested on unseen speakers",
        f"{100 * test['uar']:.1f} %",
        f"95 % interval {100 * test['ci95']['uar'][0]:.1f} % to {100 * test['ci95']['uar'][1]:.1f} %",
        "Guessing: 25.0 %",
        "hubert-tiny",
        "192 clips of 8 speakers from ravdess",
        "Each group was tested once",
        "kfold:4",
        "not a diagnosis",
        "zero-mean-unit-variance",
    ):
        assert words in page.text, words
    assert "Synthetic" not in page.text


def test_the_same_run_gives_the_same_report(example):
    run, store, _ = example
    before = (run / "report.html").read_bytes()
    with Store(store) as opened:
        write_report(run, opened)
    assert (run / "report.html").read_bytes() == before


def test_shared_speakers_and_synthetic_speech_give_a_warning(tmp_path, without_rendering):
    page = report(*fabricate(tmp_path, corpus="demo", synthetic=True, protocol="random", disjoint=False))
    assert "Test speakers were also heard in training" in page.text
    assert "Tested on unseen speakers" not in page.text
    assert "Synthetic speech" in page.text
    assert "demo (synthetic)" in page.text


def test_hostile_names_are_escaped(tmp_path):
    script = "<script>alert('x')</script>"
    labels = ("happy", "sad", '"><img src=http://x.y/z>')
    run, store = fabricate(tmp_path, corpus=script, speakers=(f"{script}/1", "{{ 7 * 7 }}", "$\\frac{"), labels=labels)
    page = report(run, store)
    assert "script" not in page.tags
    assert len(page.alts) == page.tags.count("img") == 9
    assert all(uri.startswith("data:") for uri in page.fetched)
    assert script in html.unescape(page.text)


def test_sections_without_data_are_left_out(tmp_path, without_rendering):
    """The run has one speaker, no epochs, a class without test clips, no conditions, no intervals."""
    run, store = fabricate(tmp_path, speakers=("ravdess/01",), folds=1)
    (run / "history.csv").unlink()
    predictions = pd.read_csv(run / "predictions.csv")
    predictions[predictions["label"] != "sad"].to_csv(run / "predictions.csv", index=False)
    metrics = json.loads((run / "metrics.json").read_text())
    for name in ("ci95", "macro_f1", "reliability", "coverage"):
        del metrics["test"][name]
    edit_json(run / "metrics.json", test=metrics["test"], conditions={})
    page = report(run, store)
    assert [alt.split()[0] for alt in page.alts] == ["Confusion", "ROC", "Clips", "Histogram", "The"]
    assert "sad" not in next(alt for alt in page.alts if alt.startswith("ROC"))
    for heading in (
        "From voice to voice",
        "How it learned",
        "knowing the speaker",
        "Macro-F1",
        "knows when it is right",
        "What training knew",
    ):
        assert heading not in page.text


def test_a_run_without_probabilities_or_known_clips_still_has_a_report(tmp_path, without_rendering):
    run, store = fabricate(tmp_path)
    predictions = pd.read_csv(run / "predictions.csv")
    predictions = predictions.drop(columns=[f"p_{label}" for label in LABELS])
    predictions.assign(utterance_id="other/" + predictions["utterance_id"]).to_csv(run / "predictions.csv", index=False)
    settings = json.loads((run / "run.json").read_text())["settings"]
    edit_json(run / "run.json", settings={**settings, "corpus": ["other"]})
    page = report(run, store)
    assert [alt.split()[0] for alt in page.alts] == ["Confusion", "Reliability", "Accuracy", "Accuracy", "Loss"]


def test_conditions_are_listed_with_their_meaning(tmp_path, without_rendering):
    run, store = fabricate(tmp_path)
    figures = {"accuracy": 0.5, "uar": 0.4321, "macro_f1": None}
    edit_json(run / "metrics.json", conditions={"closed": figures, "enrolled:5": {"uar": 0.6}, "novel": figures})
    page = report(run, store)
    assert "enrolled:5 it was given 5 unlabelled clips of the speaker, none of those scored – 60.0 %" in page.text
    assert "closed the speaker was heard in training 50.0 % 43.2 % novel 50.0 % 43.2 %" in page.text
    assert "With and without knowing the speaker" in page.text
    assert "better / worse" not in page.text


@pytest.fixture(scope="module")
def personalized(tmp_path_factory):
    """Return a personalised run and its report, which tests must not change."""
    run, store = fabricate(tmp_path_factory.mktemp("personalized"))
    personalize(run, store, Case(), ("normalize", "embedding"))
    return run, report(run, store)


def test_a_personalised_run_has_its_gain_by_condition(personalized):
    run, page = personalized
    metrics = json.loads((run / "metrics.json").read_text())
    gain, uar = metrics["gains"]["enrolled:20"], metrics["conditions"]["enrolled:20"]["uar"]
    section = page.text.partition("What knowing the speaker brings")[2]
    for words in (
        f"{100 * uar:.1f} %",
        f"{100 * gain['mean']:+.1f} ± {100 * gain['deviation']:.1f} ",
        f" {100 * gain['low']:+.1f} to {100 * gain['high']:+.1f}",
        f"{gain['gained']} / {gain['lost']}",
        "a second head, without personalisation",
        "(normalize) and describes a voice as a blend of the training voices it resembles (embedding).",
        "Voices it borrows from",
    ):
        assert words in section, words
    rows = re.findall(r"(plain|unknown|enrolled:\d+|transductive) (?:a|the|it) ", section)
    assert rows == ["plain", "unknown", "enrolled:1", "enrolled:5", "enrolled:20", "transductive"]
    values = [metrics["conditions"][name]["uar"] for name in rows[1:]]
    points = ", ".join(f"{size}: {value:.1%}" for size, value in zip(("0", 1, 5, 20, "all"), values, strict=True))
    assert f"UAR by number of clips of the speaker known beforehand: {points}" in page.alts
    assert any(alt.startswith("Gain in UAR of 8 speakers under enrolled:20") for alt in page.alts)


def test_methods_that_use_no_similar_speakers_have_no_table_of_them(tmp_path, without_rendering):
    run, store = fabricate(tmp_path)
    personalize(run, store, Case(), ("normalize",))
    page = report(run, store)
    assert "What knowing the speaker brings" in page.text
    assert "borrows" not in page.text


def test_seeds_calibration_and_subgroups_are_shown_where_there_are_some(example, tmp_path, without_rendering):
    run, store = fabricate(tmp_path)
    figures = {"n": 96, "accuracy": 0.5123, "uar": 0.4567}
    edit_json(
        run / "metrics.json",
        seeds={"n": 5, "uar": {"mean": 0.612, "sd": 0.0149, "values": []}},
        calibration={"temperature": [1.4], "before": {"ece": 0.251}, "after": {"ece": 0.1}},
        by={"gender": {"female": figures, "": figures}, "number": {str(number): figures for number in range(40)}},
    )
    page = report(run, store)
    for words in (
        "Trained 5 times from different random beginnings: UAR 61.2 % ± 1.5",
        "it would be 25.1.",
        "By gender gender test clips accuracy UAR unknown 96 51.2 % 45.7 % female 96",
        "The 12 with most clips of 40",
    ):
        assert words in page.text, words
        assert words not in example[2].text


def test_leakage_is_described(tmp_path, without_rendering):
    run, store = fabricate(tmp_path)
    nothing_shared = {"clips": 0, "unknown": 0, "example": None}
    clean = {name: nothing_shared for name in ("speaker", "bytes", "audio", "augmented", "sentence")}
    edit_json(run / "metrics.json", leakage={**clean, "duplicates": {"clips": 0, "example": None}})
    page = report(run, store)
    assert "Nothing: no test clip was found to share" in page.text
    assert "Not known" not in page.text
    copies = {"clips": 3, "unknown": 7, "example": ["a/1", "a/2"]}
    edit_json(run / "metrics.json", leakage={**clean, "audio": copies})
    page = report(run, store)
    assert "⚠ Test recordings were also heard in training" in page.text
    assert "3 of 192 test clips sound exactly like a training clip, such as a/1 and a/2." in page.text
    assert "not checked: sound (7 clips)" in page.text
    assert "Nothing:" not in page.text
    edit_json(run / "metrics.json", leakage={**clean, "encoder": {**copies, "validation": 5}})
    page = report(run, store)
    assert (
        "3 of 192 test clips are of somebody from whose clips, and their labels, the encoder has learned" in page.text
    )
    assert "5 clips that chose the epoch and the temperature are among those the encoder has learned from" in page.text
    assert "not checked: training of the encoder (7 clips)" in page.text


def test_a_head_that_predicts_a_number_has_its_own_report(tmp_path):
    run, store = fabricate(tmp_path)
    make_numeric(run, Case())
    test = json.loads((run / "metrics.json").read_text())["test"]
    figures = {"n": 9, "ccc": 0.4321, "mae": 0.25, "rmse": 0.3, "pearson": None}
    seeds = {"n": 3, "ccc": {"mean": 0.8, "sd": 0.01, "values": []}}
    conditions = {
        name: {**figures, "ccc": ccc} for name, ccc in (("enrolled:5", 0.7), ("plain", None), ("unknown", 0.6))
    }
    edit_json(run / "metrics.json", by={"gender": {"male": figures}}, seeds=seeds, conditions=conditions)
    page = report(run, store)
    assert [alt.split()[0] for alt in page.alts] == ["The", "CCC", "Loss", "Histogram", "The"]
    assert "CCC by number of clips of the speaker known beforehand: 0: 0.600, 5: 0.700" in page.alts
    predictions = pd.read_csv(run / "predictions.csv")
    mean_error = (predictions["label"] - predictions["label"].mean()).abs().mean()
    for words in (
        f"CCC {test['ccc']:.3f}",
        f"95 % interval {test['ci95']['ccc'][0]:.3f} to {test['ci95']['ccc'][1]:.3f}",
        f"off by {test['mae']:.2f} on average; always answering with the mean would be off by {mean_error:.2f}",
        f"Pearson correlation {test['pearson']:.3f}",
        "male 9 0.250 0.432",
        "its duration_s , from",
        "CCC 0.800 ± 0.010",
    ):
        assert words in page.text, words
    assert not re.search(r"UAR|accuracy \d|emotions?, even", page.text)


def test_an_ensemble_names_its_members_and_their_encoders(tmp_path, without_rendering):
    run, store = fabricate(tmp_path / "whole")
    for number, model in enumerate(("hubert-tiny", "<b>wavlm"), 1):
        member, _ = fabricate(tmp_path / model, spec=replace(SPEC, model=model))
        shutil.copytree(member, run / "members" / str(number))
    settings = json.loads((run / "run.json").read_text())["settings"]
    members = {"members": ["members/1", "members/2"], "temperature": 1.0}
    edit_json(run / "run.json", folds=[], **members, settings={**settings, "head": "ensemble"})
    page = report(run, store)
    assert "turned into numbers by hubert-tiny and <b>wavlm , which were not trained here" in html.unescape(page.text)
    assert "Members 1 mlp on hubert-tiny 2 mlp on <b>wavlm" in html.unescape(page.text)
    assert "kfold:4 in 4 rounds" in page.text


def test_a_head_that_is_not_trained_in_epochs_has_no_training_curves(tmp_path, without_rendering):
    run, store = fabricate(tmp_path)
    (run / "history.csv").write_text("fold\n")
    folds = json.loads((run / "run.json").read_text())["folds"]
    settings = json.loads((run / "run.json").read_text())["settings"]
    edit_json(
        run / "run.json", settings={**settings, "head": "svm"}, folds=[{**fold, "best_epoch": None} for fold in folds]
    )
    page = report(run, store)
    assert "How it learned" not in page.text
    assert "linear support vector machine" in page.text


def test_vectors_of_another_encoder_are_refused(tmp_path):
    run, _ = fabricate(tmp_path / "a")
    _, other_store = fabricate(tmp_path / "b", spec=replace(SPEC, model="wavlm", digest="d2"))
    with Store(other_store) as opened, pytest.raises(InputError, match="wavlm"):
        write_report(run, opened)
    assert not (run / "report.html").exists()


def test_large_runs_are_sampled_and_stay_small(tmp_path):
    """The run has as many clips and speakers as CREMA-D, and a fold for each speaker."""
    speakers = tuple(f"crema-d/{number}" for number in range(1001, 1092))
    case = Case(
        corpus="crema-d", speakers=speakers, labels=("angry", "disgust", "fear", *LABELS[1:]), clips_each=14, folds=91
    )
    run, store = fabricate(tmp_path, case)
    page = report(run, store)
    assert f"The vectors of {MAX_POINTS} clips" in " ".join(page.alts)
    assert (run / "report.html").stat().st_size < 1_500_000


def test_clips_of_a_single_split_have_their_part(tmp_path, without_rendering):
    run, store = fabricate(tmp_path, protocol="speaker")
    predictions = pd.read_csv(run / "predictions.csv")
    predictions[predictions["fold"] == 1].to_csv(run / "predictions.csv", index=False)
    predictions[predictions["fold"] == 2].to_csv(run / "validation.csv", index=False)
    with Store(store) as opened:
        parts = used_clips(RunResults.load(run), opened)["part"].value_counts()
    assert parts.to_dict() == {"training": 96, "validation": 48, "test": 48}
    assert "dark to pale: training, validation, test" in report(run, store).text


def test_a_registered_plot_is_shown_with_its_description(tmp_path, without_rendering, monkeypatch):
    run, store = fabricate(tmp_path)
    before = report(run, store)
    assert "More plots" not in before.text

    def plot(results, opened, clips):
        alt = f'{len(results.tested)} test clips & {len(opened)} vectors, parts "{clips["part"].unique()[0]}"'
        return Picture("data:image/svg+xml;base64,PHN2Zy8+", alt)

    monkeypatch.setitem(PLOTS, "own", plot)
    monkeypatch.setitem(PLOTS, "without data", lambda *_: None)
    page = report(run, store)
    alt = '192 test clips & 192 vectors, parts "test"'
    assert page.alts == [*before.alts, alt]
    assert page.fetched[-1] == "data:image/svg+xml;base64,PHN2Zy8+"
    section = page.text.partition("More plots")[2]
    assert section.partition("Written by")[0].strip() == alt


def test_the_templates_place_each_plot_of_the_library():
    templates = "".join(path.read_text("utf-8") for path in (files("ser_head.reporting") / "templates").iterdir())
    assert set(re.findall(r'show\("(\w+)"', templates)) == PLACED == set(PLOTS)
