"""Fine-tuning experiment: frames of the layers that stay frozen, the trainings on them, and a frozen head beside it.

What is frozen never changes, so it is computed once: an extraction like any other, of the highest layer that is not
trained. It is shared by folds, seeds and settings, and continued where it was stopped.
"""

import logging
import shutil
from pathlib import Path
from typing import Any

from ser_embed.files import digest_of
from ser_head.config.finetuning import FinetuneConfig
from ser_head.config.training import TrainConfig
from ser_head.training.experiment import run_experiment
from ser_head.training.finetuning_trainer import checkpoint_folder

logger = logging.getLogger(__name__)

NONE = "none"


def run_finetuning(config: FinetuneConfig) -> tuple[Path, tuple[dict[str, str], ...]]:
    """Fine-tune as `config` says, write the run and its report.

    Returns:
        The run folder, and {"utterance_id", "path", "reason"} for each clip that could not be read.

    Raises:
        InputError: the corpora, the encoder, or what is asked of them, cannot be worked with; no run is written.
    """
    from ser_embed.finetuning.frames import require_room

    layer = _cached_layer(config)
    require_room(config.data, config.corpus, config.model, layer, config.num_copies, config.cache)
    copies = {"augment": config.augment, "augment_copies": config.num_copies} if config.augment else {}
    frames = _extract(config, layer, layers=layer, pooling="frames", storage="float16", **copies)
    baseline = None if config.baseline == NONE else _extract(config, "vectors")
    run = run_experiment(config.replaced(store=frames.store), _baseline_config(config, baseline))
    shutil.rmtree(checkpoint_folder(frames.store), ignore_errors=True)
    return run, frames.unreadable


def _cached_layer(config: FinetuneConfig) -> str:
    """Return the layer whose frames are cached, before any weight is loaded."""
    from ser_embed.encoders.huggingface import load_config
    from ser_embed.encoders.registry import source_of
    from ser_embed.finetuning.unfreeze import Unfreeze

    return Unfreeze.parse(config.unfreeze).cached_layer(load_config(source_of(config.model)).num_hidden_layers)


def _extract(config: FinetuneConfig, content: str, **options: Any) -> Any:
    """Extract into a store of the cache, and return the `ser_embed.extraction.report.ExtractReport`.

    Args:
        config: the fine-tuning's.
        content: what the store holds, for its name.
        **options: fields of `ser_embed.extraction.config.ExtractConfig`.
    """
    from ser_embed.encoders.registry import short_name, source_of
    from ser_embed.extraction.config import ExtractConfig
    from ser_embed.extraction.pipeline import run_extraction

    # Of one encoder and one data folder: another folder may have other clips under the same names.
    sources = [
        str(Path(name).resolve()) if Path(name).is_dir() else name for name in (source_of(config.model), config.data)
    ]
    store = config.cache / f"{short_name(config.model)}-{digest_of(repr(sources).encode())[:8]}-{content}.h5"
    return run_extraction(
        ExtractConfig(
            model=config.model,
            data=config.data,
            corpus=config.corpus,
            store=store,
            device=config.device,
            prune=True,
            **options,
        )
    )


def _baseline_config(config: FinetuneConfig, report: Any) -> TrainConfig | None:
    """Return the config of the frozen head, which is trained in the same folds."""
    if report is None:
        return None
    shared = {name: getattr(config, name) for name in ("corpus", "protocol", "split", "by", "seed", "jobs")}
    return TrainConfig(store=report.store, head=config.baseline, **shared)
