"""Devices: the device that computes, its floating-point type, and the seconds of audio that make a good batch on it."""

import torch

from ser_embed.errors import InputError

CPU_BATCH_S = 5.0  # two clips of 2.5 s: enough rows for the matrix products, small enough for a core's cache
# AMX multiplies so fast that the cost of starting each product shows, so it needs more rows at once. Measured on
# HuBERT-large in two lanes on two cores, 60 clips of EmoDB, medians of five rounds, relative to batches of 20 s: 0.93
# of the speed at 10 s, 0.97 at 40 s, 1.03 at 80 s. From 20 s on the differences are within the noise.
AMX_BATCH_S = 40.0
SMALL_GPU_BATCH_S = 10.0  # used however little memory is free
GPU_BATCH_S = 320.0  # with more, an accelerator's matrix units are full already and only memory grows
GPU_BYTES_PER_S = 64 * 2**20  # of activations in a HuBERT-large, a generous estimate: protects small cards


def choose_device(device: str) -> str:
    """Return the torch device for "auto", "cpu", "cuda", "cuda:N" or "mps".

    Raises:
        InputError: this machine has no such device.
    """
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    kind, _, index = device.partition(":")
    counts = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    if kind not in counts or (index and not index.isdigit()):
        raise InputError(f"device has to be auto, cpu, cuda, cuda:N or mps, not {device!r}")
    if int(index or 0) >= counts[kind]:
        raise InputError(f"device {device!r} is not on this machine, which has {counts['cuda']} CUDA devices")
    return device


def choose_dtype(dtype: str, device: str) -> torch.dtype:
    """Return the floating-point type to compute in.

    "auto" is bfloat16 where the hardware has matrix units for it that make it faster: on CUDA devices that support it
    and on processors with AMX. Processors with only the bfloat16 instructions of AVX-512 were measured to be no faster
    with them than in float32.
    """
    if dtype != "auto":
        return getattr(torch, dtype)
    if device.startswith("cuda"):
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    return torch.bfloat16 if device == "cpu" and has_amx() else torch.float32


def has_amx() -> bool:
    """Return whether the processor multiplies bfloat16 matrices in hardware (Intel AMX)."""
    # The oldest supported torch does not have `get_capabilities`.
    capabilities: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
    return capabilities.get("amx_bf16", False)


def choose_batch_seconds(device: str, dtype: torch.dtype) -> float:
    """Return the seconds of audio that make a good batch on a device."""
    if not device.startswith("cuda"):
        return AMX_BATCH_S if device == "cpu" and dtype == torch.bfloat16 and has_amx() else CPU_BATCH_S
    free_bytes, _ = torch.cuda.mem_get_info(device)
    return max(SMALL_GPU_BATCH_S, min(GPU_BATCH_S, free_bytes / 2 / GPU_BYTES_PER_S))
