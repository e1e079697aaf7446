"""The command `ser_embed.extract`: usage errors and JSON output."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from ser_embed.extract import main
from tests.ser_embed.extraction.conftest import NUM_CLIPS


def test_bad_usage_is_one_line_and_exit_code_2(
    data: Path, tmp_path: Path, capfd: pytest.CaptureFixture, models: dict[str, Path]
) -> None:
    (tmp_path / "bad.h5").write_text("not a store")
    (tmp_path / "empty").mkdir()
    model = str(models["hubert-base"])
    for arguments, expected in [
        (["--model", "hubert-huge"], "unknown model 'hubert-huge'"),
        (["--model", "mfcc", "--data", str(tmp_path / "empty")], str(tmp_path / "empty")),
        (["--model", "mfcc", "--data", str(tmp_path / "nowhere")], str(tmp_path / "nowhere")),
        (["--model", "mfcc", "--data", str(data), "--corpus", "crema-d"], "crema-d"),
        (["--model", "mfcc", "--data", str(data), "--store", str(tmp_path / "bad.h5")], "expected a store"),
        (["--model", "mfcc", "--data", str(data), "--store", str(tmp_path)], f"such as {tmp_path / 'bad.h5'}, but"),
        (["--model", "mfcc", "--data", str(data), "--chunk", "0"], "--chunk has to be at least 1, not 0"),
        (["--model", "mfcc", "--data", str(data), "--batch-seconds", "nan"], "--batch-seconds has to be positive"),
        (["--model", "mfcc", "--data", str(data), "--batch-seconds", "inf"], "--batch-seconds has to be positive"),
        (["--model", model, "--data", str(data), "--layers", "77"], "not '77'"),
        (["--model", "mfcc", "--data", str(data), "--limit", "x"], "invalid int value"),
    ]:
        try:
            code = main(arguments)
        except SystemExit as error:
            code = error.code
        out, err = capfd.readouterr()
        assert (code, out, err.count("\n")) == (2, "", 1), err
        assert expected in err
    assert {entry.name for entry in tmp_path.iterdir()} == {"bad.h5", "data", "empty"}


def test_json_is_one_object_on_stdout(data: Path, tmp_path: Path, extract: Callable, capsys) -> None:
    assert main(["--model", "mfcc", "--data", str(data), "--store", str(tmp_path / "s.h5"), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["clips"] == NUM_CLIPS
    assert document["spec"]["layers"] == ["features"]
