"""Report of a period: the page shows every number of its tables, fetches nothing, escapes names, and stands empty."""

import csv
import itertools
from importlib.resources import files

import numpy as np
import pandas as pd
import pytest

from ser_monitor.events import NO_SPEECH
from ser_monitor.reporting import monitor_report
from ser_monitor.reporting.findings import find_runs
from ser_monitor.reporting.monitor_report import write_monitor_report
from ser_monitor.reporting.report_data import Scope
from ser_monitor.reporting.report_plots import PLOTS
from ser_monitor.reporting.report_tables import TABLES
from ser_monitor.reporting.tables import SHOWN_ROWS
from ser_monitor.reporting.wording import NOT_FOR
from tests.ser_head.reporting.html_parts import HtmlParts
from tests.ser_monitor.reporting.fabricated import (
    HOSTILE,
    FakeTables,
    alerts,
    feedback,
    filled_tables,
    findings,
    no_stretches,
    segments,
    stretches,
    week,
    write_metrics,
)


@pytest.fixture(scope="module")
def everything(tmp_path_factory):
    """Return findings with all that a report can show, and what was written of them."""
    folder = tmp_path_factory.mktemp("report")
    write_metrics(folder / "runs" / "emodb")
    remaining = [stretches()]
    shown = findings(
        run_folders=find_runs(folder / "runs"),
        find_stretches=lambda rows: remaining.pop() if remaining else no_stretches(rows),
    )
    return shown, write_monitor_report(shown, folder / "reports")


@pytest.fixture(autouse=True)
def plots_are_drawn_once(everything, monkeypatch):
    """Draw no plots for reports other than that of `everything`, which take most of the time."""
    monkeypatch.setattr(monitor_report, "draw_plots", lambda shown: {})


@pytest.fixture(scope="module")
def page(everything):
    return HtmlParts(everything[1].page.read_text("utf-8"))


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_table_is_filled_and_stands_beside_the_page(everything):
    _, written = everything
    assert {path.name for path in written.folder.iterdir()} == {"report.html", *(f"{name}.csv" for name in TABLES)}
    for name in TABLES:
        assert rows_of(written.folder / f"{name}.csv"), name


def test_the_page_shows_every_value_of_every_table(everything, page):
    shown, written = everything
    for name, make in TABLES.items():
        table = make(shown)
        rows = rows_of(written.folder / f"{name}.csv")
        assert len(rows) == len(table.frame)
        for row, cells in zip(rows, table.cells(), strict=True):
            assert list(row) == [column.name for column, _ in cells]
            for column, text in cells:
                assert text in page.words, (name, column.name, text)
                if column.is_number and row[column.name]:
                    number = float(text.replace("\N{NARROW NO-BREAK SPACE}", "").removesuffix(" %"))
                    scale = 100 if text.endswith("%") else 1
                    assert number == pytest.approx(scale * float(row[column.name]), abs=0.051), (name, column.name)


def test_csv_files_have_every_digit(everything):
    shown, written = everything
    table = pd.read_csv(written.folder / "trends_day.csv")
    np.testing.assert_array_equal(table["activation"], shown.by_day["activation"])


def test_the_page_fetches_nothing_and_runs_nothing(page):
    assert page.fetched
    assert all(link.startswith("data:image/svg+xml;base64,") for link in page.fetched)
    assert not {"script", "link", "iframe", "form"} & set(page.tags)
    assert "http" not in page.text


def test_names_are_shown_as_they_are(page):
    assert HOSTILE in page.words


def test_every_plot_is_drawn_and_described(page):
    assert len(page.alts) == len(PLOTS) + 1  # and the answers beside those of the test
    assert all(len(alt) > 20 for alt in page.alts)
    assert len(set(page.fetched)) == len(page.fetched)


def test_the_page_says_what_figures_are_not_and_how_far_to_trust_them(page):
    assert all(sentence in page.text for sentence in NOT_FOR)
    assert len(NOT_FOR) == 2
    assert "Article 5(1)(f)" in NOT_FOR[1]
    assert "lie detector" in NOT_FOR[0]


def test_activation_comes_before_emotions(everything, page):
    assert page.text.index("Activation") < page.text.index("Emotions")
    header = TABLES["trends_day"](everything[0]).columns
    assert [column.name for column in header[:2]] == ["day", "activation"]


def test_an_empty_period_has_a_page_that_says_so(tmp_path):
    written = write_monitor_report(findings(FakeTables()), tmp_path)
    page = HtmlParts(written.page.read_text("utf-8"))
    assert "Nothing was heard in this period" in page.text
    assert all(sentence in page.text for sentence in NOT_FOR)
    assert not page.fetched
    assert all(rows_of(written.folder / f"{name}.csv") == [] for name in TABLES)
    assert written.summary["segments"] == 0
    assert "nothing heard" in written.text()


def test_a_period_without_speech_has_a_page(tmp_path):
    rows = segments(num=20)
    scored = [name for name in rows if name[:2] in ("p_", "s_")]
    rows[["activation", "ood_score", *scored]] = np.nan
    shown = findings(FakeTables(rows.assign(label=NO_SPEECH)))
    page = HtmlParts(write_monitor_report(shown, tmp_path).page.read_text("utf-8"))
    assert "nan" not in page.text.lower()
    assert "Mean activation was –" in page.text


@pytest.mark.parametrize("num", [1, 29])
def test_too_few_corrections_are_said_to_be_too_few_and_draw_no_diagram(tmp_path, num):
    rows = segments(num=60)
    shown = findings(FakeTables(rows, corrections=feedback(rows, num=num)))
    page = HtmlParts(write_monitor_report(shown, tmp_path).page.read_text("utf-8"))
    assert f"Too few corrections to say how well it does: {num}; 30 give a first idea." in page.text
    assert page.text.count("Too few corrections to say") == 1
    assert PLOTS["reliability"](shown) is None


def test_long_tables_are_cut_in_the_page_only(tmp_path):
    many = alerts(num=SHOWN_ROWS + 7).assign(raised_at=alerts(num=1)["raised_at"].iloc[0])
    written = write_monitor_report(findings(FakeTables(segments(num=9), many)), tmp_path)
    assert len(rows_of(written.folder / "alerts.csv")) == SHOWN_ROWS + 7
    assert "7 more rows stand in alerts.csv" in HtmlParts(written.page.read_text("utf-8")).text


def test_a_report_takes_the_place_of_the_one_before(tmp_path):
    first = write_monitor_report(findings(FakeTables()), tmp_path)
    (first.folder / "old.csv").write_text("")
    second = write_monitor_report(findings(FakeTables(segments(num=9))), tmp_path)
    assert second.folder == first.folder
    assert not (second.folder / "old.csv").exists()
    assert [path.name for path in tmp_path.iterdir()] == [second.folder.name]


def test_reports_of_different_sources_lie_side_by_side():
    sources = ("hotline/1", "hotline-1", "../../etc", "a" * 300, "", None)
    names = [Scope(week(), source, speaker).name for source, speaker in itertools.product(sources, ("", "anna", None))]
    assert len(set(names)) == len(names)
    assert all("/" not in name and len(name) < 120 for name in names)


def test_only_the_source_and_speaker_that_are_asked_for_count():
    shown = findings(source="desk", speaker="")
    rows = filled_tables().rows
    assert shown.whole["segments"] == ((rows["source"] == "desk") & (rows["speaker"] == "")).sum()
    assert shown.alerts.empty


def test_rules_are_counted_with_what_became_of_their_alerts(everything):
    shown, _ = everything
    table = shown.rules.set_index("rule")
    alerts_of = shown.data.alerts.groupby("rule")
    assert table["alerts"].to_dict() == alerts_of.size().to_dict()
    assert table["acknowledged"].to_dict() == alerts_of["acknowledged_at"].count().to_dict()
    assert table.loc["raised voice", "per_hour"] == pytest.approx(6 / shown.whole["heard_h"])
    lasted = (shown.data.alerts["ended_at"] - shown.data.alerts["began_at"]).dt.total_seconds()
    assert table["lasted_s"].to_dict() == pytest.approx(lasted.groupby(shown.data.alerts["rule"]).median().to_dict())


def test_a_run_that_cannot_be_read_is_named(tmp_path, caplog):
    write_metrics(tmp_path / "emodb")
    (tmp_path / "emodb" / "metrics.json").write_text("{}")
    shown = findings(FakeTables(segments(num=9)), run_folders=find_runs(tmp_path))
    assert shown.drifts == []
    assert shown.runs_without_test == ["emodb"]
    assert "compared with no test" in caplog.text


def test_the_style_of_run_reports_is_used(everything):
    css = (files("ser_head.reporting") / "templates" / "style.css").read_text("utf-8")
    assert css.strip() in everything[1].page.read_text("utf-8")


def test_wide_tables_and_plots_scroll_on_a_narrow_screen(everything):
    text = everything[1].page.read_text("utf-8")
    assert text.count("<table") == text.count('<div class="scroll">\n<table')
    assert text.count("min-width: 36rem") == text.count('<div class="scroll"><img')
