"""Notebooks: run one after another on the demo corpus, they show what their text says."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from nbclient import NotebookClient

from tests.test_notebooks import FOLDER, NAMES, read

PNG = b"\x89PNG\r\n\x1a\n"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]  # three minutes on an idle machine


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Run the notebooks; return the folder they wrote to, and the notebooks with their outputs by name."""
    folder = tmp_path_factory.mktemp("notebooks")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SER_NOTEBOOK_FOLDER", str(folder / "work"))
        patch.setenv("IPYTHONDIR", str(folder / "ipython"))  # no start-up files of whoever runs the tests
        notebooks = {name: read(name) for name in NAMES}
        resources = {"metadata": {"path": str(FOLDER)}}
        for notebook in notebooks.values():
            NotebookClient(notebook, timeout=240, kernel_name="python3", resources=resources).execute()
        yield folder / "work", notebooks


def outputs(notebook: Any, cell_id: str) -> dict[str, str]:
    """Return the outputs of a cell by kind: "stdout" or a MIME type."""
    (cell,) = [cell for cell in notebook.cells if cell.id == cell_id]
    by_kind: dict[str, str] = {}
    for output in cell.outputs:
        by_kind |= {output.name: output.text} if output.output_type == "stream" else dict(output.data)
    return by_kind


def test_extracting_a_second_time_does_nothing(ran: tuple[Path, dict[str, Any]]) -> None:
    notebook = ran[1]["1-extract"]
    assert "288 extracted" in outputs(notebook, "extract")["stdout"]
    assert "0 extracted, 288 unchanged, 0 unreadable" in outputs(notebook, "again")["stdout"]


def test_training_shows_the_leak_that_the_text_describes(ran: tuple[Path, dict[str, Any]]) -> None:
    """The text says that a random split gives too good figures and that the library warns of it; both have to show."""
    folder, notebooks = ran
    runs = {path.parent.name: json.loads(path.read_text("utf-8")) for path in folder.glob("runs/*/metrics.json")}
    assert set(runs) == {
        "hubert-mini-mlp-speaker",
        "hubert-mini-mlp-personalized-speaker",
        "hubert-mini-mlp-random",
        "hubert-mini-last-2-finetuned-kfold-3",
    }
    honest, leaky = runs["hubert-mini-mlp-speaker"], runs["hubert-mini-mlp-random"]
    assert honest["speaker_disjoint"]
    assert not leaky["speaker_disjoint"]
    assert leaky["test"]["uar"] > honest["test"]["uar"] > 1 / 6
    assert "SPEAKERS SHARED" in outputs(notebooks["2-train-and-compare"], "leak")["stdout"]
    assert "test speakers were kept out" in outputs(notebooks["2-train-and-compare"], "leak-compare")["stdout"]
    assert (folder / "runs/hubert-mini-mlp-speaker/report.html").as_uri() in str(
        outputs(notebooks["2-train-and-compare"], "report")
    )


def test_the_timeline_is_drawn(ran: tuple[Path, dict[str, Any]]) -> None:
    notebook = ran[1]["3-predict"]
    assert outputs(notebook, "timeline")["stdout"].startswith("recording.wav: 0:00.0-")
    assert base64.b64decode(outputs(notebook, "plot")["image/png"]).startswith(PNG)


def test_the_tuned_encoder_is_beside_the_frozen_one_and_not_tested_on_what_it_learned(
    ran: tuple[Path, dict[str, Any]],
) -> None:
    folder, notebooks = ran
    notebook = notebooks["finetune"]
    metrics = json.loads((folder / "runs/hubert-mini-last-2-finetuned-kfold-3/metrics.json").read_text("utf-8"))
    frozen, tuned = metrics["baseline"]["test"]["uar"], metrics["test"]["uar"]
    assert outputs(notebook, "baseline")["stdout"].split() == ["frozen", f"{frozen:.3g}", "tuned", f"{tuned:.3g}"]
    assert tuned > 1 / 6
    assert "frozen encoder, lda" in outputs(notebook, "finetune")["text/html"]
    assert "model.safetensors" in outputs(notebook, "model")["text/plain"]
    (refusal,) = outputs(notebook, "refused")["stdout"].splitlines()
    assert "was fine-tuned on with their labels" in refusal


def test_everything_is_written_to_the_one_folder(ran: tuple[Path, dict[str, Any]]) -> None:
    assert {path.name for path in ran[0].iterdir()} == {"data", "data-finetune", "embeddings", "runs", "recording.wav"}
    assert not [path.name for path in FOLDER.iterdir() if path.suffix in {".h5", ".wav", ".csv", ".json", ".keras"}]
