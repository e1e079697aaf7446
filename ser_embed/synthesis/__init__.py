"""Synthetic emotional speech: espeak-ng speaks, and a rule per emotion and speaker changes its prosody."""
