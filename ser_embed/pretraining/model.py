"""Masked prediction: a HuBERT that names the clusters of frames it cannot hear.

At a hidden frame the network's output is projected and compared with a vector per label: the logits are the cosines
divided by 0.1, the loss is their cross-entropy (Hsu et al. 2021). Each label set has its own projection and vectors.
With speaker embeddings (PAPT, Tran et al. 2023) e_s is added to the output first: f_t + e_s, the same for all frames.
"""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from ser_embed.pretraining.batches import Batch
from ser_embed.pretraining.readout import Readout

TEMPERATURE = 0.1
CODE_WIDTH = 256  # of label vectors, as in HuBERT
SPEAKER_WIDTH = 64  # of rows of the speaker table
FUNCTIONALS_WEIGHT = 12.0  # of a standardised functional's squared error, beside the cross-entropy of a hidden frame


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
        error: squared error of the functionals told, summed over crops heard whole, float32 ().
    """

    loss: torch.Tensor
    correct: torch.Tensor
    error: torch.Tensor


class MaskedPrediction(torch.nn.Module):
    """A HuBERT with heads for label sets, and speaker embeddings and a readout of functionals if asked for."""

    _shares: torch.Tensor

    def __init__(
        self,
        network: Any,
        clusters: Sequence[int],
        speakers: int | None = None,
        shares: Sequence[float] | None = None,
        functionals: int | None = None,
    ) -> None:
        """Put heads on a transformers HubertModel.

        Args:
            network: the HubertModel.
            clusters: labels in each label set.
            speakers: rows of the speaker table, nobody not counted; None for no embeddings.
            shares: what each label set counts in the loss; None for all the same.
            functionals: how many a crop that is heard whole has; None for no readout.
        """
        super().__init__()
        width = network.config.hidden_size
        self.network = network
        even = [1 / len(clusters)] * len(clusters)
        self.register_buffer("_shares", torch.tensor(shares or even), persistent=False)
        self.heads = torch.nn.ModuleList(LabelHead(width, count) for count in clusters)
        # Made last, so that the heads begin the same with speakers and without.
        self.speakers = None if speakers is None else SpeakerEmbedding(speakers, width)
        layers = network.config.num_hidden_layers + 1
        self.readout = None if functionals is None else Readout(layers, width, functionals)

    def total(self, outcome: Outcome, hidden: int, heard: int) -> torch.Tensor:
        """Return the loss that is learnt from, ().

        Args:
            outcome: what came of a part of a batch.
            hidden: frames hidden in the whole batch.
            heard: crops heard whole in it.
        """
        entropy = (outcome.loss * self._shares).sum()  # not a product autocast would round
        return entropy / max(1, hidden) + FUNCTIONALS_WEIGHT * outcome.error / max(1, heard)

    @torch.no_grad()
    def measure(self, batches: Iterable[Batch]) -> None:
        """Let the readout see what it is to work with; the model is left in evaluation mode."""
        self.eval()
        if self.readout is not None:
            self.readout.measure((self._layers(each), self._there(each.functionals)) for each in batches)

    def _layers(self, batch: Batch) -> tuple[torch.Tensor, ...]:
        """Return the frames that enter and leave every block, of crops of which nothing is hidden."""
        nothing = torch.zeros(batch.mask.shape, dtype=torch.bool, device=self.network.device)
        waveforms = self._there(batch.waveforms)
        return self.network(waveforms, mask_time_indices=nothing, output_hidden_states=True).hidden_states

    def _there(self, array: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(array).to(self.network.device, non_blocking=True)

    def forward(self, batch: Batch) -> Outcome:
        """Predict the hidden frames of a batch."""
        waveforms, mask, labels, speakers, heard, functionals = (
            self._there(array)
            for array in (
                batch.waveforms, batch.mask, batch.labels, batch.speakers, batch.heard, batch.functionals,
            )
        )  # fmt: skip
        output = self.network(waveforms, mask_time_indices=mask, output_hidden_states=self.readout is not None)
        hidden = output.last_hidden_state  # (crops, frames, width)
        if self.speakers is not None:
            hidden = hidden + self.speakers(speakers).unsqueeze(1)
        logits = [head(hidden[mask]) for head in self.heads]
        wanted = labels[:, mask]  # (sets, hidden frames)
        pairs = list(zip(logits, wanted, strict=True))
        loss = torch.stack([F.cross_entropy(guess, right, reduction="sum") for guess, right in pairs])
        correct = torch.stack([(guess.argmax(dim=-1) == right).sum() for guess, right in pairs])
        error = loss.new_zeros(())
        if self.readout is not None and batch.heard.any():
            with torch.autocast(waveforms.device.type, enabled=False):
                error = self.readout([layer[heard] for layer in output.hidden_states], functionals[heard])
        return Outcome(loss, correct, error)
