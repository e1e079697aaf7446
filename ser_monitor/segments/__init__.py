"""Segments: recordings cut into windows and utterances, voice activity, smoothing."""
