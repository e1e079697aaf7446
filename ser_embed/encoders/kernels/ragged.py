"""Ragged batches: frames of several clips packed end to end, and the groups of clips that are padded where needed.

Operations that treat every frame alike (linear layers, norms, activations) work on packed rows, (rows, ...): the frames
of all clips of a batch, one clip after the other, without padding between them. Attention needs the frames of each clip
as a separate matrix. A processor handles the clips one by one; an accelerator handles clips of like length together,
padded with zeros to the longest and masked.
"""

import dataclasses
from collections.abc import Sequence

import torch

# The shortest clip of a group, relative to the longest.
EQUAL_LENGTH = 1.0  # no padding at all
SIMILAR_LENGTH = 0.7  # limits the padding on which the attention of an accelerator wastes work


@dataclasses.dataclass(frozen=True)
class Group:
    """Neighbouring clips of a ragged batch that can be padded to one tensor.

    Attributes:
        rows: the rows of the batch that belong to them.
        counts: frames of each clip; the first clip is the longest.
        positions: int (rows,), the index of each row among the rows of the padded clips; None if there is no padding.
        valid: bool (clips, frames), False where a frame is padding; None if there is no padding.
    """

    rows: slice
    counts: tuple[int, ...]
    positions: torch.Tensor | None
    valid: torch.Tensor | None

    @property
    def frames(self) -> int:
        """Frames of the longest clip."""
        return self.counts[0]

    def pad(self, rows: torch.Tensor) -> torch.Tensor:
        """Pad the rows of this group, (rows, ...), with zeros to (clips, frames, ...)."""
        if self.positions is not None:
            padded = rows.new_zeros(len(self.counts) * self.frames, *rows.shape[1:])
            rows = padded.index_copy_(0, self.positions, rows)
        return rows.unflatten(0, (len(self.counts), self.frames))

    def unpad(self, padded: torch.Tensor) -> torch.Tensor:
        """Undo `pad`: (clips, frames, ...) to (rows, ...)."""
        rows = padded.flatten(0, 1)
        return rows if self.positions is None else rows.index_select(0, self.positions)


def group_clips(counts: Sequence[int], min_length_ratio: float, device: str) -> list[Group]:
    """Group neighbouring clips of like length.

    Args:
        counts: frames of each clip, in the order of the rows.
        min_length_ratio: the shortest clip of a group relative to its first one, which is its longest; from 0 to 1.
        device: the device of the frames.
    """
    counts_by_group: list[list[int]] = []
    for count in counts:
        if counts_by_group and min_length_ratio * counts_by_group[-1][0] <= count <= counts_by_group[-1][0]:
            counts_by_group[-1].append(count)
        else:
            counts_by_group.append([count])
    first_row, groups = 0, []
    for group_counts in counts_by_group:
        positions, valid = None, None
        if min(group_counts) < group_counts[0]:
            is_frame = torch.arange(group_counts[0]) < torch.tensor(group_counts)[:, None]
            # Computed before the copy: on a device, `nonzero` would wait for all work that is queued there.
            positions = is_frame.flatten().nonzero().flatten().to(device)
            valid = is_frame.to(device)
        rows = slice(first_row, first_row + sum(group_counts))
        groups.append(Group(rows, tuple(group_counts), positions, valid))
        first_row = rows.stop
    return groups
