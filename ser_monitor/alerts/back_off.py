"""Back-off of failed deliveries: 1 s, then twice as long each time up to 5 min, until 24 h are filled with tries.

Tries are counted, and not the time since the alert, so that a machine that was off for days still sends what it has.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class BackOff:
    """When a failed delivery is tried again.

    Attributes:
        first_s: delay after the first failure; each further one is twice as long.
        longest_s: the longest delay.
        given_up_after_s: the sum of delays after which it is not tried again.
        database_s: delay after the database could not be read or written, which is tried without end.
    """

    first_s: float = 1.0
    longest_s: float = 300.0
    given_up_after_s: float = 86400.0
    database_s: float = 1.0

    def delay_s(self, failures: int) -> float | None:
        """Return the seconds from a failure to the next try, or None if there is none.

        Args:
            failures: how often it failed, with this time, from 1.

        >>> [BackOff().delay_s(failures) for failures in (1, 2, 3, 10, 295, 296)]
        [1.0, 2.0, 4.0, 300.0, 300.0, None]
        """
        delays_s = (min(self.first_s * 2.0 ** min(number, 60), self.longest_s) for number in range(failures))
        total_s = last_s = 0.0
        for last_s in delays_s:
            total_s += last_s
        return last_s if total_s <= self.given_up_after_s else None
