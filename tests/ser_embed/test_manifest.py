"""Manifest: unique clips."""

import pytest

from ser_embed.errors import InputError
from ser_embed.manifest import build_manifest


def test_two_clips_with_one_utterance_id_are_bad_input() -> None:
    row = {"utterance_id": "c/a", "path": "a.wav", "corpus": "c", "speaker": "c/1", "emotion": "sad"}
    with pytest.raises(InputError, match=r"two clips have the utterance_id 'c/a': a.wav and a.flac"):
        build_manifest([row, {**row, "path": "a.flac"}])
