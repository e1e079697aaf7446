"""Evaluation: predictions, metrics, recall, calibration, significance, and figures of groups of clips."""
