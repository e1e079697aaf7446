"""A whole pre-training: from a data folder to the folder of a model, going on where an earlier process stopped."""

import dataclasses
import json
import math
import shutil
import time
from pathlib import Path
from typing import Any

import torch

from ser_embed import __version__
from ser_embed.encoders.device import choose_device, choose_dtype
from ser_embed.encoders.kernels.positional_conv import keep_exact
from ser_embed.encoders.registry import source_of
from ser_embed.errors import InputError
from ser_embed.files import atomic_write, exclusive_lock
from ser_embed.pretraining.checkpoint import FILE as CHECKPOINT_FILE
from ser_embed.pretraining.checkpoint import save_model
from ser_embed.pretraining.config import AUTO, PretrainConfig
from ser_embed.pretraining.data import prepare
from ser_embed.pretraining.distributed import DeviceConfig, on_all
from ser_embed.pretraining.features.frames import check_frames
from ser_embed.pretraining.initialization import build_model, read_config
from ser_embed.pretraining.pseudo_labels import CLUSTERS_FILE, save_clusterings
from ser_embed.pretraining.targets import parse_targets
from ser_embed.pretraining.trainer import Schedule, train
from ser_embed.pretraining.training_log import Log
from ser_embed.spec import RATE_HZ

ABOUT_FILE = "pretraining.json"
_CPU_PART_S = 8.0  # four crops of 2 s: what the convolutions of a small network make of them stays in the cache
_GPU_PART_S = 320.0


@dataclasses.dataclass(frozen=True)
class PretrainReport:
    """What a pre-training did.

    Attributes:
        folder: where the model is.
        parameters: numbers in the network.
        clips: clips learnt from.
        speakers: known speakers in the data.
        hours: of audio in the data.
        targets: the label sets.
        steps: in all.
        validation_loss: at the end, cross-entropy at hidden frames of what was held out; None if nothing was.
        validation_accuracy: likewise, the share of hidden frames named right.
        elapsed_s: seconds of training by this process; 0 if the run was finished before.
        unreadable: one {"path", "reason"} for each file that could not be read.
        validation_error: like the loss, squared error of a standardised functional; None if none was told of anything.
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
        lists = {name: tuple(report[name]) for name in ("targets", "unreadable")}
        return cls(**{**report, **lists, "folder": folder, "elapsed_s": 0.0})

    def summary(self) -> str:
        """Return the report as two lines for a person."""
        figures = {
            "loss": self.validation_loss,
            "accuracy": self.validation_accuracy,
            "functionals' error": self.validation_error,
        }
        known = ", ".join(f"{name} {figure:.3f}" for name, figure in figures.items() if figure is not None)
        validated = f"held out: {known}" if known else "nothing held out"
        return (
            f"{self.folder}: {self.parameters / 1e6:.1f} M parameters, {', '.join(self.targets)}, {validated}\n"
            f"{self.steps} steps on {self.clips} clips ({self.hours:.2f} h, {self.speakers} speakers in the data), "
            f"{self.elapsed_s:.0f} s, {len(self.unreadable)} unreadable"
        )


def run_pretraining(settings: PretrainConfig) -> PretrainReport:
    """Pre-train as `settings` ask; see `ser_embed.pretrain`.

    Raises:
        InputError: the data, the model or the output folder does not fit.
        OSError: something could not be written; the last checkpoint is whole.
    """
    machines = _machines(settings)
    _check(settings)
    with exclusive_lock(settings.output, "pre-training", "--output"):
        about = _open_folder(settings)
        if about.get("report"):
            return PretrainReport.from_json(about["report"], settings.output)
        prepared = prepare(settings, machines[0].device)
        if about.get("audio", prepared.waveforms.key) != prepared.waveforms.key:
            raise InputError(f"the audio in {settings.data} is not what {settings.output} began with; see --force")
        about = {
            "version": __version__,
            "settings": settings.decisive(),
            "data": str(settings.data.resolve()),
            "audio": prepared.waveforms.key,
        }
        _write_about(settings.output, about)
        report = on_all(_learn, settings, machines)
        _write_about(settings.output, {**about, "report": report.to_json()})
        (settings.output / CHECKPOINT_FILE).unlink(missing_ok=True)
        return report


def _check(settings: PretrainConfig) -> None:
    """Tell a misspelt name at once, before minutes of decoding and clustering."""
    if settings.targets != AUTO:
        parse_targets(settings.targets)
    if settings.model:
        source_of(settings.model)
    else:
        check_frames(read_config(settings.config))


def _machines(settings: PretrainConfig) -> list[DeviceConfig]:
    names = settings.device.split(",")
    if settings.device == "auto" and torch.cuda.is_available():
        names = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    machines = []
    for rank, name in enumerate(names):
        device = choose_device(name.strip())
        dtype = choose_dtype(settings.dtype, device)
        if dtype == torch.float16:  # whose gradients would vanish
            dtype = torch.float32
        seconds = settings.part_seconds or (_GPU_PART_S if device.startswith("cuda") else _CPU_PART_S)
        machines.append(DeviceConfig(device, dtype, seconds, settings.workers, rank, len(names)))
    return machines


def _open_folder(settings: PretrainConfig) -> dict[str, Any]:
    """Return what an earlier process wrote about this run, after checking that it is the same run."""
    folder = settings.output
    path = folder / ABOUT_FILE
    begun = path.is_file()
    if folder.exists() and not begun and not all(_is_preparation(each) for each in folder.iterdir()):
        raise InputError(f"expected a pre-training or an empty folder in {folder}, found something else")
    if settings.force and folder.exists():
        for each in folder.iterdir():
            if each.name != "cache":
                shutil.rmtree(each) if each.is_dir() else each.unlink()
        begun = False
    if not begun:
        shutil.rmtree(folder / "labels", ignore_errors=True)  # of settings nobody wrote down
        return {}
    about = json.loads(path.read_text("utf-8"))
    defaults = {field.name: field.default for field in dataclasses.fields(settings)}
    for name, value in settings.decisive().items():
        there = about["settings"].get(name, defaults[name])  # what was done before there was such a setting
        if there != value:
            raise InputError(
                f"{folder} holds a pre-training with {name} {there!r}, not {value!r}; "
                "choose another --output or use --force"
            )
    return about


def _is_preparation(path: Path) -> bool:
    """Return whether this is what a process leaves that was stopped before it began to learn."""
    return any((path / name).is_file() for name in ("source.json", CLUSTERS_FILE)) or ".tmp-" in path.name


def _write_about(folder: Path, about: dict[str, Any]) -> None:
    with atomic_write(folder / ABOUT_FILE) as draft:
        draft.write_text(json.dumps(about, indent=2, allow_nan=False) + "\n", "utf-8")


def _learn(settings: PretrainConfig, machine: DeviceConfig) -> PretrainReport:
    """Train on one device; the first of several writes the model."""
    began = time.perf_counter()
    prepared = prepare(settings, machine.device)
    targets = prepared.sets.targets
    model, normalize = build_model(settings, targets, prepared.speakers)
    model.to(machine.device)
    if machine.device == "cpu":  # where a crop's attention goes back faster written out than in the fused kernel
        model.network.set_attn_implementation("eager")
        keep_exact(model.network.encoder.pos_conv_embed.conv)
    data = prepared.data(settings, normalize)
    steps = settings.num_epochs * data.training.per_epoch
    schedule = Schedule(
        steps=steps,
        warmup=round(settings.warmup_share * steps),
        network_rate=settings.peak_rate,
        head_rate=settings.peak_head_rate,
        validate_every=settings.validate_every,
        save_every=settings.save_every,
    )
    log = Log(settings.output, targets)
    train(model, data, schedule, machine, log)
    if machine.rank == 0:
        save_clusterings(prepared.sets, settings.output)
        save_model(model, normalize, prepared.speakers, settings.output, settings.half)
    last = log.rows[-1]
    loss, accuracy, error = (_known(last.get(f"validation_{name}", math.nan)) for name in ("loss", "accuracy", "error"))
    waveforms = prepared.waveforms
    return PretrainReport(
        folder=settings.output,
        parameters=sum(parameter.numel() for parameter in model.network.parameters()),
        clips=len(data.training.rows),
        speakers=len(set(waveforms.speakers.tolist()) - {""}),
        hours=len(waveforms.samples) / RATE_HZ / 3_600,
        targets=tuple(str(target) for target in targets),
        steps=steps,
        validation_loss=loss,
        validation_accuracy=accuracy,
        elapsed_s=time.perf_counter() - began,
        unreadable=waveforms.unreadable,
        validation_error=error,
    )


def _known(figure: float) -> float | None:
    return None if math.isnan(figure) else figure
