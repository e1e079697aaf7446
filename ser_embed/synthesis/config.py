"""Configuration of the demo corpus: its size and its seed."""

import dataclasses

from ser_embed.options import check_options, option


@dataclasses.dataclass(frozen=True)
class DemoConfig:
    """Size and seed of the demo corpus: speakers x 6 emotions x sentences clips.

    A clip depends only on the seed and on its name, so that a smaller corpus is a subset of a larger one.
    """

    speakers: int = option(
        16, help="number of speakers, half of them women (1 to 16)", parse=int, ge=1, le=16, metavar="N"
    )
    sentences: int = option(
        12, help="number of CREMA-D's sentences each one says (1 to 12)", parse=int, ge=1, le=12, metavar="N"
    )
    seed: int = option(0, help="draws other speakers and takes", parse=int, ge=0, le=2**31 - 1, metavar="N")

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            InputError: a value is not a number, or out of its range.
        """
        check_options(self)
