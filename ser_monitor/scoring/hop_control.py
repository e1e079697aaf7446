"""Hop control: fewer windows of a live session where the machine cannot keep up, more again when it can."""

MOST_STRIDE = 8  # of all windows only every eighth; beyond that the sound waits, and what is lost is counted
_WIDEN_AT_S, _NARROW_AT_S = 1.0, 0.5  # delay from the end of a window to its answer
_PATIENCE_S = 3.0  # between two steps to wider hops: what waits has to be worked off first
_CALM_S = 10.0  # of answers in time before a step to narrower hops


class HopControl:
    """How many of a session's windows are scored.

    Attributes:
        stride: every so manyth window is.
    """

    def __init__(self, now_s: float) -> None:
        """Begin with all windows.

        Args:
            now_s: `time.monotonic()`.
        """
        self.stride = 1
        self._changed_s = self._calm_since_s = now_s

    def takes(self, number: int) -> bool:
        """Return whether a window is scored, by its number in the recording."""
        return number % self.stride == 0

    def observe(self, delay_s: float, now_s: float) -> bool:
        """Take note of how late an answer came; return whether the stride changed.

        Args:
            delay_s: from the end of the window's audio to its answer, in seconds.
            now_s: `time.monotonic()`.
        """
        if delay_s > _NARROW_AT_S:
            self._calm_since_s = now_s
        if delay_s > _WIDEN_AT_S and self.stride < MOST_STRIDE and now_s - self._changed_s >= _PATIENCE_S:
            return self._set(self.stride * 2, now_s)
        if self.stride > 1 and now_s - max(self._calm_since_s, self._changed_s) >= _CALM_S:
            return self._set(self.stride // 2, now_s)
        return False

    def _set(self, stride: int, now_s: float) -> bool:
        self.stride, self._changed_s = stride, now_s
        return True
