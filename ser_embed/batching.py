"""Which clips are encoded together: clips of like length, as many as a budget of audio allows.

A padded batch costs as much as its longest clip times its size, so that is what the budget counts.
"""

from collections.abc import Sequence


def make_batches(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Group clips into batches, longest first.

    Args:
        lengths: samples of each clip.
        budget: samples a batch may have once padded to its longest clip; a longer clip is a batch alone.

    Returns:
        Positions in `lengths`, each in exactly one batch; the same for the same lengths.

    >>> make_batches([10, 30, 11, 29], budget=60)
    [[1, 3], [2, 0]]
    """
    batches: list[list[int]] = []
    for position in sorted(range(len(lengths)), key=lambda position: (-lengths[position], position)):
        if batches and lengths[batches[-1][0]] * (len(batches[-1]) + 1) <= budget:
            batches[-1].append(position)
        else:
            batches.append([position])
    return batches
