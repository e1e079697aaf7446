"""Frames of several clips end to end, and the groups of clips that are laid side by side where an operation needs it.

Whatever treats every frame alike (linear layers, norms, activations) works on rows: frames of all clips of a batch, one
clip after the other, with no padding between. Attention needs a clip's frames as a matrix of their own. A processor
takes clips one by one; an accelerator takes clips of like length together, padded to the longest and masked.
"""

import dataclasses
from collections.abc import Sequence

import torch

ALONE = 1.0  # only clips of one length share a group, so that there is no padding
ALIKE = 0.7  # of the longest clip's frames: what the attention of an accelerator may waste


@dataclasses.dataclass(frozen=True)
class Group:
    """Clips that lie side by side.

    Attributes:
        rows: which rows are theirs.
        counts: frames of each clip, the longest first.
        places: int (rows,), each row's place among those of the padded clips; None if there is no padding.
        valid: bool (clips, frames), False where a frame is padding; None if there is none.
    """

    rows: slice
    counts: tuple[int, ...]
    places: torch.Tensor | None
    valid: torch.Tensor | None

    @property
    def frames(self) -> int:
        """Frames of the longest clip."""
        return self.counts[0]

    def pad(self, rows: torch.Tensor) -> torch.Tensor:
        """Lay this group's rows, (rows, ...), side by side: (clips, frames, ...), zeros as padding."""
        if self.places is not None:
            padded = rows.new_zeros(len(self.counts) * self.frames, *rows.shape[1:])
            rows = padded.index_copy_(0, self.places, rows)
        return rows.unflatten(0, (len(self.counts), self.frames))

    def unpad(self, padded: torch.Tensor) -> torch.Tensor:
        """Undo `spread`: (clips, frames, ...) to (rows, ...)."""
        rows = padded.flatten(0, 1)
        return rows if self.places is None else rows.index_select(0, self.places)


def group_clips(counts: Sequence[int], alike: float, device: str) -> list[Group]:
    """Group neighbouring clips of like length.

    Args:
        counts: frames of each clip, in the order of the rows.
        alike: what a clip has to have of the frames of its group's first, which is its longest: 1 to 0.
        device: where the frames are.
    """
    groups: list[list[int]] = []
    for count in counts:
        if groups and alike * groups[-1][0] <= count <= groups[-1][0]:
            groups[-1].append(count)
        else:
            groups.append([count])
    first, made = 0, []
    for group in groups:
        places, valid = None, None
        if min(group) < group[0]:
            real = torch.arange(group[0]) < torch.tensor(group)[:, None]
            places = real.flatten().nonzero().flatten().to(device)  # counted before, as a device would be waited for
            valid = real.to(device)
        made.append(Group(slice(first, first + sum(group)), tuple(group), places, valid))
        first += sum(group)
    return made
