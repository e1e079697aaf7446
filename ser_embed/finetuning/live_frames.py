"""Frames that are computed whenever they are asked for, where no store of them is to be written.

It is a store whose clips are on disk and whose frames are not: the table of clips is that of a store of vectors, one
per clip, which is a thousandth of the size. A training step then runs the whole model, the frozen layers by
`ser_embed.encoders.kernels`, without gradients.
"""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from ser_embed.audio.decode import AudioPreprocessing, load_clip
from ser_embed.encoders.base import Encoder
from ser_embed.errors import ClipError, InputError
from ser_embed.extraction.copies import CopyRecipe
from ser_embed.finetuning.frames import frame_counts
from ser_embed.store.reader import Store


class LiveFrames(Store):
    """A store of vectors that gives frames.

    Attributes:
        spec: what the frames are.
        layers: name of their layer.
    """

    def __init__(self, path: Path, encoder: Encoder, data: Path, recipes: Mapping[str, CopyRecipe]) -> None:
        """Open the store at `path`.

        Args:
            path: a store of the same clips, one vector each.
            encoder: of one layer, with frames pooling.
            data: folder that the paths of the clips are relative to.
            recipes: of the augmented copies among the clips, by utterance_id.

        Raises:
            InputError: there is no such store.
        """
        super().__init__(path)
        self.spec, self.layers = encoder.spec, encoder.spec.layers
        self._encoder, self._data, self._recipes = encoder, data, recipes

    @cached_property
    def utterances(self) -> pd.DataFrame:
        """The manifest, with the frames that each clip has by its length, which resampling may change by one."""
        table = self.table(self.columns)
        counts = frame_counts(self.spec.model, table["duration_s"].to_numpy(np.float64)).astype(np.float64)
        return table.assign(frame_start=np.cumsum(counts) - counts, frame_count=counts)

    def read_clip(self, row: int) -> np.ndarray:
        """Compute the frames of a clip, float32 (frames, 1, width).

        Raises:
            InputError: it can no longer be read.
        """
        clip = self.utterances.iloc[row]
        recipe = self._recipes.get(clip["utterance_id"])
        make = None if recipe is None else lambda waveform: recipe.make(waveform, self._data)
        try:
            waveform, _ = load_clip(self._data / clip["path"], AudioPreprocessing(), make)
        except ClipError as error:
            raise InputError(f"{clip['path']} can no longer be read: {error}") from error
        return self._encoder.encode([waveform])()[0]
