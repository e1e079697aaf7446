"""Evaluation: predictions, metrics, calibration figures, significance and subgroups."""
