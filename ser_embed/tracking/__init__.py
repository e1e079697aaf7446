"""Tracking of experiments: settings, curves and results of a training, for the tools that show and compare them."""
