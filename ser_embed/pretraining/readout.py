"""Telling a crop's functionals from the mean and deviation over time of what enters and leaves every block.

These are what a store keeps of a clip (`--pooling mean+std`), so a network that learns this learns to put into them
what a listener who knows no words would notice. The readout itself is linear, and is not kept.
"""

from collections.abc import Iterable, Sequence

import torch

_LEAST_DEVIATION = 1e-5
_OUTLIER = 4.0  # deviations beyond which a functional is not followed


class Readout(torch.nn.Module):
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
