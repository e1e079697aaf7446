"""Unusual patterns: baselines, control charts with calibrated thresholds, and change points."""
