"""Fuzz targets: a few cases of each, so that they stay runnable; `make fuzz` tries thousands."""

import pytest

from tests.fuzz import audio, manifests, profiles, runs, stores
from tests.fuzz.harness import SHARES, run_target, seeds


@pytest.mark.parametrize(("target", "count"), [(audio, 150), (stores, 150), (profiles, 200), (manifests, 100)])
def test_nothing_is_wrong_in_silence_and_nothing_but_one_line_is_raised(tmp_path, target, count):
    outcomes = set(map(target.prepare(tmp_path), seeds(0, count)))
    assert outcomes == {"right", "refused"}


@pytest.mark.parametrize("with_digests", [True, False])
def test_runs(tmp_path, with_digests):
    outcomes = set(map(runs.prepare(tmp_path, with_digests=with_digests), seeds(0, 40)))
    assert outcomes <= {runs.RIGHT, runs.REFUSED, *([] if with_digests else [runs.OTHER])}


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", SHARES)
def test_a_thousand_cases_of_each_in_processes_that_are_watched(name):
    assert run_target(name, 1000, seed=1).problems == []
