"""Kernels: the forward pass of HuBERT, Wav2Vec2 and WavLM on packed frames, without padding."""
