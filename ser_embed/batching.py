"""Which clips are encoded together: neighbours in length, as many as a budget of audio allows, shared out evenly.

A batch has no padding, so it costs what its clips last. Where several batches are worked on at once, their number is a
multiple of that many, so that the lanes come to an end together.
"""

from collections.abc import Sequence


def make_batches(lengths: Sequence[int], budget: int, lanes: int = 1) -> list[list[int]]:
    """Group clips into batches of about the same audio, longest clips first.

    Args:
        lengths: samples of each clip.
        budget: samples a batch may have; a longer clip is a batch alone.
        lanes: how many batches are worked on at once.

    Returns:
        Positions in `lengths`, each in exactly one batch; the same for the same arguments.

    >>> make_batches([10, 30, 11, 29], budget=60)
    [[1], [3, 2, 0]]
    """
    left = sum(lengths)  # samples that are in no batch yet
    room = max(budget - max(lengths, default=0) // 2, budget // 2)  # a share ends up to half a clip late
    wanted = lanes * -(-left // (room * lanes))
    batches: list[list[int]] = []
    filled, share = 0, 0.0  # of the last batch: samples it has, and samples it should have
    for position in sorted(range(len(lengths)), key=lambda position: (-lengths[position], position)):
        length = lengths[position]
        if not batches or filled + length > budget or filled + length / 2 > share:
            share = left / max(1, wanted - len(batches))
            batches.append([])
            filled = 0
        batches[-1].append(position)
        filled += length
        left -= length
    return batches
