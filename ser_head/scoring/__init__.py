"""Scoring: vectors to calibrated probabilities, and to how unlike the training they are."""
