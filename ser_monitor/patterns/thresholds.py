"""Thresholds of control charts from the false alarms per hour that are asked for.

For independent normal deviations from a center that is certain, a Markov chain gives the threshold exactly. Windows of
speech are neither independent nor normal, and their center and spread are estimates, with which false alarms come far
more often (Jones, Champ and Rigdon, "The Run Length Distribution of the CUSUM with Estimated Parameters", 2004). So the
whole course is simulated: a baseline is measured on as many windows as there are, the chart watches windows that
follow, and its alarms are counted at many thresholds. The series are autoregressive, made of the baseline's own
innovations, drawn with replacement and smoothed (Bühlmann, "Sieve Bootstrap for Time Series", 1997).

An autoregression strays farther than voices do: on calm speech of actors its thresholds gave a fourth of the alarms.
The more windows a baseline has, the more its own windows count in place of the simulated ones.
"""

import numpy as np

from ser_monitor.patterns.baseline import LEAST_SPREAD, MOST_CORRELATION, NORMAL_SPREAD, SignalBaseline
from ser_monitor.patterns.charts import Chart

_EXPECTED_ALARMS = 40  # that are simulated: the rate is met within some 15 %
_MOST_SERIES, _MOST_BASELINE, _WATCHED = 4000, 900, 300  # series; windows of each
_WARM_UP = 100  # windows after which an autoregressive series no longer shows where it began
_LIMITS, _SMALLEST, _LARGEST = 16, 0.7, 30.0  # number of thresholds that are tried, and their range
# The level of a voice is another in the next ten minutes and the next session, by so many spreads: 0.34 between the
# first ten minutes and the second hour of the development conversations of `benchmarks.conversations`, of which 0.2 is
# chance.
_WANDERING = 0.25
_NODES, _WEIGHTS = np.array([-(3**0.5), 0.0, 3**0.5]), np.array([1.0, 4.0, 1.0]) / 6
_LEAST_ALARMS = 20  # in the past, from which rates of rarer alarms are extrapolated
_SHRINKAGE = 100  # windows, with which the baseline's own count as much as simulated ones
_ROBUST_ERROR = 1.5  # standard error of the robust correlation, in those of the ordinary one
_SEED = 0  # the same baseline gives the same threshold


def independent_limit(chart: type[Chart], alarms_per_window: float) -> float:
    """Return the threshold of a two-sided chart for independent normal deviations, to three digits.

    Args:
        chart: kind of chart.
        alarms_per_window: false alarms, below 0.1.

    >>> from ser_monitor.patterns.charts import EwmaChart
    >>> round(independent_limit(EwmaChart, 1 / 500), 1)  # Lucas and Saccucci: 2.814
    2.8
    """
    low, high = 0.1, 20.0
    while high / low > 1.001:
        middle = (low * high) ** 0.5
        low, high = (low, middle) if chart.run_length(middle) * alarms_per_window > 1 else (middle, high)
    return low


def calibrated_limit(
    chart: type[Chart], baseline: SignalBaseline, alarms_per_window: float, directions: int = 2
) -> float:
    """Return the threshold at which a chart raises as many false alarms as are accepted.

    Args:
        chart: kind of chart.
        baseline: what is usual, as far as it is known.
        alarms_per_window: false alarms of all directions together, below 0.1.
        directions: 1 for a chart that watches upwards alone, 2 for both.
    """
    scale = independent_limit(chart, alarms_per_window)
    limits = np.geomspace(_SMALLEST * scale, _LARGEST * scale, _LIMITS)
    signs = np.array([1.0, -1.0])[:directions]
    simulated = simulated_limit(chart, baseline, alarms_per_window, signs, limits)
    # What was unusual in the past raises the threshold by the past's alarms, but not above the simulated one.
    own = min(simulated, past_limit(chart, baseline, alarms_per_window, signs, limits))
    weight = baseline.num_windows / (baseline.num_windows + _SHRINKAGE)
    return float(np.exp(weight * np.log(own) + (1 - weight) * np.log(simulated)))


def simulated_limit(
    chart: type[Chart], baseline: SignalBaseline, alarms_per_window: float, signs: np.ndarray, limits: np.ndarray
) -> float:
    """Return the threshold from alarms on simulated windows; the largest one if even that raises too many.

    Args:
        chart: kind of chart.
        baseline: what is simulated.
        alarms_per_window: false alarms of all directions together.
        signs: 1 for upwards and -1 for downwards, float64 (directions,).
        limits: thresholds to try, float64 (limits,).
    """
    num_series = int(np.clip(_EXPECTED_ALARMS / (alarms_per_window * _WATCHED), 100, _MOST_SERIES))
    deviations = simulated_deviations(baseline, num_series, np.random.default_rng(_SEED))
    counts = sum(count_alarms(chart, sign * deviations, limits).sum(axis=0) for sign in signs)
    # Half an alarm stands for none, whose logarithm there is not.
    rates = np.minimum.accumulate(np.maximum(counts, 0.5) / deviations.size)
    return float(np.exp(np.interp(-np.log(alarms_per_window), -np.log(rates), np.log(limits))))


def past_limit(
    chart: type[Chart], baseline: SignalBaseline, alarms_per_window: float, signs: np.ndarray, limits: np.ndarray
) -> float:
    """Return the threshold from the alarms that there would have been in the baseline's own windows.

    The center fits these windows better than those to come, so that alarms are averaged over normal errors of the
    center, by Gauss-Hermite quadrature. The rate is read off where alarms are frequent enough, and falls exponentially
    with the threshold, or with its square, above (peaks over a threshold; Davison and Smith, "Models for Exceedances
    over High Thresholds", 1990).

    Args:
        chart: kind of chart.
        baseline: the windows.
        alarms_per_window: false alarms of all directions together.
        signs: 1 for upwards and -1 for downwards, float64 (directions,).
        limits: thresholds to try, float64 (limits,).
    """
    deviations = np.concatenate([baseline.deviations(run) for run in baseline.runs])
    shifted = deviations[:, np.newaxis] + _level_error(baseline) * _NODES  # (windows, nodes)
    counts = sum(_WEIGHTS @ count_alarms(chart, sign * shifted, limits) for sign in signs)
    counts = np.maximum.accumulate(counts[::-1])[::-1]  # too low a threshold joins alarms
    if counts[0] == 0:
        return float(limits[0])
    first = int(np.flatnonzero(counts >= min(_LEAST_ALARMS, counts[0]))[-1])
    powers = limits**chart.tail_power
    mean_excess = np.trapezoid(counts[first:], powers[first:]) / counts[first]
    accepted = alarms_per_window * len(deviations)
    power = powers[first] + mean_excess * np.log(counts[first] / accepted)
    return float(max(powers[0], power) ** (1 / chart.tail_power))


def simulated_deviations(baseline: SignalBaseline, num_series: int, rng: np.random.Generator) -> np.ndarray:
    """Simulate windows that follow a baseline, as they deviate from the baseline that would have been measured.

    Args:
        baseline: what is simulated.
        num_series: how often.
        rng: draws the series.

    Returns:
        float64 (windows, series), in spreads.
    """
    num_baseline = min(baseline.num_windows, _MOST_BASELINE)
    series = _autoregressive(baseline, (num_baseline + _WATCHED, num_series), rng)
    measured = series[:num_baseline]
    centers = np.median(measured, axis=0)
    spreads = NORMAL_SPREAD * np.median(np.abs(measured - centers), axis=0)
    wandering = rng.normal(0, _WANDERING, num_series)
    return (series[num_baseline:] - centers) / np.maximum(spreads, LEAST_SPREAD / baseline.spread) + wandering


def count_alarms(chart: type[Chart], deviations: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """Count the alarms of upward charts, int64 (series, limits).

    Args:
        chart: kind of chart.
        deviations: in spreads, float64 (windows, series).
        limits: thresholds, float64 (limits,).
    """
    charts = chart(limits, (deviations.shape[1], len(limits)))
    counts = np.zeros(charts.statistic.shape, np.int64)
    for row in deviations:
        counts += charts.step(row[:, np.newaxis])
    return counts


def _level_error(baseline: SignalBaseline) -> float:
    """Return the standard error of the center, in spreads: of a median of correlated windows, and of what wanders."""
    correlation = baseline.correlation
    variance = np.pi / 2 * (1 + correlation) / (1 - correlation) / baseline.num_windows
    return float(np.sqrt(variance + _WANDERING**2))


def _autoregressive(baseline: SignalBaseline, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Return series of deviations as correlated as the baseline, float64 (windows, series)."""
    innovations = _innovations(baseline)
    width = innovations.std() * len(innovations) ** -0.2  # of the kernel (Silverman)
    correlations = _correlations(baseline, shape[1], rng)
    series = np.zeros((shape[0] + _WARM_UP, shape[1]))
    drawn = rng.choice(innovations, series.shape) + width * rng.standard_normal(series.shape)
    for window in range(1, len(series)):
        series[window] = correlations * series[window - 1] + drawn[window]
    return series[_WARM_UP:]


def _correlations(baseline: SignalBaseline, num_series: int, rng: np.random.Generator) -> np.ndarray:
    """Draw what the correlation may be, as it is an estimate too, float64 (series,).

    Bias and standard error are those of an autoregression's first coefficient (Kendall, "Note on Bias in the Estimation
    of Autocorrelation", 1954), the latter larger as the estimate is robust.
    """
    estimate, num_windows = baseline.correlation, max(1, baseline.num_windows)
    bias = (1 + 3 * estimate) / num_windows
    error = _ROBUST_ERROR * np.sqrt((1 - estimate**2) / num_windows)
    return np.clip(rng.normal(estimate + bias, error, num_series), 0, MOST_CORRELATION)


def _innovations(baseline: SignalBaseline) -> np.ndarray:
    """Return what each window deviates from the forecast by the one before it, float64 (windows with one before,)."""
    runs = [baseline.deviations(run) for run in baseline.runs]
    residuals = np.concatenate([run[1:] - baseline.correlation * run[:-1] for run in runs])
    return residuals - np.median(residuals) if len(residuals) else np.concatenate(runs)
