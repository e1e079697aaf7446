"""Scoring of predictions: the figures of a run computed again from its table, exactly; damaged tables are refused."""

import errno
import json

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import cohen_kappa_score

import ser_head
from ser_embed.errors import EXIT_BAD_INPUT, EXIT_DONE, InputError
from ser_head.evaluation.groups import with_groups
from ser_head.evaluation.metrics import METRICS, Metric, scored_figures
from ser_head.evaluation.regression import numeric_figures
from ser_head.score import main
from tests.ser_head.conftest import Recipe, write_store

LABELS = ("sad", "angry", "happy")  # not sorted: classes keep the order of the columns


def table_of(num_clips=60, seed=0):
    """Return predictions under two conditions, the second for every second clip."""
    random = np.random.default_rng(seed)
    probabilities = random.dirichlet(np.full(len(LABELS), 0.7), num_clips).astype(np.float32)
    table = pd.DataFrame(
        {
            "utterance_id": [f"c/{number}" for number in range(num_clips)],
            "speaker": [f"c/{number % 5}" for number in range(num_clips)],
            "label": random.choice(LABELS, num_clips),
            "prediction": np.array(LABELS)[probabilities.argmax(axis=1)],
        }
    )
    for column, label in enumerate(LABELS):
        table[f"p_{label}"] = probabilities[:, column]
    table = table.assign(fold=1, condition="unknown")
    enrolled = table[::2].assign(condition="enrolled:5", prediction="sad")
    return pd.concat([table, enrolled], ignore_index=True)


@pytest.fixture
def predictions(tmp_path):
    path = tmp_path / "predictions.csv"
    table = table_of()
    clips = table[["utterance_id"]].drop_duplicates()
    clips = clips.assign(code=np.where(np.arange(len(clips)) % 3, "07", ""), age=31.5)
    with_groups(table, clips, ["code", "age"]).to_csv(path, index=False)
    return path


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"protocol": "kfold:3", "by": ("corpus", "speaker")}, {"by"}),
        ({"protocol": "random", "personalized": True}, {"gains"}),
    ],
    ids=["folds", "personalised"],
)
def test_metrics_json_is_computed_again_from_predictions_csv(tmp_path, changes, parts):
    store = write_store(tmp_path / "tiny.h5", Recipe(voice=1.0))
    trained = ser_head.train(store=store, epochs=2, out=tmp_path / "run", **changes)
    metrics = json.loads((trained.run / "metrics.json").read_text("utf-8"))
    scored = ser_head.score(trained.run / "predictions.csv")
    assert set(scored) == {"labels", "n_test", "test", "calibration", "conditions"} | parts
    assert scored == {name: metrics[name] for name in scored}
    validation = ser_head.score(trained.run / "validation.csv")
    assert validation["conditions"]["validation"] == metrics["validation"]


def test_a_run_folder_stands_for_its_predictions(predictions):
    assert predictions.name == "predictions.csv"
    assert ser_head.score(predictions.parent) == ser_head.score(predictions)


def test_a_table_without_read_permission_is_refused(predictions, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied", str(predictions))

    monkeypatch.setattr(pd, "read_csv", refuse)
    with pytest.raises(InputError, match=f"expected a table of predictions at {predictions} \\(Permission denied\\)$"):
        ser_head.score(predictions)


def test_the_groups_chosen_in_training_are_reported_again(predictions):
    document = ser_head.score(predictions)
    assert document["labels"] == list(LABELS)
    assert (document["n_test"], document["conditions"]["enrolled:5"]["n"]) == (60, 30)
    assert {column: list(groups) for column, groups in document["by"].items()} == {"code": ["", "07"], "age": ["31.5"]}
    assert document["by"]["age"]["31.5"]["uar"] == document["test"]["uar"]
    assert document == {"labels": list(LABELS), **scored_figures(table_of(), LABELS), "by": document["by"]}


def test_other_groups_can_be_chosen(predictions):
    assert list(ser_head.score(predictions, by="speaker")["by"]["speaker"]) == [f"c/{number}" for number in range(5)]
    assert "by" not in ser_head.score(predictions, by=())
    with pytest.raises(InputError, match=r"\(code, age, speaker, label, fold, condition\), not 'gender'"):
        ser_head.score(predictions, by=["gender"])


def test_numbers_are_scored_as_numbers(tmp_path):
    random = np.random.default_rng(0)
    table = table_of()[["utterance_id", "speaker", "fold", "condition"]][:60]
    table = table.assign(label=random.normal(size=60), prediction=random.normal(size=60).astype(np.float32))
    table.to_csv(tmp_path / "predictions.csv", index=False)
    assert ser_head.score(tmp_path / "predictions.csv")["test"] == numeric_figures(table)


def test_the_command_prints_a_table_or_one_object(predictions, capsys):
    assert main([str(predictions), "--by", "speaker", "code"]) == EXIT_DONE
    lines = capsys.readouterr().out.splitlines()
    titles = ["", "test", "enrolled:5", "unknown", *(f"speaker c/{number}" for number in range(5))]
    titles += ["code unknown", "code 07"]
    assert [line[:14].strip() for line in lines] == titles
    test = ser_head.score(predictions)["test"]
    low, high = test["ci95"]["uar"]
    assert f"{test['uar']:.3f} [{low:.3f}, {high:.3f}]" in lines[1]
    assert main([str(predictions), "--json"]) == EXIT_DONE
    assert json.loads(capsys.readouterr().out) == ser_head.score(predictions)


def test_a_metric_registered_from_outside_is_in_metrics_json_and_in_the_table(tmp_path, monkeypatch, capsys):
    def cohens_kappa(targets, probabilities, predictions):
        return float(cohen_kappa_score(targets, predictions, labels=np.arange(probabilities.shape[1])))

    monkeypatch.setitem(METRICS, "kappa", Metric("kappa", "Cohen's kappa", cohens_kappa))
    store = write_store(tmp_path / "tiny.h5", Recipe())
    run = ser_head.train(store=store, head="lda", protocol="kfold:3", out=tmp_path / "run").run
    metrics = json.loads((run / "metrics.json").read_text("utf-8"))
    table = pd.read_csv(run / "predictions.csv")
    assert metrics["test"]["kappa"] == pytest.approx(cohen_kappa_score(table["label"], table["prediction"]))
    assert set(metrics["conditions"]["unknown"]) == set(metrics["validation"]) == set(metrics["test"])
    assert main([str(run)]) == EXIT_DONE
    heading, test_line, *_ = capsys.readouterr().out.splitlines()
    assert heading.endswith("  Cohen's kappa")
    assert test_line[heading.index("Cohen's kappa") :] == f"{metrics['test']['kappa']:.3f}"


def without(column):
    return lambda table: table.drop(columns=column)


def with_value(column, value):
    return lambda table: table.astype({column: object}).assign(**{column: [value, *table[column][1:]]})


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (without("label"), "has no column label"),
        (lambda table: table[:0], "expected predictions of clips in .*, found none"),
        (
            with_value("label", "bored"),
            "expected one of the classes sad, angry, happy in column label .*, found 'bored'",
        ),
        (with_value("prediction", ""), "in column prediction of .*, found ''"),
        (with_value("p_sad", "much"), "expected probabilities in the p_ columns of .*much"),
        (with_value("p_sad", ""), "expected probabilities"),
        (with_value("p_sad", 7.5), "expected probabilities in the p_ columns of .*numbers from 0 to 1"),
        (with_value("p_sad", 0.999), "expected probabilities that add up to 1"),
        (without(["p_sad", "p_angry", "p_happy"]), "expected a number, as there are no p_ columns, in column label"),
    ],
)
def test_a_damaged_table_is_one_line_and_exit_code_2(tmp_path, capsys, spoil, message):
    path = tmp_path / "predictions.csv"
    spoil(table_of()).to_csv(path, index=False)
    with pytest.raises(InputError, match=message):
        ser_head.score(path)
    assert main([str(path)]) == EXIT_BAD_INPUT
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.count("\n") == 1
    assert str(path) in output.err


def test_no_such_file_is_exit_code_2(tmp_path, capsys):
    assert main([str(tmp_path / "none.csv")]) == EXIT_BAD_INPUT
    assert "expected a table of predictions at" in capsys.readouterr().err
