"""Presets: what the systems reported, whatever the defaults become, and that what is asked for wins."""

import dataclasses
import json

import pytest

from ser_embed.errors import EXIT_BAD_INPUT, EXIT_DONE, InputError
from ser_head.config.presets import PRESETS, with_preset
from ser_head.config.training import TrainConfig
from ser_head.train import build_parser, main
from tests.ser_head.conftest import Recipe, write_store

# What is trained on, how often, and where it goes. A new setting takes its place here or in every preset.
NOT_REPORTED = {"preset", "store", "corpus", "members", "by", "search", "seed", "seeds", "jobs", "out"}
KNOBS = {field.name for field in dataclasses.fields(TrainConfig)} - NOT_REPORTED


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return write_store(tmp_path_factory.mktemp("store") / "tiny.h5", Recipe(layers=("0", "1")))


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_fixes_all_that_bears_on_the_training_so_that_defaults_may_move(name):
    assert set(PRESETS[name].settings) == KNOBS
    settings = TrainConfig(**with_preset({"preset": name}))
    assert {knob: getattr(settings, knob) for knob in KNOBS} == PRESETS[name].settings
    assert settings.preset == name
    assert TrainConfig(**json.loads(json.dumps(settings.to_dict()))) == settings


@pytest.mark.parametrize(
    ("name", "reported"),
    [
        ("brown-2023", {"head": "mlp", "batch_size": 150, "learning_rate": 1.1e-3, "epochs": 20, "protocol": "random"}),
        ("brown-2023-deep", {"head": "deep", "split": (0.6, 0.2, 0.2), "batch_size": 150, "epochs": 20}),
        ("brown-2023-personalized", {"head": "mlp", "personalized": ("embedding",), "learning_rate": 1.1e-3}),
        ("vit-2024", {"split": (0.9, 0.05, 0.05), "epochs": 20, "batch_size": 8 * 4, "weight_decay": 0.01}),
        ("ntu-2024-cnn", {"head": "cnn", "epochs": 200, "protocol": "random"}),
    ],
)
def test_a_preset_has_what_was_reported(name, reported):
    assert {knob: PRESETS[name].settings[knob] for knob in reported} == reported


@pytest.mark.parametrize("name", PRESETS)
def test_a_random_split_comes_with_its_trap(name):
    shared = PRESETS[name].settings["protocol"] == "random"
    assert ("tests speakers it was trained on" in PRESETS[name].trap) is shared


def test_a_preset_cannot_be_changed():
    with pytest.raises(TypeError):
        PRESETS["brown-2023"].settings["epochs"] = 3
    with pytest.raises(TypeError):
        PRESETS["mine"] = PRESETS["brown-2023"]


def test_what_is_given_wins_and_what_is_not_comes_from_the_preset():
    given = {"preset": "brown-2023", "epochs": 3, "protocol": "speaker"}
    settings = with_preset(given)
    assert settings == {**PRESETS["brown-2023"].settings, **given}
    assert with_preset({"epochs": 3}) == {"epochs": 3}
    with pytest.raises(InputError, match="--preset has to be one of brown-2023, .*, not 'brown'"):
        with_preset({"preset": "brown"})


def test_the_command_records_the_preset_and_every_setting(store, tmp_path, capsys):
    flags = ["--preset", "brown-2023-personalized", "--epochs", "1", "--layer", "weighted", "--json"]
    assert main(["--store", str(store), "--out", str(tmp_path / "run"), *flags]) == EXIT_DONE
    assert json.loads(capsys.readouterr().out)["protocol"] == "random"
    settings = json.loads((tmp_path / "run" / "run.json").read_text())["settings"]
    expected = {**PRESETS["brown-2023-personalized"].settings, "epochs": 1, "layer": "weighted"}
    assert TrainConfig(**settings) == TrainConfig(
        **expected, preset="brown-2023-personalized", store=store, out=tmp_path / "run"
    )


def test_a_preset_that_is_not_there_is_one_line(capsys):
    assert main(["--preset", "brown"]) == EXIT_BAD_INPUT
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith("error: --preset has to be one of")


def test_help_tells_each_preset_with_its_source_and_trap():
    text = build_parser().format_help()
    for name, preset in PRESETS.items():
        assert f"  {name}: {preset.summary} ({preset.source})\n" in text
        assert preset.trap in text
