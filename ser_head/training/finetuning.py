"""Fine-tuning experiment: frames of the layers that stay frozen, the trainings on them, and a frozen head beside it.

What is frozen never changes, so it is computed once: an extraction like any other, of the highest layer that is not
trained. It is shared by folds, seeds and settings, and continued where it was stopped. Where it shall not be kept, or
the disk has no room for it, frames are computed whenever they are needed.
"""

import contextlib
import functools
import logging
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from ser_embed.errors import InputError
from ser_embed.files import digest_of, exclusive_lock
from ser_embed.spec import DifferentSpec
from ser_embed.store.reader import Store
from ser_embed.store.seal import DamagedStore
from ser_embed.tracking.registry import require_trackers
from ser_head.config.finetuning import CACHE, NONE, FinetuneConfig
from ser_head.config.training import TrainConfig
from ser_head.training.experiment import run_experiment
from ser_head.training.finetuning_trainer import checkpoint_folder

logger = logging.getLogger(__name__)


def run_finetuning(config: FinetuneConfig) -> tuple[Path, tuple[dict[str, str], ...]]:
    """Fine-tune as `config` says, write the run and its report.

    Returns:
        The run folder, and {"utterance_id", "path", "reason"} for each clip that could not be read.

    Raises:
        InputError: the corpora, the encoder, or what is asked of them, cannot be worked with; no run is written.
    """
    from ser_embed.encoders.device import choose_device

    require_trackers(config.track)
    choose_device(config.device)
    layer = _cached_layer(config)
    # In float32, whatever the arithmetic of training is: the saved model gives the same logits from them.
    frames: dict[str, Any] = {"layers": layer, "pooling": "frames", "dtype": "float32", "storage": "float16"}
    open_store: Callable[[Path], Store] = Store
    if _keeps_frames(config, layer):
        report = _extract(config, layer, **frames, **_copies(config))
    else:
        report = _extract(config, f"{layer}-clips", layers=layer, pooling="mean", **_copies(config))
        open_store = functools.partial(_open_live, config=config, options=frames)
    baseline = None if config.baseline == NONE else _extract(config, "vectors")
    with _checkpoints(report.store, config):
        run = run_experiment(config.replaced(store=report.store), _baseline_config(config, baseline), open_store)
    return run, report.unreadable


@contextlib.contextmanager
def _checkpoints(store: Path, config: FinetuneConfig) -> Iterator[None]:
    """Keep the checkpoints of a run to this process, and remove them if the block ends without an error."""
    folder = checkpoint_folder(store, config)
    try:
        with exclusive_lock(folder, "fine-tuning", "--cache"):
            yield
            shutil.rmtree(folder, ignore_errors=True)
    finally:
        with contextlib.suppress(OSError):  # runs of other settings have theirs beside it
            folder.parent.rmdir()


def _cached_layer(config: FinetuneConfig) -> str:
    """Return the layer whose frames are cached, before any weight is loaded."""
    from ser_embed.encoders.huggingface import load_config
    from ser_embed.encoders.registry import source_of
    from ser_embed.finetuning.unfreeze import Unfreeze

    return Unfreeze.parse(config.unfreeze).cached_layer(load_config(source_of(config.model)).num_hidden_layers)


def _keeps_frames(config: FinetuneConfig, layer: str) -> bool:
    """Tell in the log how large the frames will be, and whether they are kept; there may be no room for them."""
    from ser_embed.finetuning.frames import frame_bytes, free_bytes, size_in_words

    if str(config.cache) == NONE:
        return False
    num_bytes = frame_bytes(config.data, config.corpus, config.model, layer) * (1 + config.num_copies)
    logger.info("frames of layer %s: about %s in %s", layer, size_in_words(num_bytes), config.cache)
    # The parts and the store that they are merged into are there at the same time.
    has_room = 2 * num_bytes < free_bytes(config.cache)
    if not has_room:
        logger.warning(
            "%s has no room for them while they are written, %s: they are computed in every epoch, which takes longer",
            config.cache,
            size_in_words(2 * num_bytes),
        )
    if not has_room and config.jobs > 1:
        raise InputError(f"--jobs {config.jobs} needs room for the frames of layer {layer}; choose another --cache")
    return has_room


def _copies(config: FinetuneConfig) -> dict[str, Any]:
    """Return the fields of an extraction that add augmented copies."""
    return {"augment": config.augment, "augment_copies": config.num_copies} if config.augment else {}


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
    names = (source_of(config.model), str(config.data))
    sources = [config.device, *(str(Path(name).resolve()) if Path(name).is_dir() else name for name in names)]
    folder = CACHE if str(config.cache) == NONE else config.cache
    store = folder / f"{short_name(config.model)}-{digest_of(repr(sources).encode())[:8]}-{content}.h5"
    shared: dict[str, Any] = {"data": config.data, "corpus": config.corpus, "device": config.device, "prune": True}
    extraction = ExtractConfig(model=config.model, store=store, **shared, **options)
    try:
        return run_extraction(extraction)
    except (DamagedStore, DifferentSpec) as error:  # such as of a model that was saved again in the same folder
        logger.warning("%s: it is made anew, as it is a cache", error)
        return run_extraction(replace(extraction, force=True))


def _open_live(path: Path, config: FinetuneConfig, options: dict[str, Any]) -> Any:
    """Open a store of vectors as one of frames; see `ser_embed.finetuning.live_frames`."""
    from ser_embed.encoders.base import EncoderOptions
    from ser_embed.encoders.registry import load_encoder
    from ser_embed.extraction.copies import plan_copies
    from ser_embed.finetuning.live_frames import LiveFrames

    encoder = load_encoder(config.model, EncoderOptions(**options, device=config.device))
    with Store(path) as store:
        clips = store.utterances
    recordings = clips[clips["augmented_from"] == ""] if "augmented_from" in clips else clips
    _, recipes = plan_copies(recordings, config.data, config.augment, config.num_copies, 0)
    return LiveFrames(path, encoder, config.data, recipes)


def _baseline_config(config: FinetuneConfig, report: Any) -> TrainConfig | None:
    """Return the config of the frozen head, which is trained in the same folds."""
    if report is None:
        return None
    shared = {name: getattr(config, name) for name in ("corpus", "protocol", "split", "by", "seed", "jobs")}
    return TrainConfig(store=report.store, head=config.baseline, **shared)
