"""Pipeline of a pre-training: from a data folder to the folder of a model, resuming where a process was stopped."""

import dataclasses
import json
import math
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ser_embed import __version__
from ser_embed.encoders.device import choose_device, choose_dtype
from ser_embed.encoders.kernels.positional_conv import keep_exact
from ser_embed.encoders.registry import source_of
from ser_embed.encoders.training_clips import write_training_clips
from ser_embed.errors import InputError
from ser_embed.files import atomic_write, exclusive_lock
from ser_embed.pretraining.checkpoint import CHECKPOINT_FILE, save_model
from ser_embed.pretraining.config import AUTO, PretrainConfig
from ser_embed.pretraining.data import prepare
from ser_embed.pretraining.distributed import DeviceConfig, run_on_devices
from ser_embed.pretraining.features.frames import check_frames
from ser_embed.pretraining.initialization import build_model, inherited_training_clips, read_config
from ser_embed.pretraining.model import MaskedPrediction
from ser_embed.pretraining.pseudo_labels import CLUSTERS_FILE, save_clusterings
from ser_embed.pretraining.targets import parse_targets
from ser_embed.pretraining.trainer import Schedule, train
from ser_embed.pretraining.training_log import Log
from ser_embed.spec import RATE_HZ
from ser_embed.tracking.base import CurvePoint, TrackedResults, TrackedRun
from ser_embed.tracking.group import TrackerGroup, tracked
from ser_embed.tracking.registry import require_trackers

RECORD_FILE = "pretraining.json"  # settings of the run, and its report once it is finished
_CPU_PART_S = 8.0  # four crops of 2 s: what the convolutions of a small network compute for them fits the cache
_GPU_PART_S = 320.0


@dataclasses.dataclass(frozen=True)
class PretrainReport:
    """Results of a pre-training.

    Attributes:
        folder: the folder of the model.
        parameters: number of weights in the network.
        clips: number of clips trained on.
        speakers: number of known speakers in the data.
        hours: hours of audio in the data.
        targets: the label sets.
        steps: number of training steps, those of earlier processes included.
        validation_loss: final cross-entropy at masked frames of held-out clips; None if nothing was held out.
        validation_accuracy: likewise, the share of masked frames whose label was predicted.
        elapsed_s: seconds of training by this process; 0 if the run was finished before.
        unreadable: one {"path", "reason"} for each file that could not be read.
        validation_error: like the loss, the squared error of a standardised functional; None without functionals.
    """

    folder: Path
    parameters: int
    clips: int
    speakers: int
    hours: float
    targets: tuple[str, ...]
    steps: int
    validation_loss: float | None
    validation_accuracy: float | None
    elapsed_s: float
    unreadable: tuple[dict[str, str], ...]
    validation_error: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain JSON values."""
        return {**dataclasses.asdict(self), "folder": str(self.folder)}

    @classmethod
    def from_json(cls, report: dict[str, Any], folder: Path) -> "PretrainReport":
        """Return the report of a run that was finished before."""
        tuples = {name: tuple(report[name]) for name in ("targets", "unreadable")}
        return cls(**{**report, **tuples, "folder": folder, "elapsed_s": 0.0})

    def summary(self) -> str:
        """Return the report as two lines of text."""
        values = {
            "loss": self.validation_loss,
            "accuracy": self.validation_accuracy,
            "functionals' error": self.validation_error,
        }
        measured = ", ".join(f"{name} {value:.3f}" for name, value in values.items() if value is not None)
        validated = f"held out: {measured}" if measured else "nothing held out"
        return (
            f"{self.folder}: {self.parameters / 1e6:.1f} M parameters, {', '.join(self.targets)}, {validated}\n"
            f"{self.steps} steps on {self.clips} clips ({self.hours:.2f} h, {self.speakers} speakers in the data), "
            f"{self.elapsed_s:.0f} s, {len(self.unreadable)} unreadable"
        )


def run_pretraining(config: PretrainConfig) -> PretrainReport:
    """Pre-train a model, or finish a run that was stopped; see `ser_embed.pretrain`.

    Raises:
        InputError: the data, the model or the output folder does not fit.
        OSError: a file could not be written; the last checkpoint is complete.
    """
    device_configs = _device_configs(config)
    _check_names(config)
    require_trackers(config.track)
    with exclusive_lock(config.output, "pre-training", "--output"):
        record = _open_folder(config)
        if record.get("report"):
            return PretrainReport.from_json(record["report"], config.output)
        prepared = prepare(config, device_configs[0].device)
        if record.get("audio", prepared.waveforms.key) != prepared.waveforms.key:
            raise InputError(
                f"the audio in {config.data} is not what the run in {config.output} began with; see --force"
            )
        record = {
            "version": __version__,
            "settings": config.fixed_fields(),
            "data": str(config.data.resolve()),
            "audio": prepared.waveforms.key,
        }
        _write_record(config.output, record)
        report = run_on_devices(_train_on_device, config, device_configs)
        _write_record(config.output, {**record, "report": report.to_json()})
        (config.output / CHECKPOINT_FILE).unlink(missing_ok=True)
        return report


def _device_configs(config: PretrainConfig) -> list[DeviceConfig]:
    """Return one configuration per device, in order of rank."""
    names = config.device.split(",")
    if config.device == "auto" and torch.cuda.is_available():
        names = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    device_configs = []
    for rank, name in enumerate(names):
        device = choose_device(name.strip())
        dtype = choose_dtype(config.dtype, device)
        if dtype == torch.float16:  # small gradients would become 0 in it
            dtype = torch.float32
        part_seconds = config.part_seconds or (_GPU_PART_S if device.startswith("cuda") else _CPU_PART_S)
        device_configs.append(DeviceConfig(device, dtype, part_seconds, config.workers, rank, len(names)))
    return device_configs


def _check_names(config: PretrainConfig) -> None:
    """Reject a misspelt name at once, before minutes of decoding and clustering."""
    if config.targets != AUTO:
        parse_targets(config.targets)
    if config.model:
        source_of(config.model)
    else:
        check_frames(read_config(config.config))


def _open_folder(config: PretrainConfig) -> dict[str, Any]:
    """Return the record of the output folder, after checking that it is of the same run; {} for a new run."""
    folder = config.output
    record_path = folder / RECORD_FILE
    has_record = record_path.is_file()
    if folder.exists() and not has_record and not all(_is_preparation(path) for path in folder.iterdir()):
        raise InputError(f"expected a pre-training or an empty folder in {folder}, found something else")
    if config.force and folder.exists():
        for path in folder.iterdir():
            if path.name != "cache":
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        has_record = False
    if not has_record:
        shutil.rmtree(folder / "labels", ignore_errors=True)  # their settings were not recorded
        return {}
    record = json.loads(record_path.read_text("utf-8"))
    defaults = {field.name: field.default for field in dataclasses.fields(config)}
    for name, value in config.fixed_fields().items():
        recorded = record["settings"].get(name, defaults[name])  # older records lack newer settings
        if recorded != value:
            raise InputError(
                f"{folder} holds a pre-training with {name} {recorded!r}, not {value!r}; "
                "choose another --output or use --force"
            )
    return record


def _is_preparation(path: Path) -> bool:
    """Return whether a process that was stopped before training may have left this file or folder."""
    return any((path / name).is_file() for name in ("source.json", CLUSTERS_FILE)) or ".tmp-" in path.name


def _write_record(folder: Path, record: dict[str, Any]) -> None:
    with atomic_write(folder / RECORD_FILE) as draft:
        draft.write_text(json.dumps(record, indent=2, allow_nan=False) + "\n", "utf-8")


def _train_on_device(config: PretrainConfig, device_config: DeviceConfig) -> PretrainReport:
    """Train in one process, on one device; the process of rank 0 writes the model, and tracks the training."""
    run = TrackedRun(config.output.name, "pretrain", config.to_dict())
    with tracked(config.track if device_config.rank == 0 else (), run) as trackers:
        report = _train_tracked(config, device_config, trackers)
        trackers.log_results(TrackedResults(_figures(report)))
    return report


def _figures(report: PretrainReport) -> dict[str, float]:
    """Return the single numbers of a report."""
    values = dataclasses.asdict(report)
    return {name: value for name, value in values.items() if isinstance(value, (int, float))}


def _curve_point(row: Mapping[str, Any]) -> CurvePoint:
    return CurvePoint("", "step", int(row["step"]), {name: row[name] for name in row if name != "step"})


def _train_tracked(config: PretrainConfig, device_config: DeviceConfig, trackers: TrackerGroup) -> PretrainReport:
    start = time.perf_counter()
    prepared = prepare(config, device_config.device)
    waveforms, targets = prepared.waveforms, prepared.sets.targets
    training_clips = inherited_training_clips(config, targets)
    model, normalize = build_model(config, targets, prepared.speakers)
    _place_model(model, device_config.device)
    batches = prepared.batches(config, normalize)
    schedule = _schedule(config, batches.training.per_epoch)
    log = Log(config.output, targets, lambda row: trackers.log_point(_curve_point(row)))
    train(model, batches, schedule, device_config, log)
    if device_config.rank == 0:
        save_clusterings(prepared.sets, config.output)
        save_model(model, normalize, prepared.speakers, config.output, config.half)
        if len(training_clips):
            write_training_clips(config.output, training_clips)
    last_row = log.rows[-1]
    loss, accuracy, error = (
        _none_if_nan(last_row.get(f"validation_{name}", math.nan)) for name in ("loss", "accuracy", "error")
    )
    return PretrainReport(
        folder=config.output,
        parameters=sum(parameter.numel() for parameter in model.network.parameters()),
        clips=len(batches.training.rows),
        speakers=len(set(waveforms.speakers.tolist()) - {""}),
        hours=len(waveforms.samples) / RATE_HZ / 3_600,
        targets=tuple(str(target) for target in targets),
        steps=schedule.steps,
        validation_loss=loss,
        validation_accuracy=accuracy,
        elapsed_s=time.perf_counter() - start,
        unreadable=waveforms.unreadable,
        validation_error=error,
    )


def _place_model(model: MaskedPrediction, device: str) -> None:
    """Move a model to a device, and choose what computes fastest on it."""
    model.to(device)
    if device == "cpu":  # where the backward pass of attention is faster in plain PyTorch than in the fused kernel
        model.network.set_attn_implementation("eager")
        keep_exact(model.network.encoder.pos_conv_embed.conv)


def _schedule(config: PretrainConfig, steps_per_epoch: int) -> Schedule:
    steps = config.num_epochs * steps_per_epoch
    return Schedule(
        steps=steps,
        warmup=round(config.warmup_share * steps),
        network_rate=config.peak_rate,
        head_rate=config.peak_head_rate,
        validate_every=config.validate_every,
        save_every=config.save_every,
    )


def _none_if_nan(value: float) -> float | None:
    return None if math.isnan(value) else value
