"""Trainer of fine-tuned encoders: what one fold asks of `ser_embed.finetuning`, which trains on cached frames.

It is the one way from the trainings of stage 2 to torch, imported when it is called.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from ser_embed.cli import quiet
from ser_embed.files import digest_of
from ser_embed.manifest import AUGMENTATION
from ser_head.config.finetuning import FinetuneConfig
from ser_head.data.copies import recording_rows
from ser_head.data.dataset import Dataset
from ser_head.heads.finetuned import raw_frames, save_finetuned, statistics_of
from ser_head.heads.head_file import MODEL
from ser_head.training.base import FitResult, OnEpoch
from ser_head.training.fold import Fold

FIT, REFIT = "fit", "refit"
# Of a clip that a checkpoint has learned from: who it is, its file, how a copy was made of it, and its class.
_CLIP_IDENTITY = ("utterance_id", "digest", AUGMENTATION, "target")

_WITHOUT_EFFECT = ("store", "cache", "out", "jobs", "by", "baseline", "calibration")  # on the weights of a run


class FinetuningTrainer:
    """Fine-tunes the encoder in one fold after another, from its weights as they were saved.

    Attributes:
        config: the run's.
    """

    def __init__(self, data: Dataset, config: FinetuneConfig) -> None:
        """Take the clips of all folds.

        Args:
            data: frames of the layer below the first that is trained.
            config: the run's.
        """
        self._data = data
        self.config = config
        self._tuner: Any = None  # ser_embed.finetuning.trainer.Tuner
        self._normalize = True
        self._scaling: Any = None
        self._clips = np.zeros(0, np.int64)  # trained on
        self._validation = np.zeros(0, np.int64)

    def fit(self, fold: Fold, on_epoch: OnEpoch) -> FitResult:
        """Train from the saved weights; validation clips choose the epoch whose averaged weights are kept.

        Args:
            fold: the clips, and what is measured on them.
            on_epoch: called after each epoch.
        """
        state = self._train(fold, FIT, fold.split.train, on_epoch)
        return FitResult(state.history, state.best_epoch)

    def refit(self, fold: Fold, result: FitResult, on_epoch: OnEpoch) -> None:
        """Train again on training and validation clips, for as many epochs as `fit` chose."""
        both = self._data.with_copies(np.union1d(fold.split.train, fold.split.validation))
        self._train(fold, REFIT, both, on_epoch, result.best_epoch)

    def predict(self, inputs: list[np.ndarray]) -> np.ndarray:
        """Return probabilities, float32 (clips, classes), for standardised frames."""
        return self._tuner.probabilities(raw_frames(inputs[0], *statistics_of(self._scaling)))

    def layer_weights(self) -> None:
        """Return None: the classifier takes the encoder's output."""

    def save(self, folder: Path, fold: Fold, temperature: float) -> str:
        """Write the model, the table of its training clips, and the file that a run loads it by; return its name.

        What the encoder was fine-tuned on before, it is still.
        """
        from ser_embed.encoders.training_clips import TRAIN, VALIDATION, merge_training_clips, write_training_clips
        from ser_embed.finetuning.model import save_classifier

        model = folder / MODEL
        model.mkdir(parents=True)
        save_classifier(self._tuner.model, self._normalize, model)
        trained = self._data.without_copies(self._clips)
        clips = self._data.clips.iloc[np.concatenate([trained, self._validation])]
        clips = clips.assign(part=np.repeat([TRAIN, VALIDATION], [len(trained), len(self._validation)]))
        write_training_clips(model, merge_training_clips(self._data.store.training_clips, clips))
        return save_finetuned(folder, self._tuner.model.layer, fold.scaling)

    def _train(
        self,
        fold: Fold,
        purpose: str,
        clips: np.ndarray,
        on_epoch: OnEpoch,
        stop_after: int | None = None,
    ) -> Any:
        """Train on some clips of a fold; see `fit` and `refit`."""
        from ser_embed.finetuning.batches import TrainingClips
        from ser_embed.finetuning.model import build_classifier
        from ser_embed.finetuning.trainer import Tuner, TuningTask

        seed = int(fold.generator().integers(2**31))
        tuning = self.config.tuning(seed)
        model, self._normalize = build_classifier(
            self.config.model, self._data.labels, tuning.unfreeze, self.config.dropout, seed
        )
        validation = fold.split.validation if purpose == FIT else None
        self._clips = clips
        self._validation = fold.split.validation if purpose == FIT else clips[:0]
        self._scaling = fold.scaling
        self._tuner = Tuner(model, tuning, lambda positions: self._data.read(positions)[:, :, 0])
        num_frames = self._data.clips["frame_count"].to_numpy(np.int64)[clips]
        training_clips = TrainingClips(clips, num_frames, recording_rows(self._data.clips)[clips])
        checkpoint = self._checkpoint(fold, purpose, clips, stop_after)
        task = TuningTask(
            training_clips,
            self._data.targets,
            fold.class_weights,
            validation,
            self.config.epochs,
            stop_after,
            checkpoint,
        )
        title = f"fold {fold.split.fold}, {purpose}"
        epochs = self.config.epochs if stop_after is None else stop_after
        with _steps_bar(title, epochs, is_quiet=quiet() or self.config.jobs > 1) as bar:
            # Shares of an epoch are rounded, and may add up to a little more than the whole.
            return self._tuner.train(task, on_epoch, lambda share: bar.update(min(share, epochs - bar.n)))

    def _checkpoint(self, fold: Fold, purpose: str, clips: np.ndarray, stop_after: int | None) -> Path:
        """Return the file of a training's checkpoint: another one for other settings, clips, labels or encoder."""
        tuning = replace(self.config.tuning(fold.seed), device="")
        parts = [purpose, fold.split.fold, stop_after, tuning, self.config.epochs, self._data.store.spec.to_json()]
        parts += [self._data.labels, fold.class_weights.tolist()]
        table = self._data.clips.assign(target=self._data.targets)
        identity = [name for name in _CLIP_IDENTITY if name in table]
        parts += [table[identity].iloc[part].to_numpy(object).tolist() for part in (clips, fold.split.validation)]
        folder = checkpoint_folder(self._data.store.path, self.config)
        return folder / f"{digest_of(repr(parts).encode())}.safetensors"


def _steps_bar(title: str, epochs: int, is_quiet: bool) -> tqdm:
    """Return a bar of epochs below that of the folds, which moves with every step.

    Args:
        title: what stands in front of it.
        epochs: its length.
        is_quiet: whether to show none, as where folds run side by side.
    """
    return tqdm(
        total=epochs,
        desc=title,
        position=1,
        leave=False,
        disable=is_quiet,
        bar_format="{desc}: {percentage:3.0f}% |{bar}| {elapsed}<{remaining}",
    )


def checkpoint_folder(store: Path, config: FinetuneConfig) -> Path:
    """Return the folder for the checkpoints of a run, which need not exist; a run of other settings has another.

    Args:
        store: of the frames.
        config: the run's.
    """
    settings = [(name, value) for name, value in config.to_dict().items() if name not in _WITHOUT_EFFECT]
    return Path(f"{store}.checkpoints") / digest_of(repr(settings).encode())
