"""Fuzz target of manifest.csv: a changed one gives a table of clips inside the folder, or is refused in one line."""

import json
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import numpy as np

from ser_embed.corpora.scan import scan_data
from ser_embed.errors import InputError
from ser_embed.manifest import COLUMNS
from tests.fuzz.mutations import change_bytes

_PIECES = [
    "../", "/etc/passwd", "C:\\x", "\0", '"', "'", "\r", "\n", "\ufeff", "é", "e\u0301", "\u202e", "\x1b[2J", "=cmd()",
    ";", ",,", "\t", "NaN", "1e999", "9" * 500, " ", ".wav", "path", "emotion", "", "<script>", "\\", "~", "a" * 5000,
    "\ud800",
]  # fmt: skip


def prepare(folder: Path) -> Callable[[int], str]:
    """Make a corpus in an empty folder; return the function that tries, by a seed, its manifest changed."""
    corpus = folder / "data" / "tones"
    corpus.mkdir(parents=True)
    lines = [
        f"{number:03}.wav,{('angry', 'sad', 'happy')[number % 3]},{number % 5},{number / 7}" for number in range(30)
    ]
    whole = "\n".join(["path,emotion,speaker,age", *lines, ""]).encode()
    table = corpus / "manifest.csv"

    def case(seed: int) -> str:
        draws = np.random.default_rng(seed)
        data = change_bytes(draws, whole)
        for _ in range(int(draws.integers(3))):
            position = int(draws.integers(len(data) + 1))
            piece = _PIECES[int(draws.integers(len(_PIECES)))].encode("utf-8", "surrogatepass")
            data = data[:position] + piece + data[position + int(draws.integers(4)) :]
        if draws.random() < 0.1:
            data = data.decode("utf-8", "replace").encode(str(draws.choice(["utf-16", "utf-32", "cp1252"])), "replace")
        table.write_bytes(data)
        try:
            manifest = scan_data(folder / "data").manifest
        except InputError as error:
            return "refused" if "\n" not in str(error) else f"wrong: lines {str(error)!r}"
        if tuple(manifest.columns[: len(COLUMNS)]) != COLUMNS or manifest["utterance_id"].duplicated().any():
            return f"wrong: case {seed}: {list(manifest.columns)}"
        for path in manifest["path"]:
            parts = PurePosixPath(path).parts
            if not parts or parts[0] != "tones" or ".." in parts:
                return f"wrong: case {seed}: {path!r} leads out of the folder"
        json.dumps(manifest.to_dict("list"))
        return "right"

    return case
