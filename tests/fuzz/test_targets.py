"""Fuzz targets: a few cases of each, so that they stay runnable; thousands are for a machine with time."""

import numpy as np
import pytest

from tests.fuzz import profiles, runs


@pytest.mark.parametrize("with_digests", [True, False])
def test_runs(tmp_path, with_digests):
    outcomes = [case() for case in runs.cases(np.random.default_rng(0), 40, tmp_path, with_digests=with_digests)]
    assert set(outcomes) <= {runs.RIGHT, runs.REFUSED, *([] if with_digests else [runs.OTHER])}


def test_profiles(tmp_path):
    outcomes = {case() for case in profiles.cases(np.random.default_rng(0), 200, tmp_path)}
    assert outcomes == {"right", "refused"}
