"""Clock of live audio: the moments at which samples arrive, and waiting that a stop interrupts."""

import os
import select
import threading
import time
from datetime import UTC, datetime, timedelta


class Clock:
    """The computer's clocks. Sources take one as an argument, so that a test can pass time by hand."""

    def monotonic(self) -> float:
        """Return seconds that never jump, from an arbitrary zero."""
        return time.monotonic()

    def utc_now(self) -> datetime:
        """Return the time of day in UTC."""
        return datetime.now(UTC)

    def utc_at(self, monotonic_s: float) -> datetime:
        """Return the time of day, in UTC, at which `monotonic` gave this value, or will give it."""
        return self.utc_now() - timedelta(seconds=self.monotonic() - monotonic_s)

    def wait(self, stop: threading.Event, duration_s: float) -> bool:
        """Wait for so many seconds or until `stop` is set; return whether it is."""
        return stop.wait(max(0.0, duration_s))

    def wait_to_read(self, handle: int, duration_s: float) -> bool:
        """Wait until reading a pipe would not block, or for so many seconds; return whether it would not."""
        if os.name == "nt":
            return True  # Windows waits for sockets alone: the read itself waits, and a stop is seen after it
        return bool(select.select([handle], [], [], duration_s)[0])


SYSTEM_CLOCK = Clock()
