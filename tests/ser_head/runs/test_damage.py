"""Damaged and edited runs: whatever happened to a file, one line names it, and no answer changes in silence."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from ser_embed.errors import InputError
from ser_embed.store.reader import Store
from ser_head.compare import main as compare
from ser_head.config.training import TrainConfig
from ser_head.enroll import main as enroll
from ser_head.runs.results import RunResults
from ser_head.runs.run import Run
from ser_head.score import main as score
from ser_head.training.experiment import run_experiment
from tests.ser_head.conftest import Recipe, write_store

FILES = ["run.json", "metrics.json", "predictions.csv", "validation.csv", "history.csv", "fold.npz", "head.skops"]


@pytest.fixture(scope="module")
def original(tmp_path_factory) -> tuple[Path, np.ndarray]:
    """Return a run, which tests must not change, and vectors to score."""
    folder = tmp_path_factory.mktemp("original")
    store = write_store(folder / "store.h5", Recipe(voice=1.0))
    config = TrainConfig(store=store, head="lda", personalized=("normalize", "calibrate"), out=folder / "run")
    with Store(store) as opened:
        return run_experiment(config), opened.read(range(5))


@pytest.fixture
def run(original, tmp_path) -> Path:
    """Return a copy of the run."""
    return shutil.copytree(original[0], tmp_path / "run")


@pytest.fixture
def earlier(run) -> Path:
    """Return a copy of the run as an earlier version wrote it, without digests."""
    edit(run, lambda about: [about.pop(key, None) for key in ("digest", "digests")])
    return run


def edit(run, change):
    about = json.loads((run / "run.json").read_text("utf-8"))
    change(about)
    (run / "run.json").write_text(json.dumps(about), "utf-8")


def use(run):
    """Read all that commands read of a run, and score with it."""
    loaded, results = Run.load(run), RunResults.load(run)
    return loaded.probabilities(np.zeros((1, 1, 8), np.float32)), results


def swap_classes(about):
    about["labels"] = about["labels"][::-1]


def set_fold(**values):
    return lambda about: about["folds"][0].update(values)


def set_top(**values):
    return lambda about: about.update(values)


EDITS = [
    swap_classes,
    set_top(labels=["angry", "angry", "sad"]),
    set_top(labels=["angry", "sad"]),
    set_top(labels=[1, 2, 3]),
    set_top(labels={}),
    set_top(labels=[]),
    set_top(folds=[]),
    set_top(folds=[[]]),
    set_top(folds={"1": {}}),
    set_top(layers=[]),
    set_top(layers=["9"]),
    set_top(layers="0"),
    set_top(spec={}),
    set_top(spec=None),
    set_top(settings=[]),
    set_top(settings={"head": 7}),
    set_top(settings={"protocol": 7}),
    set_top(members=["x"]),
    set_top(members="x"),
    lambda about: about["spec"].update(width=-8),
    lambda about: about["spec"].update(layers=["0", "0"]),
    lambda about: about["settings"].update(head="ensemble"),
    set_fold(temperature=0, calibration=["temperature", 0]),
    set_fold(temperature=float("nan"), calibration=["temperature", float("nan")]),
    set_fold(calibration=["temperature", -1.0]),
    set_fold(calibration=["temperature"]),
    set_fold(calibration=["temperature", "hot"]),
    set_fold(calibration=["other", 1.0]),
    set_fold(calibration=None),
    set_fold(head="../run/head.skops"),
    set_fold(head="head.exe"),
    set_fold(head=7),
    set_fold(head="head\0.skops"),
    set_fold(known=[]),
    set_fold(known="nobody"),
    set_fold(known=[1, 2, 3]),
    set_fold(numbers=[0.0, 1.0]),
    set_fold(borrowing={"k": 0, "alpha": 1.0, "tau": None}),
    set_fold(borrowing=["k"]),
    set_fold(table_rows="many"),
    set_fold(corpora={"demo": 1}),
    set_fold(speakers=["a"]),
    set_fold(best_epoch="last"),
    set_fold(layer_weights=[1.0, 2.0]),
    set_fold(fold=None),
]


@pytest.mark.parametrize("change", EDITS)
def test_an_edit_of_the_settings_is_told(run, change):
    edit(run, change)
    with pytest.raises(InputError, match=r"was changed since it was written: run\.json|run\.json cannot be used"):
        use(run)


@pytest.mark.parametrize("change", EDITS)
def test_settings_without_digests_have_to_make_sense(earlier, change):
    edit(earlier, change)
    with pytest.raises(InputError, match=r"the run .*is damaged|predictions\.csv"):
        use(earlier)


def test_a_run_without_digests_is_read(earlier, original):
    expected = Run.load(original[0]).probabilities(original[1])
    np.testing.assert_array_equal(Run.load(earlier).probabilities(original[1]), expected)


@pytest.mark.parametrize("key", ["digest", "digests"])
def test_a_run_cannot_lose_one_of_its_digests(run, key):
    edit(run, lambda about: about.pop(key))
    with pytest.raises(InputError, match="run.json"):
        Run.load(run)


@pytest.mark.parametrize("name", [name for name in FILES if name != "run.json"])
def test_a_flipped_bit_is_told_with_the_file(run, name):
    data = bytearray((run / name).read_bytes())
    data[len(data) // 2] ^= 1
    (run / name).write_bytes(data)
    with pytest.raises(InputError, match=rf"the run .* was changed since it was written: {name}"):
        use(run)


@pytest.mark.parametrize("name", FILES)
def test_a_file_in_another_ones_place_is_told(run, name):
    for other in FILES:
        if other != name:
            shutil.copy(run / other, run / "kept")
            shutil.copy(run / name, run / other)
            with pytest.raises(InputError, match=r"was changed since it was written|cannot be used"):
                use(run)
            shutil.move(run / "kept", run / other)


def remove(path):
    path.unlink()


def replace_by_folder(path):
    path.unlink()
    path.mkdir()


def replace_by_pipe(path):
    path.unlink()
    os.mkfifo(path)


def link_outside(path):
    shutil.move(path, path.parent.parent / path.name)
    path.symlink_to(path.parent.parent / path.name)


def set_bytes(data):
    return lambda path: path.write_bytes(data)


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


DAMAGE = [
    remove,
    replace_by_folder,
    replace_by_pipe,
    truncate,
    set_bytes(b""),
    set_bytes(b"PK"),
    set_bytes(b"\0" * 300),
    set_bytes(b"\xff\xfe{\0}\0"),
    set_bytes(b"a,b\n1,2,3\n"),
    set_bytes(b"[" * 200_000),
]


@pytest.mark.parametrize("with_digests", [True, False])
@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("name", FILES)
def test_damage_is_one_line_that_names_the_file(run, request, name, damage, with_digests):
    if damage is replace_by_pipe and not hasattr(os, "mkfifo"):
        pytest.skip("this system has no named pipes")
    is_optional = name in ("validation.csv", "history.csv") and damage is remove
    if is_optional and not with_digests:
        pytest.skip("earlier versions wrote runs without it")
    if not with_digests:
        request.getfixturevalue("earlier")
    damage(run / name)
    with pytest.raises(InputError, match=name.replace(".", r"\.")) as raised:
        use(run)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", ["head.skops", "fold.npz"])
def test_a_link_that_leads_out_is_refused(run, name):
    link_outside(run / name)
    with pytest.raises(InputError, match=name):
        use(run)


@pytest.mark.parametrize("name", ["metrics.json", "predictions.csv", "run.json"])
def test_commands_say_so_and_exit_with_2(run, name, capsys):
    (run / name).write_bytes((run / name).read_bytes().replace(b"0.", b"1.", 1))
    commands = {
        "metrics.json": [(compare, [str(run)])],
        "predictions.csv": [(compare, [str(run)]), (score, [str(run)])],
        "run.json": [(compare, [str(run)]), (score, [str(run)]), (enroll, ["--run", str(run), "--list"])],
    }
    for main, arguments in commands[name]:
        assert main(arguments) == 2
        out, err = capsys.readouterr()
        assert (out, err.count("\n")) == ("", 1)
        assert f"was changed since it was written: {name}" in err


def test_a_table_by_its_own_name_is_scored_as_it_is(run, capsys):
    """An edited table is for its reader to judge; only a run promises what it was written with."""
    (run / "predictions.csv").write_text((run / "predictions.csv").read_text().replace("unknown", "other"))
    assert score([str(run)]) == 2
    assert score([str(run / "predictions.csv")]) == 0


def spoil_metrics(change):
    def spoil(run):
        metrics = json.loads((run / "metrics.json").read_text("utf-8"))
        change(metrics)
        (run / "metrics.json").write_text(json.dumps(metrics), "utf-8")

    return spoil


def spoil_table(name, old, new):
    def spoil(run):
        text = (run / name).read_text("utf-8")
        assert old in text
        (run / name).write_text(text.replace(old, new, 1), "utf-8")

    return spoil


@pytest.mark.parametrize(
    "spoil",
    [
        spoil_metrics(lambda metrics: metrics.update(test=[])),
        spoil_metrics(lambda metrics: metrics.update(test=7)),
        spoil_metrics(lambda metrics: metrics["test"].update(uar="high")),
        spoil_metrics(lambda metrics: metrics["test"].update(uar=float("nan"))),
        spoil_metrics(lambda metrics: metrics["test"].update(ci95=[0, 1])),
        spoil_metrics(lambda metrics: metrics["test"].update(ci95={"uar": [0]})),
        spoil_metrics(lambda metrics: metrics.update(protocol=None)),
        spoil_metrics(lambda metrics: metrics.update(labels=metrics["labels"][::-1])),
        spoil_metrics(lambda metrics: metrics.update(conditions=3)),
        spoil_table("predictions.csv", "p_angry", "p_bored"),
        spoil_table("predictions.csv", "demo/", '"demo/'),
        spoil_table("predictions.csv", ",unknown", ",unknown,more"),
        spoil_table("predictions.csv", ",unknown", ",x\0"),
        spoil_table("predictions.csv", ",1,unknown", ",one,unknown"),
    ],
)
def test_results_without_digests_have_to_make_sense(earlier, spoil, capsys):
    spoil(earlier)
    assert compare([str(earlier)]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert "metrics.json" in err or "predictions.csv" in err


class TestEnsemble:
    """The members of an ensemble are part of it."""

    @pytest.fixture
    def ensemble(self, original, tmp_path) -> Path:
        config = TrainConfig(head="ensemble", members=(original[0], original[0]), out=tmp_path / "both")
        return run_experiment(config)

    def test_it_is_read(self, ensemble):
        assert len(Run.load(ensemble).members) == 2

    @pytest.mark.parametrize("name", FILES)
    def test_a_member_that_was_changed_is_told(self, ensemble, name):
        path = ensemble / "members" / "2" / name
        path.write_bytes(path.read_bytes() + b" ")
        with pytest.raises(InputError, match=f"was changed since it was written: members/2/{name}"):
            _ = Run.load(ensemble).members

    @pytest.mark.parametrize("members", [["."], ["members/1", ".."], ["/"], ["none"], [7], [], ["members"]])
    def test_members_are_runs_inside_it(self, ensemble, members):
        def change(about):
            about["members"] = members
            del about["digest"], about["digests"]

        edit(ensemble, change)
        with pytest.raises(InputError):
            _ = Run.load(ensemble).members

    @pytest.mark.parametrize("temperature", [0, -1, None, "hot"])
    def test_its_temperature_is_above_0(self, ensemble, temperature):
        def change(about):
            about["temperature"] = temperature
            del about["digest"], about["digests"]

        edit(ensemble, change)
        with pytest.raises(InputError, match="temperature"):
            Run.load(ensemble)
