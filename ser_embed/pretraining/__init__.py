"""HuBERT's pre-training: clips to waveforms, waveforms to pseudo-labels, masked prediction of the labels.

Hsu et al. 2021, HuBERT: frames are clustered once, spans of them are masked, and the network learns to name the
clusters of what it cannot hear. Frames are HuBERT's: frame t hears samples 320 t to 320 t + 400 of 16 kHz audio.
"""
