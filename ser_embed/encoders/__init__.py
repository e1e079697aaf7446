"""Encoders: from waveforms to the pooled vectors of every layer."""
