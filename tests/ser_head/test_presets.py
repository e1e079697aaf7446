"""Presets: the reported settings, independent of the library's defaults, overridden by what the user gives."""

import dataclasses
import json

import pytest

from ser_embed.errors import EXIT_BAD_INPUT, EXIT_DONE, InputError
from ser_head.config.presets import PRESETS, with_preset
from ser_head.config.training import TrainConfig
from ser_head.train import build_parser, main
from tests.ser_head.conftest import Recipe, write_store

# Settings of the data, the repetitions and the output. A new setting belongs either here or in every preset.
NOT_IN_PRESETS = {"preset", "store", "corpus", "members", "by", "search", "seed", "seeds", "jobs", "out", "track"}
PRESET_FIELDS = {field.name for field in dataclasses.fields(TrainConfig)} - NOT_IN_PRESETS


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return write_store(tmp_path_factory.mktemp("store") / "tiny.h5", Recipe(layers=("0", "1")))


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_fixes_all_settings_that_affect_the_training(name):
    assert set(PRESETS[name].settings) == PRESET_FIELDS
    settings = TrainConfig(**with_preset({"preset": name}))
    assert {field: getattr(settings, field) for field in PRESET_FIELDS} == PRESETS[name].settings
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
    assert {field: PRESETS[name].settings[field] for field in reported} == reported


@pytest.mark.parametrize("name", PRESETS)
def test_a_random_split_comes_with_its_trap(name):
    shares_speakers = PRESETS[name].settings["protocol"] == "random"
    assert ("tests speakers it was trained on" in PRESETS[name].trap) is shares_speakers


def test_a_preset_cannot_be_changed():
    with pytest.raises(TypeError):
        PRESETS["brown-2023"].settings["epochs"] = 3
    with pytest.raises(TypeError):
        PRESETS["mine"] = PRESETS["brown-2023"]


def test_flags_override_the_settings_of_the_preset():
    flags = {"preset": "brown-2023", "epochs": 3, "protocol": "speaker"}
    assert with_preset(flags) == {**PRESETS["brown-2023"].settings, **flags}
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


def test_an_unknown_preset_is_one_line(capsys):
    assert main(["--preset", "brown"]) == EXIT_BAD_INPUT
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith("error: --preset has to be one of")


def test_help_lists_each_preset_with_its_source_and_trap():
    text = build_parser().format_help()
    for name, preset in PRESETS.items():
        assert f"  {name}: {preset.summary} ({preset.source})\n" in text
        assert preset.trap in text
