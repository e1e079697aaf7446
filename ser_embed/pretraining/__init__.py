"""Pre-training of HuBERT: clips to waveforms, waveforms to pseudo-labels, masked prediction of the labels.

Hsu et al. 2021, HuBERT: the frames of all clips are clustered once, spans of frames are masked, and the network learns
to predict the clusters of the masked frames. Frames are HuBERT's: frame t covers the samples 320 t to 320 t + 400 of
16 kHz audio.
"""
