"""The head that ships: whole, small, honest in its model card, and what answers where nothing has been trained."""

import json
import re
import tomllib
from pathlib import Path

import pytest
import soundfile

from ser_embed.spec import EmbeddingSpec
from ser_head.enroll import main as enroll
from ser_head.predict import main as predict
from ser_head.runs.document import DIGESTS, require_unchanged
from ser_head.runs.location import SHIPPED
from ser_head.runs.run import Run
from tests.ser_embed.conftest import tone

FOLDER = SHIPPED["emodb"].folder
FILES = {"README.md", "fold.npz", "head.keras", "metrics.json", "run.json"}
LARGEST_BYTES = 2_000_000


@pytest.fixture(scope="module")
def run() -> Run:
    return Run.load(FOLDER)


def test_it_is_in_the_package_whole_and_small() -> None:
    assert {path.name for path in FOLDER.iterdir()} == FILES
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < LARGEST_BYTES
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8"))
    assert f"{FOLDER.name}/*" in project["tool"]["setuptools"]["package-data"]["ser_head"]


def test_its_files_are_as_they_were_made(run: Run) -> None:
    assert set(run.about[DIGESTS]) == FILES - {"README.md", "run.json"}
    for name in run.about[DIGESTS]:
        require_unchanged(FOLDER, name, run.about[DIGESTS])


def test_it_names_no_place_of_the_machine_it_was_made_on() -> None:
    text = (FOLDER / "run.json").read_text("utf-8")
    assert json.loads(text)["settings"]["store"] is None
    assert not re.findall(r'"[^"]*(?:/home|/tmp|/work|\\\\)[^"]*"', text)


def test_it_has_learned_from_all_voices_and_was_tested_on_each_alone(run: Run) -> None:
    (entry,), folds = run.about["folds"], run.about["tested_folds"]
    assert len(entry["speakers"]["train"]) == 10
    assert sorted(name for fold in folds for name in fold["speakers"]["test"]) == entry["speakers"]["train"]
    assert run.config.personalized == ("normalize",)
    metrics = json.loads((FOLDER / "metrics.json").read_text("utf-8"))
    assert metrics["speaker_disjoint"] is True
    assert metrics["test"]["n"] == run.about["clips"] == 535


def test_its_model_card_gives_the_figures_of_its_folds() -> None:
    card = (FOLDER / "README.md").read_text("utf-8")
    metrics = json.loads((FOLDER / "metrics.json").read_text("utf-8"))
    for name, condition in metrics["conditions"].items():
        low, high = condition["ci95"]["uar"]
        row = f"| {name} | {condition['uar']:.3f} ({low:.3f} to {high:.3f}) | {condition['ece']:.3f} |"
        assert row in card


def test_it_takes_the_vectors_of_the_encoder_that_ships(run: Run) -> None:
    from ser_embed.encoders.base import EncoderOptions
    from ser_embed.encoders.registry import load_encoder

    spec: EmbeddingSpec = load_encoder("hubert-mini", EncoderOptions.of(run.spec, "cpu")).spec
    run.require_spec(spec)


def test_it_answers_where_nothing_has_been_trained_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    for number in (1, 2):
        soundfile.write(f"{number}.wav", tone(24_000, number), 16_000)
    assert predict(["1.wav"]) == 0
    printed = capsys.readouterr()
    assert re.fullmatch(r"1\.wav: activation [01]\.\d\d, \w+ .*\n", printed.out)
    assert printed.err.splitlines()[0].startswith("no run in runs/: taking the head that ships (EmoDB: German, acted")
    assert enroll(["2.wav", "--speaker", "Ann"]) == 0
    assert Path("profiles/Ann.json").is_file()
    capsys.readouterr()
    assert predict(["1.wav", "--run", "emodb", "--speaker", "Ann", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["enrolled"] == 1
    assert 0 <= document["files"][0]["windows"][0]["activation"] <= 1
    assert {path.name for path in FOLDER.iterdir()} == FILES  # nothing is written into the package
