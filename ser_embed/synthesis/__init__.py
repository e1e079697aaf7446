"""Synthetic emotional speech: espeak-ng speaks, a rule per emotion moves its prosody, each speaker in their own way."""
