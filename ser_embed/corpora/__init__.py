"""Corpora: the specification of each data set, and the manifest of the clips in a data folder."""
