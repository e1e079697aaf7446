"""The registry of trackers: names, and what is installed for them."""

import importlib.util
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from ser_embed.errors import InputError
from ser_embed.tracking.registry import TRACKERS, parse_trackers, require_trackers

ROOT = Path(__file__).parents[3]


def test_names_come_in_the_order_of_the_registry() -> None:
    assert parse_trackers("mlflow,wandb") == ("wandb", "mlflow")
    assert parse_trackers(["trackio"]) == ("trackio",)
    assert parse_trackers(()) == ()


@pytest.mark.parametrize("names", ["aim", "wandb,aim", "", "wandb,"])
def test_an_unknown_name_is_refused_with_those_there_are(names: str) -> None:
    with pytest.raises(InputError, match="--track has to be made of wandb, trackio, tensorboard, mlflow, not "):
        parse_trackers(names)


@pytest.mark.parametrize("name", TRACKERS)
def test_a_missing_package_is_refused_with_its_extra(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda package: None)
    with pytest.raises(InputError, match=rf"--track {name} needs .* pip install '\.\[{name}\]'"):
        require_trackers((name,))


@pytest.mark.parametrize("name", TRACKERS)
def test_each_has_an_extra_with_lower_bounds(name: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    requirements = [Requirement(text) for text in project["optional-dependencies"][name]]
    assert any(requirement.name.startswith(TRACKERS[name].package) for requirement in requirements)
    for requirement in requirements:
        assert {specifier.operator for specifier in requirement.specifier} >= {">="}, requirement
