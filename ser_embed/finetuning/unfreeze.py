"""Unfreezing: which layers of an encoder a fine-tuning trains, and the layer below them, whose frames are cached.

head      projector and classifier alone
last:N    also the last N transformer blocks, and the LayerNorm that may follow them
lora:R    adapters of rank R on queries and values of all blocks (Hu et al., 2022), merged into the weights at the end
all       everything but the convolutions
"""

from dataclasses import dataclass

from ser_embed.encoders.base import CONV
from ser_embed.errors import InputError

_EXPECTED = "head, last:N, lora:R or all"


@dataclass(frozen=True)
class Unfreeze:
    """Choice of what is trained.

    Attributes:
        kind: head, last, lora or all.
        number: blocks of `last`, rank of `lora`; else 0.
    """

    kind: str
    number: int = 0

    @classmethod
    def parse(cls, text: str) -> "Unfreeze":
        """Read a choice.

        >>> Unfreeze.parse("last:2")
        Unfreeze(kind='last', number=2)

        Raises:
            InputError: it is none.
        """
        kind, colon, number = text.partition(":")
        takes_number = kind in ("last", "lora")
        is_number = number.isascii() and number.isdigit() and int(number) > 0
        if kind not in ("head", "last", "lora", "all") or (is_number if takes_number else not colon) is False:
            raise InputError(f"--unfreeze has to be {_EXPECTED}, not {text!r}")
        return cls(kind, int(number) if takes_number else 0)

    @property
    def in_words(self) -> str:
        """What is trained and what is not, in a sentence for people who do not program.

        >>> Unfreeze.parse("last:2").in_words
        'Its last 2 layers were trained further, with a small classifier on top; those below stayed as they were.'
        """
        layers = "last layer was" if self.number == 1 else f"last {self.number} layers were"
        return {
            "head": "It stayed as it was; only a small classifier on top was trained.",
            "last": f"Its {layers} trained further, with a small classifier on top; those below stayed as they were.",
            "lora": f"Small additions to all its layers (LoRA, rank {self.number}) and a small classifier on top were "
            "trained; its own weights stayed as they were.",
            "all": "All its layers but the convolutions that hear the sound first were trained further, with a small "
            "classifier on top.",
        }[self.kind]

    def first_block(self, num_blocks: int) -> int:
        """Return the index of the first block that is computed in training; `num_blocks` if none is.

        Raises:
            InputError: there are fewer blocks than are to be trained.
        """
        if self.kind == "head":
            return num_blocks
        if self.kind != "last":
            return 0
        if self.number > num_blocks:
            raise InputError(
                f"--unfreeze last:{self.number} needs {self.number} blocks, but the encoder has {num_blocks}"
            )
        return num_blocks - self.number

    def cached_layer(self, num_blocks: int) -> str:
        """Return the name of the highest layer that is not trained, as stores name it."""
        if self.kind == "all":
            return CONV
        return "final" if self.kind == "head" else str(self.first_block(num_blocks))
