"""Inference: emotions of new audio, from files and arrays to tables of probabilities."""
