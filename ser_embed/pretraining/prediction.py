"""Masked prediction: a HuBERT that names the clusters of frames it cannot hear.

At a hidden frame the network's output is projected and compared with a vector per label: the logits are the cosines
divided by 0.1, the loss is their cross-entropy (Hsu et al. 2021). Each label set has its own projection and vectors.
With speaker embeddings (PAPT, Tran et al. 2023) e_s is added to the output first: f_t + e_s, the same for all frames.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F

from ser_embed.pretraining.batches import Batch

TEMPERATURE = 0.1
CODE_WIDTH = 256  # of label vectors, as in HuBERT
SPEAKER_WIDTH = 64  # of rows of the speaker table


class LabelHead(torch.nn.Module):
    """The projection and the label vectors of one label set."""

    def __init__(self, width: int, clusters: int) -> None:
        """Make a head for outputs of `width` and so many labels."""
        super().__init__()
        self.projection = torch.nn.Linear(width, CODE_WIDTH)
        self.vectors = torch.nn.Parameter(torch.empty(clusters, CODE_WIDTH).normal_())

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Return logits, float32 (frames, labels), of outputs (frames, width)."""
        codes = F.normalize(self.projection(hidden).float(), dim=-1)
        return codes @ F.normalize(self.vectors.float(), dim=-1).T / TEMPERATURE


class SpeakerEmbedding(torch.nn.Module):
    """A table of speakers and a linear map of its rows. Row 0 is nobody known, whose embedding is zero for good.

    Rows begin at zero: continuing with speaker embeddings begins where it would without.
    """

    def __init__(self, speakers: int, width: int) -> None:
        """Make a table of so many speakers, for outputs of `width`."""
        super().__init__()
        self.table = torch.nn.Embedding(speakers + 1, SPEAKER_WIDTH, padding_idx=0)
        torch.nn.init.zeros_(self.table.weight)
        self.linear = torch.nn.Linear(SPEAKER_WIDTH, width, bias=False)

    def forward(self, speakers: torch.Tensor) -> torch.Tensor:
        """Return e_s for rows of the table: (clips,) to (clips, width)."""
        return self.linear(self.table(speakers))


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What came of predicting a batch, per label set, summed over hidden frames.

    Attributes:
        loss: float32 (sets,).
        correct: frames whose most likely label was the right one, int64 (sets,).
        frames: how many frames were hidden.
    """

    loss: torch.Tensor
    correct: torch.Tensor
    frames: int


class MaskedPrediction(torch.nn.Module):
    """A HuBERT with heads for label sets, and speaker embeddings if they are asked for."""

    def __init__(
        self, network: Any, clusters: Sequence[int], speakers: int | None = None, shares: Sequence[float] | None = None
    ) -> None:
        """Put heads on a transformers HubertModel.

        Args:
            network: the HubertModel.
            clusters: labels in each label set.
            speakers: rows of the speaker table, nobody not counted; None for no embeddings.
            shares: what each label set counts in the loss; None for all the same.
        """
        super().__init__()
        width = network.config.hidden_size
        self.network = network
        even = [1 / len(clusters)] * len(clusters)
        self._shares = tuple(shares or even)
        self.heads = torch.nn.ModuleList(LabelHead(width, count) for count in clusters)
        # Made last, so that the heads begin the same with speakers and without.
        self.speakers = None if speakers is None else SpeakerEmbedding(speakers, width)

    def total(self, loss: torch.Tensor) -> torch.Tensor:
        """Return the loss that is learnt from, given that of each label set: (sets,) to ()."""
        return (loss * torch.tensor(self._shares, device=loss.device)).sum()  # not a product autocast would round

    def forward(self, batch: Batch) -> Outcome:
        """Predict the hidden frames of a batch."""
        device = self.network.device
        waveforms, mask, labels, speakers = (
            torch.from_numpy(array).to(device, non_blocking=True)
            for array in (batch.waveforms, batch.mask, batch.labels, batch.speakers)
        )
        hidden = self.network(waveforms, mask_time_indices=mask).last_hidden_state  # (crops, frames, width)
        if self.speakers is not None:
            hidden = hidden + self.speakers(speakers).unsqueeze(1)
        logits = [head(hidden[mask]) for head in self.heads]
        wanted = labels[:, mask]  # (sets, hidden frames)
        pairs = list(zip(logits, wanted, strict=True))
        loss = torch.stack([F.cross_entropy(guess, right, reduction="sum") for guess, right in pairs])
        correct = torch.stack([(guess.argmax(dim=-1) == right).sum() for guess, right in pairs])
        return Outcome(loss, correct, int(batch.mask.sum()))
