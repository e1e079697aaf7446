"""Train result: a finished training, as `ser_head.train` returns it and as a notebook shows it."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ser_head.runs.baseline import BASELINE
from ser_head.runs.results import RunResults

_SHOWN = ("confusion", "agreement", "enrollment", "training")  # of `ser_head.reporting.run_plots.PLOTS`


@dataclass(frozen=True)
class TrainResult:
    """A finished training.

    Attributes:
        run: the run folder.
        metrics: content of its metrics.json.
    """

    run: Path
    metrics: dict[str, Any]

    @classmethod
    def load(cls, run: str | Path) -> "TrainResult":
        """Read the run in a folder.

        Raises:
            InputError: it is no run folder, or a damaged one.
        """
        results = RunResults.load(run)
        return cls(Path(run), results.metrics)

    @cached_property
    def results(self) -> RunResults:
        """The run with its predictions and its training history."""
        return RunResults.load(self.run)

    def __repr__(self) -> str:
        """Return the main figure and the run folder in one line."""
        name, label = ("uar", "UAR") if self.metrics["labels"] else ("ccc", "CCC")
        figure, num_tested = self.metrics["test"][name], self.metrics["n_test"]
        return f"TrainResult({label} {figure:.3f} on {num_tested} clips, {self.metrics['protocol']}, run {self.run})"

    def _repr_html_(self) -> str:
        """Return figures and pictures as html for the output of a notebook cell."""
        from ser_head.reporting.html import render_fragment
        from ser_head.reporting.run_plots import PLOTS
        from ser_head.reporting.text import protocol_in_words

        # These plots need neither the store nor its clips.
        drawn = [PLOTS[name](self.results, None, None) for name in _SHOWN]  # type: ignore[arg-type]
        return render_fragment(
            "train_result.html.j2",
            run=str(self.run),
            protocol=self.metrics["protocol"],
            protocol_in_words=protocol_in_words(self.metrics["protocol"]),
            is_disjoint=bool(self.metrics["speaker_disjoint"]),
            num_tested=self.metrics["n_test"],
            test=self.metrics["test"],
            has_classes=bool(self.metrics["labels"]),
            baseline=self.metrics.get(BASELINE),
            conditions=self.metrics.get("conditions", {}),
            pictures=[image for image in drawn if image],
        )
