"""Runs: a trained head with all that explains it, in one folder; reading, writing and combining."""
