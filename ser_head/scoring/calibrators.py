"""Calibrators: ways to make a head's probabilities as sure as it is right, fitted on validation clips.

A new calibrator is a subclass of `Calibrator` and an entry of `CALIBRATORS`; `--calibration` chooses it.
"""

from collections.abc import Sequence

import numpy as np


class Calibrator:
    """A way to calibrate probabilities; this one leaves them as they are."""

    def fit(self, probabilities: np.ndarray, targets: np.ndarray) -> list[float]:
        """Return the parameters that suit validation clips best.

        Args:
            probabilities: (clips, classes).
            targets: class of each clip, int (clips,).
        """
        return []

    def apply(self, probabilities: np.ndarray, parameters: Sequence[float]) -> np.ndarray:
        """Return calibrated probabilities, float32 (clips, classes).

        Args:
            probabilities: float32 (clips, classes).
            parameters: what `fit` returned.
        """
        return probabilities

    def accepts(self, parameters: Sequence[float]) -> bool:
        """Tell whether finite numbers that were read from a file can be parameters."""
        return True

    def temperature(self, parameters: Sequence[float]) -> float:
        """Return what the logits are divided by; 1 for a calibrator that does something else."""
        return 1.0


class TemperatureScaling(Calibrator):
    """Temperature scaling (Guo, Pleiss, Sun and Weinberger, 2017); see `ser_head.scoring.temperature`."""

    def fit(self, probabilities: np.ndarray, targets: np.ndarray) -> list[float]:
        """Return the temperature with the least log-loss."""
        from ser_head.scoring.temperature import fit_temperature

        return [fit_temperature(probabilities, targets)]

    def apply(self, probabilities: np.ndarray, parameters: Sequence[float]) -> np.ndarray:
        """Return softmax(log(probabilities) / temperature)."""
        from ser_head.scoring.temperature import apply_temperature

        return apply_temperature(probabilities, self.temperature(parameters))

    def accepts(self, parameters: Sequence[float]) -> bool:
        """Tell whether it is one number above 0."""
        return len(parameters) == 1 and parameters[0] > 0

    def temperature(self, parameters: Sequence[float]) -> float:
        """Return the temperature."""
        return parameters[0]


DEFAULT_CALIBRATOR = "temperature"
CALIBRATORS = {DEFAULT_CALIBRATOR: TemperatureScaling(), "none": Calibrator()}
