"""Which clips are encoded together: neighbours in length, as many as a budget of audio allows.

A batch has no padding, so it costs what its clips last. Lanes work on several batches at once and wait for each other
at the end, some slowed by what else the machine does; so batches shrink as the clips run out (guided self-scheduling,
Polychronopoulos and Kuck, 1987).
"""

from collections.abc import Sequence

_HASTE = 1.5  # a batch is the audio left over this and the number of lanes
_SMALLEST = 1 / 4  # of the budget: below it, matrix products of few rows cost more than waiting does


def make_batches(lengths: Sequence[int], budget: int, lanes: int = 1) -> list[list[int]]:
    """Group clips into batches, longest clips first.

    Args:
        lengths: samples of each clip.
        budget: samples a batch may have; a longer clip is a batch alone.
        lanes: how many batches are worked on at once.

    Returns:
        Positions in `lengths`, each in exactly one batch; the same for the same arguments.

    >>> make_batches([10, 30, 11, 29], budget=60)
    [[1, 3], [2, 0]]
    >>> make_batches([10] * 10, budget=60, lanes=2)
    [[0, 1, 2], [3, 4], [5, 6], [7, 8], [9]]
    """
    left = sum(lengths)  # samples that are in no batch yet
    least = min(_SMALLEST * budget, left / lanes)
    batches: list[list[int]] = []
    filled, share = 0, 0.0  # of the last batch: samples it has, and samples it should have
    for position in sorted(range(len(lengths)), key=lambda position: (-lengths[position], position)):
        length = lengths[position]
        if not batches or filled + length > budget or filled + length / 2 > share:
            share = budget if lanes == 1 else max(left / lanes / _HASTE, least)
            batches.append([])
            filled = 0
        batches[-1].append(position)
        filled += length
        left -= length
    return batches
