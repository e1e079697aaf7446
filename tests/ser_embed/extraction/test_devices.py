"""Extraction on several devices: the same store as on one, and errors of their processes."""

from collections.abc import Callable
from pathlib import Path

import pytest

import ser_embed
from ser_embed.errors import SerError
from ser_embed.extract import main
from ser_embed.extraction import pipeline
from tests.ser_embed.extraction.conftest import NUM_CLIPS, vector_bytes


def test_several_devices_share_the_work(data: Path, models: dict[str, Path], tmp_path: Path) -> None:
    model = str(models["hubert-base"])
    ser_embed.extract(model, data=data, store=tmp_path / "one.h5", chunk=5, layers="1", device="cpu")
    report = ser_embed.extract(model, data=data, store=tmp_path / "two.h5", chunk=5, layers="1", device="cpu,cpu")
    assert report.extracted == NUM_CLIPS
    assert report.audio_s > 0
    assert vector_bytes(tmp_path / "one.h5") == vector_bytes(tmp_path / "two.h5")


def test_a_failed_device_is_reported_in_one_line(
    data: Path, extract: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise SerError("the process on cuda:1 failed")

    monkeypatch.setattr(pipeline, "encode_on_devices", fail)
    assert main(["--model", "mfcc", "--data", str(data), "--store", str(tmp_path / "s.h5")]) == 1
    assert capfd.readouterr() == ("", "error: the process on cuda:1 failed\n")
