"""Encoders: frozen models and feature sets that turn waveforms into pooled vectors, one per layer."""
