"""Project rules: direction of imports, forbidden code, documented public names, commands, documents, dependencies."""

import ast
import collections
import dataclasses
import functools
import graphlib
import importlib
import inspect
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import ser_embed
import ser_head
import ser_monitor
from ser_head.heads.registry import HEADS
from ser_head.personalization.methods import METHODS

ROOT = Path(__file__).parents[1]

# Rooms in the order of the data flow, each a folder or a module at the top of its package. A module may import from its
# own room and from those before it.
ROOMS = {
    "ser_embed": """
        errors options termination cli files reading manifest spec tracking
        corpora audio encoders store extraction finetuning pretraining synthesis
        extract embed inspect pretrain demo
    """,
    "ser_head": """
        data personalization scoring heads config evaluation runs reporting training inference
        train finetune predict enroll compare score __main__
    """,
    "ser_monitor": """
        events config sources segments scoring database patterns alerts sessions display reporting
        watch report admin
    """,
}
PACKAGES = tuple(ROOMS)
LAZY = {*PACKAGES, "ser_head.__main__"}  # load commands on first use
ORDER = [
    name for package, rooms in ROOMS.items() for name in (package, *(f"{package}.{room}" for room in rooms.split()))
]
MAX_MODULES = 15  # in one folder, without `__init__`

# Rooms of stage 1 that need no torch, and the modules of stage 2 that may import others inside its functions.
SHARED = {"errors", "options", "cli", "files", "reading", "manifest", "spec", "tracking", "store", "__version__"}
AUDIO_MODULES = {"ser_head.inference.audio", "ser_head.inference.clips"}
FINETUNING_MODULES = {
    "ser_head.config.finetuning",
    "ser_head.heads.finetuned",
    "ser_head.training.finetuning",
    "ser_head.training.finetuning_trainer",
}
STAGE_1_ONLY = {
    "torch",
    "torchaudio",
    "transformers",
    "huggingface_hub",
    "safetensors",
    "soundfile",
    "soxr",
    "librosa",
    "opensmile",
}
CLUSTERING = "ser_embed.pretraining.targets"  # may import scikit-learn inside its functions
# What monitoring takes of the other packages: their names, what every room shares, figures and the look of reports.
MONITOR_TAKES = {
    *(f"ser_embed.{room}" for room in {*SHARED, "termination"} - {"store"}),
    *("ser_embed", "ser_head", "ser_head.reporting", "ser_head.evaluation", "ser_head.config"),
}
STAGE_2_ONLY = {"ser_monitor", "ser_head", "keras", "tensorflow", "sklearn", "matplotlib", "jinja2"}
FORBIDDEN = {"tensorflow", "pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
CHECKPOINTS = "ser_embed.encoders.hub.checkpoints"  # the one module that reads pickled files, by torch's safe way
HEAVY = {"torch", "tensorflow", "keras", "transformers", "librosa", "pandas"}

# Modules that may name a head or a method: those that define or register them.
DEFINING_MODULES = {"ser_head.heads.registry", "ser_head.heads.sklearn_heads", "ser_head.personalization.methods"}

HELP_WITHIN_S = 0.5
README_LINES = 150


@dataclasses.dataclass(frozen=True)
class Import:
    """One imported name: `target` is a module of ours and `name` an object in it, or `target` is a dependency."""

    module: str
    target: str
    name: str
    nested: bool
    type_only: bool
    line: int

    def __str__(self) -> str:
        return f"{self.module}, line {self.line}: {self.target} {self.name}".rstrip()


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def paths() -> list[Path]:
    """Return every source file of the packages."""
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


@functools.cache
def modules() -> dict[str, ast.Module]:
    """Return the syntax tree of every module of the packages, by name."""
    return {module_name(path): ast.parse(path.read_text("utf-8"), path) for path in paths()}


def room_of(module: str) -> str:
    """Return the room of a module: the first two names of its path."""
    return ".".join(module.split(".")[:2])


def nodes(tree: ast.AST, nested: bool = False, type_only: bool = False) -> Iterator[tuple[ast.AST, bool, bool]]:
    """Yield every node, whether it is inside a function, and whether it is for type checkers only."""
    for child in ast.iter_child_nodes(tree):
        yield child, nested, type_only
        inside = nested or isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        checked = type_only or (isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING")
        yield from nodes(child, inside, checked)


@functools.cache
def imports() -> list[Import]:
    """Return every imported name of the packages, also inside functions."""
    imported = []
    for module, tree in modules().items():
        for node, nested, type_only in nodes(tree):
            if isinstance(node, ast.Import):
                pairs = [(alias.name, "") for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                pairs = [("." * node.level + (node.module or ""), alias.name) for alias in node.names]
            else:
                continue
            for target, name in pairs:
                submodule = f"{target}.{name}"
                split = (submodule, "") if submodule in modules() else (target, name)
                imported.append(Import(module, *split, nested, type_only, node.lineno))
    return imported


def calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    """Yield the source of every called expression, with its call."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


class TestImports:
    def test_every_module_is_in_a_room(self) -> None:
        assert len(ORDER) == len(set(ORDER))
        assert sorted({room_of(module) for module in modules()}) == sorted(ORDER)

    def test_no_folder_is_too_full(self) -> None:
        folders = collections.Counter(path.parent for path in paths() if path.name != "__init__.py")
        assert not {str(folder): count for folder, count in folders.items() if count > MAX_MODULES}

    def test_the_init_of_a_room_holds_a_docstring_only(self) -> None:
        for module, tree in modules().items():
            if module not in PACKAGES and (ROOT / module.replace(".", "/")).is_dir():
                assert len(tree.body) == 1, module
                assert ast.get_docstring(tree), module

    def test_data_flows_one_way(self) -> None:
        position = {room: index for index, room in enumerate(ORDER)}
        public_types = [item for item in imports() if item.type_only and item.module in PACKAGES]
        internal = [item for item in imports() if item.target in modules() and item not in public_types]
        assert len(internal) > 150  # the walk finds them
        assert not [str(item) for item in internal if position[room_of(item.target)] > position[room_of(item.module)]]

    def test_no_import_leads_back(self) -> None:
        graph: dict[str, set[str]] = {module: set() for module in modules()}
        for item in imports():
            if item.target in graph and not item.type_only:
                graph[item.module].add(item.target)
        order = list(graphlib.TopologicalSorter(graph).static_order())  # raises CycleError, which names the cycle
        assert set(order) == set(modules())

    def test_imports_are_written_so_that_this_file_can_read_them(self) -> None:
        relative = [str(item) for item in imports() if item.target.startswith(".")]
        unknown = [str(item) for item in imports() if item.target.startswith("ser_") and item.target not in modules()]
        hidden = [
            f"{module}: {ast.unparse(call)}"
            for module, tree in modules().items()
            if module not in LAZY
            for name, call in calls(tree)
            if name.endswith(("import_module", "__import__"))
        ]
        assert not relative + unknown + hidden

    def test_stage_1_knows_nothing_of_stage_2(self) -> None:
        allowed = [item for item in imports() if item.module == CLUSTERING and item.nested]
        embed = [item for item in imports() if item.module.startswith("ser_embed") and item not in allowed]
        assert not [str(item) for item in embed if item.target.partition(".")[0] in STAGE_2_ONLY]

    def test_stage_2_takes_from_stage_1_only_what_needs_no_torch(self) -> None:
        from_embed = [
            item for item in imports() if item.module.startswith("ser_head") and item.target[:9] == "ser_embed"
        ]
        not_shared = [item for item in from_embed if f"{item.target}.{item.name}".split(".")[1] not in SHARED]
        assert not_shared  # prediction on audio needs the encoder
        may = AUDIO_MODULES | FINETUNING_MODULES
        assert not [str(item) for item in not_shared if item.module not in may or not item.nested]

    def test_stage_2_imports_nothing_that_only_stage_1_installs(self) -> None:
        head = [item for item in imports() if item.module.startswith("ser_head")]
        assert not [str(item) for item in head if item.target.partition(".")[0] in STAGE_1_ONLY]

    def test_monitoring_stands_on_the_public_faces_of_both_stages(self) -> None:
        others = [item for item in imports() if item.module.startswith("ser_monitor") and item.target in modules()]
        from_stages = [item for item in others if not item.target.startswith("ser_monitor")]
        assert not [str(item) for item in from_stages if room_of(item.target) not in MONITOR_TAKES]
        stages = [item for item in imports() if not item.module.startswith("ser_monitor")]
        assert not [str(item) for item in stages if item.target.startswith("ser_monitor")]

    def test_the_packages_are_light(self) -> None:
        code = "import sys, json, ser_embed, ser_head, ser_monitor; print(json.dumps(sorted(sys.modules)))"
        process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
        loaded = set(json.loads(process.stdout))
        assert set(PACKAGES) <= loaded
        assert not loaded & HEAVY


@pytest.mark.parametrize("module", sorted(modules()))
class TestCode:
    def test_it_runs_no_code_from_files(self, module: str) -> None:
        packages = {item.target.partition(".")[0] for item in imports() if item.module == module}
        assert not packages & FORBIDDEN
        for name, call in calls(modules()[module]):
            assert name not in {"eval", "exec", "compile"}, ast.unparse(call)
            if name == "torch.load":  # only tensors come out of it, whatever the file holds
                assert module == CHECKPOINTS, ast.unparse(call)
                assert "weights_only" in {keyword.arg for keyword in call.keywords}, ast.unparse(call)
            for keyword in call.keywords:
                assert keyword.arg != "trust_remote_code", ast.unparse(call)
                if keyword.arg in {"allow_pickle", "safe_mode", "weights_only"}:
                    safe_value = keyword.arg != "allow_pickle"
                    assert ast.unparse(keyword.value) == str(safe_value), ast.unparse(call)

    def test_it_uses_no_backend_directly_and_asserts_nothing(self, module: str) -> None:
        for node in ast.walk(modules()[module]):
            assert not (isinstance(node, ast.Name) and node.id == "tf"), f"tf in line {node.lineno}"
            assert not isinstance(node, ast.Assert), f"assert in line {node.lineno}"
            assert not (isinstance(node, ast.Constant) and node.value == "trust_remote_code"), node.lineno

    def test_what_is_public_has_a_docstring(self, module: str) -> None:
        assert not [name for name, node in public(modules()[module], module) if not ast.get_docstring(node)]


def public(tree: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Yield a module and its public classes, functions and methods."""
    yield name, tree
    for node in tree.body:
        if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and not node.name.startswith("_"):
            if isinstance(node, ast.ClassDef):
                yield from public(node, f"{name}.{node.name}")
            else:
                yield f"{name}.{node.name}", node


def test_no_module_asks_for_a_head_or_a_method_by_name() -> None:
    """Whatever depends on the head or method has to be an attribute of its object in the registry."""
    names = {*HEADS, *METHODS}
    comparisons = []
    for module, tree in modules().items():
        if not module.startswith("ser_head") or module in DEFINING_MODULES:
            continue
        for node in ast.walk(tree):
            if isinstance(node, (ast.Compare, ast.MatchValue)):
                constants = [part.value for part in ast.walk(node) if isinstance(part, ast.Constant)]
                comparisons += [f"{module}, line {node.lineno}: {value!r}" for value in constants if value in names]
    assert not comparisons


@functools.cache
def commands() -> list[str]:
    """Return every module that can be run as a command."""
    runnable = [name for name, tree in modules().items() if "if __name__ == '__main__'" in ast.unparse(tree)]
    return [name for name in runnable if not name.endswith(".__main__")]


def actions(command: str) -> list[Any]:
    """Return the arguments of a command, as argparse actions."""
    return list(importlib.import_module(command).build_parser()._actions)


@functools.cache
def flags(command: str) -> set[str]:
    """Return the long flags of a command."""
    return {flag for action in actions(command) for flag in action.option_strings if flag.startswith("--")}


def run_help(command: str, *python: str) -> tuple[subprocess.CompletedProcess[str], float]:
    """Run `command --help`; return the finished process and its processor time in seconds."""
    before = os.times()
    process = subprocess.run(
        [sys.executable, *python, "-m", command, "--help"], capture_output=True, text=True, cwd=ROOT, timeout=60
    )
    after = os.times()
    user_s, system_s = after.children_user - before.children_user, after.children_system - before.children_system
    return process, user_s + system_s


def test_the_promised_commands_are_there() -> None:
    promised = {
        "ser_embed": {"extract", "inspect", "demo"},
        "ser_head": {"train", "predict", "compare", "score", "enroll"},
    }
    for package, names in promised.items():
        assert {f"{package}.{name}" for name in names} <= set(commands())


@pytest.mark.parametrize("command", commands())
class TestCommands:
    def test_it_is_a_function_too(self, command: str) -> None:
        package, _, name = command.partition(".")
        assert name in {"ser_embed": ser_embed, "ser_head": ser_head, "ser_monitor": ser_monitor}[package].__all__
        assert callable(importlib.import_module(command))
        assert callable(getattr(importlib.import_module(command), name))

    def test_its_parameters_are_named_for_completion_in_notebooks(self, command: str) -> None:
        parameters = inspect.signature(importlib.import_module(command)).parameters
        assert parameters
        assert not {"args", "kwargs", "settings"} & set(parameters)

    def test_help_explains_every_flag_and_loads_nothing_heavy(self, command: str) -> None:
        process, _ = run_help(command, "-X", "importtime")
        assert process.returncode == 0
        assert process.stdout.startswith(f"usage: python -m {command} ")
        for action in actions(command):
            assert action.help, f"{command}: {action.dest} has no help"
            assert action.help != "==SUPPRESS=="
            for name in action.option_strings or [action.metavar or action.dest]:
                assert name in process.stdout
        loaded = {line.rpartition("|")[2].strip() for line in process.stderr.splitlines()}
        assert "argparse" in loaded
        assert not loaded & HEAVY

    def test_help_is_fast(self, command: str) -> None:
        """Processor time, the best of three, depends little on how busy the machine is."""
        best = float("inf")
        for _ in range(3):
            best = min(best, run_help(command)[1])
            if best < HELP_WITHIN_S:
                break
        assert best < HELP_WITHIN_S

    def test_an_unknown_flag_is_one_line_and_exit_code_2(
        self, command: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        needed = [
            text for action in actions(command) if action.required for text in [*action.option_strings[:1], "something"]
        ]
        with pytest.raises(SystemExit) as stopped:
            importlib.import_module(command).main([*needed, "--no-such-flag"])
        assert stopped.value.code == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert err.count("\n") == 1
        assert "--no-such-flag" in err


def snippets(text: str) -> Iterator[str]:
    """Yield the lines of the code blocks of a Markdown text without comments, and its code spans in backticks."""
    blocks = re.compile(r"^```.*?\n(.*?)^```", re.MULTILINE | re.DOTALL)
    for block in blocks.findall(text):
        for line in block.replace("\\\n", " ").splitlines():
            yield re.sub(r"(^|\s)#.*", "", line).strip()
    for span in re.findall(r"`([^`]+)`", blocks.sub("", text)):
        yield " ".join(span.split())


def unknown_commands(text: str) -> list[str]:
    """Return each `-m ser_x.command --flag` in a text whose command or flag does not exist."""
    wrong = []
    for line in text.replace("\\\n", " ").splitlines():
        for command, rest in re.findall(r"-m (ser_[\w.]*\w)((?:(?![,;] )[^`'\"#])*)", line):
            existing = flags(command) if command in commands() else set()
            if not existing or set(re.findall(r"(?<![\w-])--[a-z][\w-]*", rest)) - existing:
                wrong.append(line.strip())
    return wrong


def wrong_snippets(text: str) -> list[str]:
    """Return each snippet of a Markdown text whose command, flag, make target or function does not exist."""
    every_flag = {flag for command in commands() for flag in flags(command)}
    targets = set(re.findall(r"^([a-z][\w-]*):(?!=)", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    wrong = unknown_commands(text)
    for snippet in snippets(text):
        if snippet.startswith("--") and snippet.split()[0].partition("=")[0] not in every_flag:
            wrong.append(snippet)
        if snippet.startswith("make ") and not set(snippet.split()[1:]) <= targets:
            wrong.append(snippet)
        for package, name in re.findall(r"\b(ser_embed|ser_head|ser_monitor)\.([a-z]\w*)\(", snippet):
            if name not in {"ser_embed": ser_embed, "ser_head": ser_head, "ser_monitor": ser_monitor}[package].__all__:
                wrong.append(snippet)
    return wrong


class TestDocuments:
    def test_the_readme_is_short_and_begins_with_the_two_commands(self) -> None:
        text = (ROOT / "README.md").read_text("utf-8")
        assert len(text.splitlines()) < README_LINES
        assert [line for line in snippets(text) if line][:2] == ["make demo", "make test"]
        assert text.count("python -m ser_") >= 3

    @pytest.mark.parametrize(
        "name",
        ["README.md", "CONTRIBUTING.md", "data/README.md", "docs/monitoring.md", "docs/figures.md", "docs/tracking.md"],
    )
    def test_documents_name_only_what_exists(self, name: str) -> None:
        assert not wrong_snippets((ROOT / name).read_text("utf-8"))

    def test_messages_and_recipes_name_only_commands_that_exist(self) -> None:
        sources = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
        for path in [ROOT / "Makefile", *sources]:
            assert not unknown_commands(path.read_text("utf-8")), path

    @pytest.mark.parametrize(
        "text",
        [
            "`python -m ser_embed.extrct`",
            "```\npython -m ser_head.train --no-such-flag 3\n```",
            "```\npython -m ser_head.train \\\n    --no-such-flag\n```",
            "see `python -m ser_embed.inspect STORE [--verfy]`",
            "give `--no-such-flag=3`",
            "`make nothing`",
            "```\n$ make\nmake nothing  # at all\n```",
            "```python\nser_head.trian(seed=1)\n```",
        ],
    )
    def test_wrong_snippets_are_found(self, text: str) -> None:
        assert wrong_snippets(text)

    def test_everything_that_is_required_is_pinned(self) -> None:
        project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
        extras = project["optional-dependencies"].values()
        required = [Requirement(text) for group in [project["dependencies"], *extras] for text in group]
        lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
        pins = dict(line.split("==") for line in lines if line and not line.startswith("#"))
        pinned = {canonicalize_name(name): version for name, version in pins.items()}
        external = [item for item in required if item.name != project["name"]]
        assert len(external) > 20
        assert not [str(item) for item in external if canonicalize_name(item.name) not in pinned]
        assert not [str(item) for item in external if not item.specifier.contains(pinned[canonicalize_name(item.name)])]
