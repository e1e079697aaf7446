"""Random search: its candidates, no influence of test labels, and an ordinary run of the chosen settings at the end."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest

import ser_head
from ser_embed.errors import EXIT_DONE
from ser_embed.store.reader import Store
from ser_embed.tracking.registry import TRACKERS
from ser_head.config.training import TrainConfig
from ser_head.train import main
from ser_head.training.fold_runner import FoldRunner
from ser_head.training.plan import choose_clips, make_plan
from ser_head.training.search import SPACE, candidates, searched_settings
from tests.ser_embed.tracking.recorder import Recorder

CANDIDATES = 2


def test_the_settings_given_are_tried_first_and_the_rest_is_drawn_from_the_space():
    config = TrainConfig(search=30, protocol="kfold:3", dropout=0.25, seed=4)
    first, *drawn = candidates(config)
    assert first == dataclasses.replace(config, search=0)
    assert len(drawn) == 29
    for candidate in drawn:
        assert dataclasses.replace(candidate, **searched_settings(first)) == first  # nothing else is varied
        for name in ("learning_rate", "dropout", "weight_decay", "noise", "label_smoothing"):
            _, low, high = SPACE[name]
            assert low <= getattr(candidate, name) <= high
        assert candidate.batch_size in SPACE["batch_size"]
    for name in SPACE:
        assert len({getattr(candidate, name) for candidate in drawn}) > 1


def test_a_seed_repeats_its_candidates_and_a_longer_search_appends_to_them():
    def draws(number, seed):
        return [searched_settings(config) for config in candidates(TrainConfig(search=number, seed=seed))]

    assert draws(8, seed=1)[:5] == draws(5, seed=1)
    assert draws(5, seed=1)[1:] != draws(5, seed=2)[1:]
    assert len(draws(0, seed=1)) == 1  # without a search there are the settings themselves


def test_dropout_is_not_searched_where_there_is_nothing_to_drop():
    assert set(searched_settings(TrainConfig(head="linear"))) == set(SPACE) - {"dropout"}
    assert len({candidate.dropout for candidate in candidates(TrainConfig(head="linear", search=9))}) == 1


def test_settings_are_drawn_from_their_distributions():
    drawn = candidates(TrainConfig(search=400))[1:]
    medians = {"dropout": 0.35, "noise": 0.5, "learning_rate": 1e-3, "weight_decay": 0.316}  # log-uniform: geometric
    for name, median in medians.items():
        assert np.median([getattr(candidate, name) for candidate in drawn]) == pytest.approx(median, rel=0.3)
    sizes = [candidate.batch_size for candidate in drawn]
    assert {size: sizes.count(size) > 70 for size in sizes} == dict.fromkeys(SPACE["batch_size"], True)


def test_the_labels_of_test_clips_have_no_influence_in_any_fold(make_store):
    """With several folds, test clips of one fold are validation clips of another."""
    settings = TrainConfig(protocol="kfold:3", search=CANDIDATES, epochs=2, refit="never")
    with Store(make_store(signal=1.0)) as store:
        data = choose_clips(store, settings)
        splits = make_plan(data, settings).splits
        runner = FoldRunner(data, settings, 6)
        targets = data.targets
        for split in splits:

            def search_with_wrong_labels(clips, split=split):
                data.targets = targets.copy()
                data.targets[clips] = (targets[clips] + 1) % len(data.labels)
                return runner.run(split, 0, None, lambda _: None).candidates

            expected = search_with_wrong_labels([])
            pd.testing.assert_frame_equal(search_with_wrong_labels(split.test), expected)
            assert not search_with_wrong_labels(split.validation).equals(expected)


def test_a_search_is_recorded_and_leaves_an_ordinary_run_of_what_it_chose(make_store, tmp_path, capsys, monkeypatch):
    recorder = Recorder()
    monkeypatch.setitem(TRACKERS, "mine", recorder.spec)
    store = make_store(signal=1.0, takes=8)
    flags = ["--store", str(store), "--epochs", "4", "--search", str(CANDIDATES), "--refit", "always", "--json"]
    assert main([*flags, "--out", str(tmp_path / "searched"), "--track", "mine"]) == EXIT_DONE
    out, err = capsys.readouterr()
    metrics = json.loads(out)
    assert err == "tracked by mine: show tracking/mine\n"

    table = pd.read_csv(tmp_path / "searched" / "search.csv")
    figures = ["epoch", "log_loss", "uar"]
    assert table.columns.tolist() == ["fold", "candidate", *SPACE, *figures, "chosen"]
    assert table["candidate"].tolist() == list(range(1, CANDIDATES + 1))
    assert table["log_loss"].idxmin() == table.index[table["chosen"]].item()
    assert table["uar"][table["chosen"]].item() == pytest.approx(metrics["validation"]["uar"])

    about = json.loads((tmp_path / "searched" / "run.json").read_text())
    chosen = about["folds"][0]["chosen"]
    assert about["settings"]["search"] == CANDIDATES
    assert table.loc[table["chosen"], list(chosen)].iloc[0].to_dict() == chosen

    # Every candidate has curves of its own; training the best again has none.
    names = [f"fold_1/candidate_{number}" for number in range(1, CANDIDATES + 1)]
    assert list(dict.fromkeys(point.series for point in recorder.points)) == names
    curve = [point for point in recorder.points if point.series == names[table["chosen"].argmax()]]
    history = pd.read_csv(tmp_path / "searched" / "history.csv").drop(columns="fold")
    rows = pd.DataFrame([{point.axis: point.step, **point.values} for point in curve])
    pd.testing.assert_frame_equal(rows[history.columns], history)

    alone = ser_head.train(store=store, epochs=4, refit="always", **chosen, out=tmp_path / "alone")
    assert {**alone.metrics, "run": metrics["run"]} == metrics
