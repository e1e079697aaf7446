"""Notebooks: stored without outputs, calls of the library only, run one after another on the demo corpus."""

import ast
import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

FOLDER = Path(__file__).parents[1] / "notebooks"
NAMES = ("1-extract", "2-train-and-compare", "3-predict")
MAY_IMPORT = {"ser_embed", "ser_head", "pathlib", "os", "pandas", "numpy", "soundfile", "matplotlib", "IPython"}
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
PNG = b"\x89PNG\r\n\x1a\n"

pytestmark = pytest.mark.timeout(600)  # a minute on an idle machine


def read(name: str) -> Any:
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


def code_of(notebook: Any) -> str:
    return "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")


def imported(code: str) -> Iterator[str]:
    """Yield the top-level packages that `code` imports."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield str(node.module).partition(".")[0]


def test_these_are_all_the_notebooks() -> None:
    assert sorted(path.stem for path in FOLDER.glob("*.ipynb")) == list(NAMES)


@pytest.mark.parametrize("name", NAMES)
class TestStoredNotebook:
    def test_it_is_valid_and_has_no_outputs(self, name: str) -> None:
        notebook = read(name)
        nbformat.validate(notebook)
        for cell in notebook.cells:
            assert not cell.get("outputs"), cell.id
            assert cell.get("execution_count") is None, cell.id
            assert not cell.get("attachments"), cell.id

    def test_it_defines_nothing(self, name: str) -> None:
        definitions = [
            ast.unparse(node) for node in ast.walk(ast.parse(code_of(read(name)))) if type(node) in DEFINITIONS
        ]
        assert not definitions

    def test_it_imports_little_beside_the_library(self, name: str) -> None:
        packages = set(imported(code_of(read(name))))
        assert packages & {"ser_embed", "ser_head"}
        assert packages <= MAY_IMPORT

    def test_it_calls_the_corpus_synthetic_and_says_what_to_run_first(self, name: str) -> None:
        text = "\n".join(cell.source for cell in read(name).cells if cell.cell_type == "markdown")
        assert "synthetic" in text
        for earlier in NAMES[: NAMES.index(name)]:
            assert earlier in text

    def test_they_all_work_in_the_same_folder(self, name: str) -> None:
        def folder_lines(code: str) -> list[str]:
            return [line for line in code.splitlines() if line.startswith(("folder", "os.chdir"))]

        assert folder_lines(code_of(read(name))) == folder_lines(code_of(read(NAMES[0])))


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
    assert set(runs) == {"hubert-mini-mlp-speaker", "hubert-mini-mlp-personalized-speaker", "hubert-mini-mlp-random"}
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


def test_everything_is_written_to_the_one_folder(ran: tuple[Path, dict[str, Any]]) -> None:
    assert {path.name for path in ran[0].iterdir()} == {"data", "embeddings", "runs", "recording.wav"}
    assert not [path.name for path in FOLDER.iterdir() if path.suffix in {".h5", ".wav", ".csv", ".json", ".keras"}]
