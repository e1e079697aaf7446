"""Audio: from a file on disk to checked 16 kHz waveforms, whole or in windows."""
