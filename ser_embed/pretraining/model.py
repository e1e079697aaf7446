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

_LEAST_DEVIATION = 1e-5
_OUTLIER = 4.0  # deviations beyond which a functional is not followed


class FunctionalsHead(torch.nn.Module):
    """A linear map from each layer's mean and deviation to standardised functionals.

    What goes in and what is wanted are standardised by what `measure` saw, once: statistics of each part of a batch
    would be those of a few crops.
    """

    mean: torch.Tensor
    deviation: torch.Tensor
    wanted_mean: torch.Tensor
    wanted_deviation: torch.Tensor

    def __init__(self, layers: int, width: int, functionals: int) -> None:
        """Make a readout that tells nothing yet, of so many layers of a width."""
        super().__init__()
        self.maps = torch.nn.ModuleList(torch.nn.Linear(2 * width, functionals) for _ in range(layers))
        for parameter in self.maps.parameters():
            torch.nn.init.zeros_(parameter)
        self.register_buffer("mean", torch.zeros(layers, 2 * width))
        self.register_buffer("deviation", torch.ones(layers, 2 * width))
        self.register_buffer("wanted_mean", torch.zeros(functionals))
        self.register_buffer("wanted_deviation", torch.ones(functionals))

    @torch.no_grad()
    def measure(self, crops: Iterable[tuple[Sequence[torch.Tensor], torch.Tensor]]) -> None:
        """Take mean and deviation of what the layers give, and of what is wanted, over batches of crops."""
        seen = [(_pooled(layers), wanted) for layers, wanted in crops]
        vectors = torch.cat([pooled for pooled, _ in seen], dim=1)  # (layers, crops, 2 * width)
        wanted = torch.cat([wanted for _, wanted in seen])
        self.mean.copy_(vectors.mean(dim=1))
        self.deviation.copy_(vectors.std(dim=1, correction=0).clamp_min(_LEAST_DEVIATION))
        self.wanted_mean.copy_(wanted.mean(dim=0))
        self.wanted_deviation.copy_(wanted.std(dim=0, correction=0).clamp_min(_LEAST_DEVIATION))

    def forward(self, layers: Sequence[torch.Tensor], wanted: torch.Tensor) -> torch.Tensor:
        """Return how far off the functionals are told.

        Args:
            layers: the frames of each layer, (crops, frames, width).
            wanted: the functionals, float32 (crops, functionals).

        Returns:
            The squared error of a standardised functional, mean over functionals and layers, summed over crops: ().
        """
        right = ((wanted - self.wanted_mean) / self.wanted_deviation).clamp(-_OUTLIER, _OUTLIER)
        pooled = (_pooled(layers) - self.mean[:, None]) / self.deviation[:, None]
        told = torch.stack([each(vectors) for each, vectors in zip(self.maps, pooled, strict=True)])
        return (told - right).square().mean(dim=(0, 2)).sum()


def _pooled(layers: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return mean and deviation over frames, float32 (layers, crops, 2 * width)."""
    frames = [layer.float() for layer in layers]
    return torch.stack([torch.cat([each.mean(dim=1), each.std(dim=1, correction=0)], dim=1) for each in frames])


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
class StepOutput:
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
        self.readout = None if functionals is None else FunctionalsHead(layers, width, functionals)

    def total(self, outcome: StepOutput, hidden: int, heard: int) -> torch.Tensor:
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

    def forward(self, batch: Batch) -> StepOutput:
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
        return StepOutput(loss, correct, error)
