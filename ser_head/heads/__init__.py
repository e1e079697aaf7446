"""Heads: the small classifiers on top of the vectors, Keras networks and scikit-learn estimators."""
