"""Audio: checked 16 kHz waveforms from audio files, whole or in windows, and their augmentation."""
