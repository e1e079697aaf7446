"""Fixtures and Hypothesis settings of all tests."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("untimed", deadline=None)  # a busy machine must not fail a test
settings.load_profile("untimed")


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Return the folder of the real corpora: $SER_DATA, or ../shared/data beside the repository."""
    folder = Path(os.environ.get("SER_DATA") or Path(__file__).parents[2] / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"the real corpora are not here: no folder {folder}; set SER_DATA to theirs")
    return folder
