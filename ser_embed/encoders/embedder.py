"""Embedder: an encoder together with the decoding of audio files, loaded once and used for many clips."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ser_embed.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from ser_embed.encoders.base import EncoderOptions
    from ser_embed.spec import EmbeddingSpec


class Embedder:
    """Encoder together with the decoding of audio files, loaded once and used for many clips.

    Attributes:
        spec: description of its vectors.
        max_clip_s: the longest clip the encoder accepts, in seconds.
    """

    def __init__(self, model: str, options: "EncoderOptions | None" = None) -> None:
        """Load an encoder by name, Hub id or folder.

        Raises:
            InputError: there is no such model, or an option does not fit it.
        """
        from ser_embed.encoders.base import EncoderOptions
        from ser_embed.encoders.registry import load_encoder

        self._encoder = load_encoder(model, options or EncoderOptions())
        self.spec = self._encoder.spec
        self.max_clip_s = self._encoder.max_clip_s

    @classmethod
    def of(cls, spec: "EmbeddingSpec", model: str | None = None, device: str = "auto") -> "Embedder":
        """Load the encoder that reproduces the vectors of `spec`.

        Args:
            spec: description of the vectors, for example those that a run was trained on.
            model: name, Hub id or folder of the encoder; None for the one that the spec names.
            device: device to compute on.

        Raises:
            InputError: the loaded encoder gives other vectors; the message names the difference.
        """
        from ser_embed.encoders.base import EncoderOptions

        options = EncoderOptions.of(spec, device)
        if model not in (None, spec.model):  # the commit is one of the spec's model
            options = dataclasses.replace(options, revision=None)
        try:
            embedder = cls(model or spec.model, options)
        except InputError as error:
            if model is None:
                raise
            raise InputError(
                f"the run needs vectors of {spec.model}, and {model} does not make them: {error}"
            ) from error
        spec.require_same(embedder.spec, "the run")
        return embedder

    def embed_files(self, paths: Sequence[str | Path]) -> "np.ndarray":
        """Embed audio files.

        Returns:
            The vectors, as `embed_waveforms` returns them.

        Raises:
            ClipError: a file cannot be used; see `ser_embed.audio.decode.load_clip`.
        """
        from ser_embed.audio.decode import AudioPreprocessing, load_clip

        preprocessing = AudioPreprocessing(self.spec.trim_db, self.spec.level_db)
        return self._embed([load_clip(Path(path), preprocessing)[0] for path in paths])

    def embed_waveforms(self, waveforms: "Sequence[np.ndarray]") -> "np.ndarray":
        """Embed waveforms.

        Args:
            waveforms: float32 (samples,) each, mono at 16 kHz.

        Returns:
            float32 (clips, layers, width); with frames pooling an object array of (frames, layers, width).

        Raises:
            ClipError: a waveform is silent, too short, or not finite.
        """
        from ser_embed.audio.decode import AudioPreprocessing, check_waveform

        for waveform in waveforms:
            check_waveform(waveform)
        preprocessing = AudioPreprocessing(self.spec.trim_db, self.spec.level_db)
        return self._embed([preprocessing.apply(waveform) for waveform in waveforms])

    def _embed(self, waveforms: "list[np.ndarray]") -> "np.ndarray":
        import numpy as np

        from ser_embed.encoders.batching import encode_all

        vectors = encode_all(self._encoder, waveforms)
        if self.spec.pooling != "frames":
            return np.stack(vectors)
        ragged = np.empty(len(vectors), dtype=object)
        ragged[:] = vectors
        return ragged
