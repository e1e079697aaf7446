"""Training: from a store and a config to the fitted folds of a run."""
