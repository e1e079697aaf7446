"""Session speaker: what a session has heard of who speaks, as unlabelled vectors to adapt to.

They are enrolled as clips of `ser_head.enroll` are: the run's own methods shrink what they say towards all speakers,
the more strongly the fewer there are. Windows that overlap say the same twice, so that one is taken only when the last
one taken is over.
"""

import numpy as np

MOST_WINDOWS = 30  # the gain of 20 enrolled clips is that of all (README, "What knowing the speaker brings")
MIN_SPEECH = 0.5  # share of a window that has to be the speaker's voice


class SessionSpeaker:
    """A sample of a session's windows, the same for the same audio.

    Each window is as likely as any other to be in it (Vitter, "Random Sampling with a Reservoir", 1985, algorithm R).
    """

    def __init__(self, seed: int = 0) -> None:
        """Begin with no windows.

        Args:
            seed: of the sample.
        """
        self._random = np.random.default_rng(seed)
        self._vectors: list[np.ndarray] = []
        self._num_heard = 0
        self._ended_s = 0.0
        self._stacked: np.ndarray | None = None

    @property
    def vectors(self) -> np.ndarray | None:
        """Vectors of the sample, float32 (windows, layers, width); None before there is one."""
        if self._stacked is None and self._vectors:
            self._stacked = np.stack(self._vectors)
        return self._stacked

    def __len__(self) -> int:
        """Return the number of windows in the sample."""
        return len(self._vectors)

    def add(self, vector: np.ndarray, start_s: float, end_s: float, speech: float) -> None:
        """Offer a window that has been scored.

        Args:
            vector: float32 (layers, width).
            start_s: where the window begins, in seconds.
            end_s: where it ends.
            speech: share of it that is voice.
        """
        if speech < MIN_SPEECH or start_s < self._ended_s:
            return
        self._ended_s = end_s
        self._num_heard += 1
        if len(self._vectors) < MOST_WINDOWS:
            self._vectors.append(vector)
        else:
            slot = int(self._random.integers(self._num_heard))
            if slot >= MOST_WINDOWS:
                return
            self._vectors[slot] = vector
        self._stacked = None
