"""What a finished run left on disk, read and checked: the one place that knows its files by name."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ser_embed.errors import InputError
from ser_embed.spec import EmbeddingSpec

_COLUMNS = ("utterance_id", "speaker", "label", "prediction", "fold", "condition")
_TEXT = ("utterance_id", "speaker", "label", "prediction", "condition")


@dataclass(frozen=True)
class Results:
    """A run's settings and figures.

    Attributes:
        folder: the run folder.
        about: run.json: settings, the store's spec, versions, seed.
        metrics: metrics.json.
        predictions: predictions.csv, one row per test clip and condition.
        history: history.csv, one row per fold and epoch; empty for a head that is not trained in epochs.
    """

    folder: Path
    about: dict[str, Any]
    metrics: dict[str, Any]
    predictions: pd.DataFrame
    history: pd.DataFrame

    @classmethod
    def load(cls, folder: str | Path) -> "Results":
        """Read the run in `folder`.

        Raises:
            InputError: it is no run folder, or one of its files is missing or not what it should be.
        """
        folder = Path(folder)
        if not folder.is_dir():
            raise InputError(f"expected a run folder, found nothing of the kind at {folder}")
        about, metrics = (_read_json(folder / name) for name in ("run.json", "metrics.json"))
        for key in ("protocol", "speaker_disjoint", "labels", "test"):
            if key not in metrics:
                raise InputError(f"expected {key!r} in {folder / 'metrics.json'}, found only {sorted(metrics)}")
        return cls(folder, about, metrics, _read_predictions(folder / "predictions.csv"), _read_history(folder))

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.resolve().name

    @property
    def encoder(self) -> str:
        """What the vectors were made by."""
        return self.spec.model if self.spec else "?"

    @property
    def spec(self) -> EmbeddingSpec | None:
        """The spec of the vectors the run was trained on."""
        spec = self.about.get("spec")
        return EmbeddingSpec.from_json(json.dumps(spec)) if spec else None

    @property
    def corpora(self) -> list[str]:
        """The corpora the run used."""
        return list(self.setting("corpus") or sorted({name.partition("/")[0] for name in self.tested["utterance_id"]}))

    def setting(self, name: str) -> Any:
        """Return one of the settings the run was made with, None if it has no such setting."""
        return self.about.get("settings", {}).get(name)

    @property
    def tested(self) -> pd.DataFrame:
        """The predictions behind metrics["test"]: one row per test clip."""
        return self.predictions[self.predictions["condition"] == self.predictions["condition"].iloc[0]]


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise InputError(f"expected a run folder, but {path.parent} has no {path.name}")
    try:
        document = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise InputError(f"expected JSON in {path}, but {error}") from error
    if not isinstance(document, dict):
        raise InputError(f"expected a JSON object in {path}, found {type(document).__name__}")
    return document


def _read_predictions(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise InputError(f"expected a run folder, but {path.parent} has no {path.name}")
    try:
        table = pd.read_csv(path, dtype=dict.fromkeys(_TEXT, str), keep_default_na=False, na_values={})
    except ValueError as error:
        raise InputError(f"expected a table in {path}, but {error}") from error
    missing = [name for name in _COLUMNS if name not in table]
    if missing or table.empty:
        raise InputError(
            f"expected predictions with the columns {', '.join(_COLUMNS)} in {path}, found {len(table)} rows "
            f"without {', '.join(missing) or 'any clip'}"
        )
    return table


def _read_history(folder: Path) -> pd.DataFrame:
    path = folder / "history.csv"
    return pd.read_csv(path) if path.is_file() else pd.DataFrame(columns=["fold", "epoch"])
