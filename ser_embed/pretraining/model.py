"""Masked prediction: a HuBERT that predicts the clusters of masked frames, with one head per label set.

At a masked frame the network's output is projected and compared with a vector per label: the logits are the cosines
divided by 0.1, the loss is their cross-entropy (Hsu et al. 2021). Each label set has its own projection and vectors.
With speaker embeddings (PAPT, Tran et al. 2023) e_s is added to the output first: f_t + e_s, the same for all frames.
With functionals, linear maps predict them from every layer's mean and deviation over the frames of unmasked crops.

Names of modules, parameters and buffers are keys of checkpoints and of saved heads.
"""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from ser_embed.pretraining.batches import Batch

TEMPERATURE = 0.1  # that cosines are divided by
CODE_WIDTH = 256  # of label vectors, as in HuBERT
SPEAKER_WIDTH = 64  # of rows of the speaker table
FUNCTIONALS_WEIGHT = 12.0  # of a standardised functional's squared error, relative to a masked frame's cross-entropy
_MIN_DEVIATION = 1e-5
_OUTLIER = 4.0  # deviations to which a functional is clipped


@dataclasses.dataclass(frozen=True)
class StepOutput:
    """Losses of a batch, or of a part of it, as sums.

    Attributes:
        loss: cross-entropy summed over masked frames, float32 (sets,).
        correct: number of masked frames whose most likely label is the right one, int64 (sets,).
        error: squared error of the predicted functionals, summed over unmasked crops, float32 ().
    """

    loss: torch.Tensor
    correct: torch.Tensor
    error: torch.Tensor


class MaskedPrediction(torch.nn.Module):
    """A HuBERT with heads for label sets, and optionally speaker embeddings and a head for functionals."""

    _loss_weights: torch.Tensor

    def __init__(
        self,
        network: Any,
        clusters: Sequence[int],
        speakers: int | None = None,
        loss_weights: Sequence[float] | None = None,
        functionals: int | None = None,
    ) -> None:
        """Add heads to a transformers HubertModel.

        Args:
            network: the HubertModel.
            clusters: number of labels in each label set.
            speakers: rows of the speaker table, without the one of unknown speakers; None for no embeddings.
            loss_weights: weight of each label set in the loss; None for equal weights.
            functionals: number of functionals of an unmasked crop; None for no head for functionals.
        """
        super().__init__()
        width = network.config.hidden_size
        self.network = network
        equal = [1 / len(clusters)] * len(clusters)
        self.register_buffer("_loss_weights", torch.tensor(loss_weights or equal), persistent=False)
        self.heads = torch.nn.ModuleList(LabelHead(width, count) for count in clusters)
        # Made after the heads, so that these have the same random weights with speakers and without.
        self.speakers = None if speakers is None else SpeakerEmbedding(speakers, width)
        layers = network.config.num_hidden_layers + 1
        self.readout = None if functionals is None else FunctionalsHead(layers, width, functionals)

    def forward(self, batch: Batch) -> StepOutput:
        """Predict the masked frames of a batch, and the functionals of its unmasked crops."""
        waveforms, mask, labels, speakers, unmasked, functionals = (
            self._to_device(array)
            for array in (
                batch.waveforms, batch.mask, batch.labels, batch.speakers, batch.unmasked, batch.functionals,
            )
        )  # fmt: skip
        output = self.network(waveforms, mask_time_indices=mask, output_hidden_states=self.readout is not None)
        frames = output.last_hidden_state  # (crops, frames, width)
        if self.speakers is not None:
            frames = frames + self.speakers(speakers).unsqueeze(1)
        all_logits = [head(frames[mask]) for head in self.heads]
        all_labels = labels[:, mask]  # (sets, masked frames)
        pairs = list(zip(all_logits, all_labels, strict=True))
        loss = torch.stack([F.cross_entropy(logits, target, reduction="sum") for logits, target in pairs])
        correct = torch.stack([(logits.argmax(dim=-1) == target).sum() for logits, target in pairs])
        error = loss.new_zeros(())
        if self.readout is not None and batch.unmasked.any():
            with torch.autocast(waveforms.device.type, enabled=False):
                error = self.readout([layer[unmasked] for layer in output.hidden_states], functionals[unmasked])
        return StepOutput(loss, correct, error)

    def total_loss(self, output: StepOutput, masked_frames: int, unmasked_crops: int) -> torch.Tensor:
        """Return the loss to minimise, ().

        Args:
            output: the sums of a part of a batch.
            masked_frames: number of masked frames in the whole batch.
            unmasked_crops: number of unmasked crops in the whole batch.
        """
        entropy = (output.loss * self._loss_weights).sum()  # not a matrix product, which autocast would round
        return entropy / max(1, masked_frames) + FUNCTIONALS_WEIGHT * output.error / max(1, unmasked_crops)

    @torch.no_grad()
    def fit_functionals_scaling(self, batches: Iterable[Batch]) -> None:
        """Fit the standardisation of the functionals head, if there is one; the model is left in evaluation mode."""
        self.eval()
        if self.readout is not None:
            self.readout.fit_scaling((self._layers(batch), self._to_device(batch.functionals)) for batch in batches)

    def _layers(self, batch: Batch) -> tuple[torch.Tensor, ...]:
        """Return input and output frames of every block for crops without masks, (crops, frames, width) each."""
        no_mask = torch.zeros(batch.mask.shape, dtype=torch.bool, device=self.network.device)
        waveforms = self._to_device(batch.waveforms)
        return self.network(waveforms, mask_time_indices=no_mask, output_hidden_states=True).hidden_states

    def _to_device(self, array: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(array).to(self.network.device, non_blocking=True)


class LabelHead(torch.nn.Module):
    """The projection and the label vectors of one label set."""

    def __init__(self, width: int, clusters: int) -> None:
        """Make a head for network outputs of `width` and a label set of `clusters` labels."""
        super().__init__()
        self.projection = torch.nn.Linear(width, CODE_WIDTH)
        self.vectors = torch.nn.Parameter(torch.empty(clusters, CODE_WIDTH).normal_())

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """Return logits, float32 (frames, labels), for network outputs (frames, width)."""
        codes = F.normalize(self.projection(frames).float(), dim=-1)
        return codes @ F.normalize(self.vectors.float(), dim=-1).T / TEMPERATURE


class SpeakerEmbedding(torch.nn.Module):
    """A table of speakers and a linear map of its rows. Row 0 is an unknown speaker, whose embedding remains zero.

    All rows are zero at first, so that a training which adds speaker embeddings starts with the loss of one without.
    """

    def __init__(self, speakers: int, width: int) -> None:
        """Make a table of `speakers` rows and row 0, for network outputs of `width`."""
        super().__init__()
        self.table = torch.nn.Embedding(speakers + 1, SPEAKER_WIDTH, padding_idx=0)
        torch.nn.init.zeros_(self.table.weight)
        self.linear = torch.nn.Linear(SPEAKER_WIDTH, width, bias=False)

    def forward(self, speakers: torch.Tensor) -> torch.Tensor:
        """Return e_s for rows of the table: (clips,) to (clips, width)."""
        return self.linear(self.table(speakers))


class FunctionalsHead(torch.nn.Module):
    """Linear maps from the mean and deviation of every layer to standardised functionals.

    Inputs and functionals are standardised by statistics that `fit_scaling` takes once, since the statistics of a part
    of a batch would be those of a few crops.
    """

    mean: torch.Tensor
    deviation: torch.Tensor
    wanted_mean: torch.Tensor
    wanted_deviation: torch.Tensor

    def __init__(self, layers: int, width: int, functionals: int) -> None:
        """Make maps of zeros.

        Args:
            layers: number of layers.
            width: of each layer.
            functionals: number of functionals.
        """
        super().__init__()
        self.maps = torch.nn.ModuleList(torch.nn.Linear(2 * width, functionals) for _ in range(layers))
        for parameter in self.maps.parameters():
            torch.nn.init.zeros_(parameter)
        self.register_buffer("mean", torch.zeros(layers, 2 * width))
        self.register_buffer("deviation", torch.ones(layers, 2 * width))
        self.register_buffer("wanted_mean", torch.zeros(functionals))  # of the functionals
        self.register_buffer("wanted_deviation", torch.ones(functionals))

    @torch.no_grad()
    def fit_scaling(self, batches: Iterable[tuple[Sequence[torch.Tensor], torch.Tensor]]) -> None:
        """Take mean and deviation of the pooled layers and of the functionals over batches of (layers, functionals)."""
        pairs = [(_mean_and_deviation(layers), functionals) for layers, functionals in batches]
        pooled = torch.cat([vectors for vectors, _ in pairs], dim=1)  # (layers, crops, 2 * width)
        functionals = torch.cat([functionals for _, functionals in pairs])
        self.mean.copy_(pooled.mean(dim=1))
        self.deviation.copy_(pooled.std(dim=1, correction=0).clamp_min(_MIN_DEVIATION))
        self.wanted_mean.copy_(functionals.mean(dim=0))
        self.wanted_deviation.copy_(functionals.std(dim=0, correction=0).clamp_min(_MIN_DEVIATION))

    def forward(self, layers: Sequence[torch.Tensor], functionals: torch.Tensor) -> torch.Tensor:
        """Return the error of the predicted functionals.

        Args:
            layers: the frames of each layer, (crops, frames, width).
            functionals: the true functionals, float32 (crops, functionals).

        Returns:
            The squared error of a standardised functional, mean over functionals and layers, summed over crops: ().
        """
        target = ((functionals - self.wanted_mean) / self.wanted_deviation).clamp(-_OUTLIER, _OUTLIER)
        pooled = (_mean_and_deviation(layers) - self.mean[:, None]) / self.deviation[:, None]
        predicted = torch.stack([layer_map(vectors) for layer_map, vectors in zip(self.maps, pooled, strict=True)])
        return (predicted - target).square().mean(dim=(0, 2)).sum()


def _mean_and_deviation(layers: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return mean and standard deviation over frames, float32 (layers, crops, 2 * width)."""
    frames = [layer.float() for layer in layers]
    return torch.stack([torch.cat([layer.mean(dim=1), layer.std(dim=1, correction=0)], dim=1) for layer in frames])
