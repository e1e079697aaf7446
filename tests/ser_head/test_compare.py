"""Comparison of runs: the paired bootstrap against an exact oracle, the table, the output formats, the command."""

import itertools
import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import balanced_accuracy_score

import ser_head
from ser_embed.errors import InputError
from ser_head.compare import main
from ser_head.evaluation.significance import paired_difference
from ser_head.reporting.text import count, decimal, p_value, percent, signed
from tests.ser_head.fabricated import Case, edit_json, fabricate
from tests.ser_head.reporting.html_parts import HtmlParts

HEADER = "utterance_id,speaker,label,prediction,fold,condition\n"


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Return three runs on the same clips, worst first."""
    folder = tmp_path_factory.mktemp("runs")
    folders = {}
    for name, skill in (("weak", 0.5), ("strong", 3.0), ("middling", 1.5)):
        run, _ = fabricate(folder / name, skill=skill)
        folders[name] = run.rename(folder / f"{name}-run")
    return folders


def clips(seed, speakers=3, clips_per_speaker=4, skill=0.5):
    """Return predictions of a small test set with two classes."""
    random = np.random.default_rng(seed)
    label = np.array(["happy", "sad"])[np.arange(speakers * clips_per_speaker) % 2]
    correct = random.random(len(label)) < skill
    wrong_label = np.where(label == "sad", "happy", "sad")
    return pd.DataFrame(
        {
            "utterance_id": [f"c/{number}" for number in range(len(label))],
            "speaker": np.repeat([f"s{number}" for number in range(speakers)], clips_per_speaker),
            "label": label,
            "prediction": np.where(correct, label, wrong_label),
        }
    )


def mean_recall(table, rows):
    """Return the UAR of these rows, computed class by class."""
    label, prediction = table["label"].to_numpy()[rows], table["prediction"].to_numpy()[rows]
    return np.mean([(prediction[label == name] == name).mean() for name in sorted(set(label))])


def every_resample(first, second):
    """Return the differences in UAR of all possible draws of the speakers: the exact bootstrap distribution."""
    speakers = [np.flatnonzero(first["speaker"] == name) for name in first["speaker"].unique()]
    draws = [np.concatenate(draw) for draw in itertools.product(speakers, repeat=len(speakers))]
    return np.array([mean_recall(first, rows) - mean_recall(second, rows) for rows in draws])


@pytest.mark.parametrize("seed", range(4))
def test_bootstrap_agrees_with_drawing_every_resample(seed):
    first, second = clips(seed, speakers=4, skill=0.8), clips(seed + 100, speakers=4, skill=0.5)
    exact = every_resample(first, second)
    paired = paired_difference(first, second, resamples=40_000)
    uars = [balanced_accuracy_score(table["label"], table["prediction"]) for table in (first, second)]
    assert paired.uar == pytest.approx(uars[0] - uars[1], abs=1e-12)
    # The exact distribution is discrete, so its quantiles are only known to lie between neighbours.
    assert np.quantile(exact, 0.02) - 1e-9 <= paired.low <= np.quantile(exact, 0.03) + 1e-9
    assert np.quantile(exact, 0.97) - 1e-9 <= paired.high <= np.quantile(exact, 0.98) + 1e-9
    tail = min((exact < 1e-9).mean(), (exact > -1e-9).mean())
    assert paired.p_value == pytest.approx(min(1, 2 * tail), abs=0.01)
    assert (paired.num_clips, paired.num_speakers) == (16, 4)


def test_identical_runs_do_not_differ():
    table = clips(0)
    paired = paired_difference(table, table.sample(frac=1, random_state=1))
    assert (paired.uar, paired.low, paired.high, paired.p_value) == (0, 0, 0, 1)


def test_swapping_the_runs_negates_the_difference():
    first, second = clips(1, speakers=6, skill=0.9), clips(2, speakers=6, skill=0.4)
    forward, backward = paired_difference(first, second), paired_difference(second, first)
    assert forward.uar == -backward.uar > 0
    assert (forward.low, forward.high) == pytest.approx((-backward.high, -backward.low))
    assert forward.p_value == pytest.approx(backward.p_value)


def test_runs_of_equal_skill_rarely_differ_significantly():
    """The difference of runs of equal skill is significant at p < 0.05 in about one of twenty cases."""
    pairs = [(clips(seed, 12, 10), clips(seed + 1000, 12, 10)) for seed in range(50)]
    significant = [paired_difference(*pair, resamples=500).p_value < 0.05 for pair in pairs]
    assert sum(significant) <= 7


def test_a_clip_of_an_unknown_speaker_counts_by_itself():
    first, second = (clips(seed, speakers=3).assign(speaker="") for seed in (1, 2))
    assert paired_difference(first, second).num_speakers == len(first)


def test_figures_are_formatted_for_tables():
    assert [p_value(value) for value in (None, 0.0002, 0.04)] == ["–", "<0.001", "0.040"]
    assert (percent(0.1234), decimal(None), signed(0.5), count(7442)) == ("12.3 %", "–", "+0.500", "7\u202f442")


def test_only_shared_clips_are_paired_and_one_speaker_gives_no_interval():
    first, second = clips(0), clips(5)
    paired = paired_difference(first, second[second["speaker"] == "s1"])
    assert (paired.num_clips, paired.num_speakers) == (4, 1)
    assert (paired.low, paired.high, paired.p_value) == (None, None, None)
    assert paired_difference(first, second.assign(utterance_id="d/" + second["utterance_id"])) is None
    assert paired_difference(first, second.assign(label=second["label"].replace("sad", "angry"))) is None


def test_table_is_sorted_by_uar_and_compares_with_the_best(runs):
    comparison = ser_head.compare(list(runs.values()))
    table = comparison.table
    assert table["run"].tolist() == ["strong-run", "middling-run", "weak-run"]
    assert table["uar"].is_monotonic_decreasing
    assert table["difference"].iloc[0] is None
    assert table["difference"].iloc[2] == pytest.approx(table["uar"].iloc[2] - table["uar"].iloc[0])
    assert table["p_value"].iloc[2] < 0.01
    assert table["shared_clips"].iloc[1] == table["n_test"].iloc[1] == 192
    assert table[["corpora", "encoder", "head", "protocol"]].iloc[0].tolist() == [
        "ravdess", "hubert-tiny", "mlp", "kfold:4",
    ]  # fmt: skip
    assert comparison.warnings == ()


def test_reasons_not_to_compare_are_named(runs, tmp_path):
    other_corpus, _ = fabricate(
        tmp_path, Case(corpus="emodb", speakers=("emodb/03", "emodb/08"), protocol="random", disjoint=False)
    )
    comparison = ser_head.compare([runs["weak"], other_corpus])
    text = "\n".join(comparison.warnings)
    assert "different clips" in text
    assert "in all of them: 0" in text
    assert "differ in protocol" in text
    assert "kept out of training" in text
    assert comparison.table["shared_clips"].tolist() == [None, None]


def test_runs_of_one_name_are_told_apart_by_their_paths(tmp_path):
    paths = [fabricate(tmp_path / name)[0] for name in ("a", "b")]
    assert ser_head.compare(paths).table["run"].tolist() == [str(path) for path in paths]


@pytest.mark.parametrize("suffix", [".html", ".csv", ".json", ".md", ".png"])
def test_output_by_suffix(runs, tmp_path, suffix):
    path = tmp_path / "new" / f"comparison{suffix}"
    comparison = ser_head.compare([runs["weak"], runs["strong"]], output=path)
    content = path.read_bytes()
    if suffix == ".png":
        assert content.startswith(b"\x89PNG")
    elif suffix == ".csv":
        assert pd.read_csv(path)["uar"].tolist() == pytest.approx(comparison.table["uar"].tolist())
    elif suffix == ".json":
        assert json.loads(content) == comparison.to_json()
    else:
        assert b"strong-run" in content
        assert content.index(b"strong-run") < content.index(b"weak-run")
        assert suffix == ".md" or b'src="data:image/svg+xml;base64,' in content


def test_a_notebook_shows_the_chart_and_the_table(runs, tmp_path):
    comparison = ser_head.compare([runs["weak"], runs["strong"], fabricate(tmp_path, protocol="random")[0]])
    fragment, page = HtmlParts(comparison._repr_html_()), HtmlParts(comparison.page())
    assert not {"html", "head", "body", "title"} & set(fragment.tags)
    assert fragment.fetched == page.fetched
    assert fragment.fetched[0].startswith("data:image/svg+xml;base64,")
    assert fragment.alts == ["UAR of each run with its 95 % interval, best first"]
    assert fragment.text.strip() == page.text.partition("3 runs compared ")[2].strip()
    assert "strong-run" in fragment.text
    assert "the runs differ in protocol" in fragment.text


def test_unknown_suffix_writes_nothing(runs, tmp_path):
    with pytest.raises(InputError, match=r"ending in \.html, \.csv, .* found '.*x\.doc'"):
        ser_head.compare([runs["weak"]], output=tmp_path / "x.doc")
    assert not list(tmp_path.iterdir())


def test_an_output_that_cannot_be_written_is_refused_before_runs_are_read(tmp_path, capsys):
    (tmp_path / "x.csv").mkdir()
    assert main(["no run", "--output", str(tmp_path / "x.csv")]) == 2
    assert capsys.readouterr() == ("", f"error: cannot write to {tmp_path / 'x.csv'}: Is a directory\n")


def test_command_prints_a_table_and_warnings(runs, tmp_path, capsys):
    edit_json((random_run := fabricate(tmp_path)[0]) / "metrics.json", protocol="random")
    assert main([str(runs["weak"]), str(random_run)]) == 0
    printed = capsys.readouterr()
    assert len(printed.out.splitlines()) == 3
    assert "warning: the runs differ in protocol" in printed.err


def test_command_prints_one_json_object(runs, capsys):
    assert main([str(runs["weak"]), str(runs["strong"]), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [row["run"] for row in document["runs"]] == ["strong-run", "weak-run"]


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (lambda run: (run / "run.json").unlink(), "expected a run folder with a run.json"),
        (lambda run: (run / "metrics.json").unlink(), "is damaged: metrics.json is missing"),
        (lambda run: (run / "metrics.json").write_text("{"), "expected the figures of a run at"),
        (lambda run: (run / "metrics.json").write_text("[]"), "has no protocol, speaker_disjoint, labels, test"),
        (lambda run: edit_json(run / "metrics.json", labels=None), "has no labels"),
        (lambda run: edit_json(run / "metrics.json", test={"accuracy": 1}), "has no test.uar"),
        (lambda run: (run / "predictions.csv").unlink(), "is damaged: predictions.csv is missing"),
        (lambda run: (run / "predictions.csv").write_text("a,b\n1,2\n"), "has no column utterance_id, speaker"),
        (lambda run: (run / "predictions.csv").write_text(HEADER), "expected predictions of clips in"),
        (lambda run: (run / "history.csv").write_text(""), "expected a table of epochs at"),
    ],
)
def test_bad_run_folder_is_one_line_and_exit_2(tmp_path, capsys, break_it, message):
    run, _ = fabricate(tmp_path)
    break_it(run)
    assert main([str(run)]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert str(run) in error
    assert len(error.splitlines()) == 1


def test_no_such_folder_is_exit_2(tmp_path, capsys):
    assert main([str(tmp_path / "none")]) == 2
    assert "expected a run folder" in capsys.readouterr().err


def test_help_loads_nothing_heavy():
    code = "import sys, ser_head.compare as c\ntry: c.main(['--help'])\nexcept SystemExit: pass\n"
    code += "sys.exit(any(name in sys.modules for name in ('pandas', 'matplotlib', 'sklearn', 'jinja2')))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "--output" in result.stdout
