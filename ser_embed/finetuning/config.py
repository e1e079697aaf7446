"""Configuration of a fine-tuning: what the torch part needs to know, apart from the clips."""

import dataclasses

from ser_embed.finetuning.unfreeze import Unfreeze

RATE_PER_WIDTH = 0.08  # learning rate of an encoder times its width: 1e-4 for the 768 of a base model


@dataclasses.dataclass(frozen=True, kw_only=True)
class TuningConfig:
    """Settings of a fine-tuning.

    Attributes:
        unfreeze: what is trained.
        learning_rate: peak step size of the encoder's weights; None for `RATE_PER_WIDTH` / width.
        head_learning_rate: peak step size of projector and classifier.
        warmup: share of the steps in which step sizes rise; they fall linearly after it.
        weight_decay: decoupled decay of the weights of AdamW (Loshchilov and Hutter, 2019), but for biases and norms.
        gradient_norm: to which longer gradients are cut; 0 cuts none.
        batch_size: clips that go through the network together.
        accumulation: batches whose gradients make one step.
        dropout: share of the units left out in blocks, and in front of projector and classifier.
        label_smoothing: share of each label that is spread evenly over all classes.
        averaging: share of the moving average of the weights that remains after an epoch; 0 takes the weights
            themselves.
        crop_s: seconds of each clip that a step sees, cut at random; 0 for whole clips.
        time_mask: longest share of a clip whose frames are set to their mean in training, as SpecAugment does (Park et
            al., 2019); 0 for none.
        patience: epochs without a lower validation loss after which training stops.
        device: cpu, cuda, cuda:1, ...
        dtype: arithmetic of the forward pass: auto, float32, bfloat16.
        seed: of all random choices.
    """

    unfreeze: Unfreeze
    learning_rate: float | None
    head_learning_rate: float
    warmup: float
    weight_decay: float
    gradient_norm: float
    batch_size: int
    accumulation: int
    dropout: float
    label_smoothing: float
    averaging: float
    crop_s: float
    time_mask: float
    patience: int
    device: str
    dtype: str
    seed: int
