"""Encoders: from waveforms to the vectors of every layer.

`load_encoder` is the way in. Transformers need torch, feature sets do not; what is not asked for is not imported.
"""

from ser_embed.encoders.base import Encoder, EncoderOptions
from ser_embed.encoders.registry import feature_sets

__all__ = ["Encoder", "EncoderOptions", "load_encoder"]


def load_encoder(model: str, options: EncoderOptions | None = None) -> Encoder:
    """Load an encoder by name, Hub id or local folder.

    Args:
        model: a name such as "hubert-large", "mfcc" or "mfcc+egemaps", a Hub id, or the folder of a saved model.
        options: layers, pooling, device and arithmetic; the defaults if None.

    Raises:
        InputError: there is no such model, or an option does not fit it.
    """
    options = options or EncoderOptions()
    if feature_sets(model):
        from ser_embed.encoders.features import load_features

        return load_features(feature_sets(model), options)
    from ser_embed.encoders.huggingface import load_transformer

    return load_transformer(model, options)
