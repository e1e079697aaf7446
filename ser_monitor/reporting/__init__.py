"""Reporting: trends, alerts, unusual stretches and model performance over a period, as pages and tables."""
