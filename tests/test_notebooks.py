"""Notebooks: stored without outputs, calls of the library only."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest

FOLDER = Path(__file__).parents[1] / "notebooks"
NAMES = ("1-extract", "2-train-and-compare", "3-predict", "finetune")
MAY_IMPORT = {"ser_embed", "ser_head", "pathlib", "os", "pandas", "numpy", "soundfile", "matplotlib", "IPython"}
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)


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

    def test_it_calls_the_corpus_synthetic_and_names_the_notebooks_before_it(self, name: str) -> None:
        text = "\n".join(cell.source for cell in read(name).cells if cell.cell_type == "markdown")
        assert "synthetic" in text
        for earlier in NAMES[: NAMES.index(name)]:
            assert earlier in text

    def test_they_all_work_in_the_same_folder(self, name: str) -> None:
        def folder_lines(code: str) -> list[str]:
            return [line for line in code.splitlines() if line.startswith(("folder", "os.chdir"))]

        assert folder_lines(code_of(read(name))) == folder_lines(code_of(read(NAMES[0])))
