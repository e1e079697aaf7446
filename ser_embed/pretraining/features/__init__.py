"""Acoustic features of every frame: what pre-training clusters into labels, or predicts as functionals."""
