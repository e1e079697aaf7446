"""Which frames are hidden: spans of frames, as in wav2vec 2.0 and HuBERT."""

import numpy as np


def span_mask(rng: np.random.Generator, shape: tuple[int, int], probability: float, length: int) -> np.ndarray:
    """Draw masked spans, as many in every clip of a batch.

    Args:
        rng: where chance comes from.
        shape: clips, frames.
        probability: number of spans times their length, over frames. Spans may overlap, so fewer frames are masked.
        length: frames of a span. In a clip of less than twice that, spans are half the clip.

    Returns:
        bool (clips, frames), True where a frame is hidden.
    """
    clips, frames = shape
    length = max(1, min(length, frames // 2))
    places = frames - length + 1
    spans = min(places, max(1, int(probability * frames / length + rng.random())))
    starts = rng.random((clips, places)).argpartition(spans - 1, axis=1)[:, :spans]  # without a start twice
    hidden = (starts[:, :, np.newaxis] + np.arange(length)).reshape(clips, -1)
    mask = np.zeros(shape, dtype=bool)
    np.put_along_axis(mask, hidden, True, axis=1)
    return mask
