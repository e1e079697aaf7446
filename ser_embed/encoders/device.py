"""Devices: which one computes, in which arithmetic, and how much audio makes a good batch there."""

import torch

from ser_embed.errors import InputError

CPU_BATCH_S = 5.0  # two clips of 2.5 s: enough rows for the matrix products, small enough for a core's cache
# AMX multiplies so fast that handing it work shows, so it wants more rows at once. HuBERT-large in two lanes on two
# cores, 60 clips of EmoDB, against 20 s, medians of five rounds: 0.93 of the speed at 10 s, 0.97 at 40, 1.03 at 80:
# from 20 on no difference that could be told from noise.
AMX_BATCH_S = 40.0
SMALL_GPU_BATCH_S = 10.0  # however little memory is free
GPU_BATCH_S = 320.0  # beyond this an accelerator's matrix units are full and only memory grows
GPU_BYTES_PER_S = 64 * 2**20  # of activations in a HuBERT-large, generously; keeps small cards from overflowing


def choose_device(device: str) -> str:
    """Return the torch device for "auto", "cpu", "cuda", "cuda:N" or "mps".

    Raises:
        InputError: there is no such device here.
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
    """Return the arithmetic for a device.

    "auto" is bfloat16 where matrix units for it make it faster: on CUDA devices that have them and on processors with
    AMX. AVX-512 alone has bfloat16 instructions, but was measured to be no faster with them than in float32.
    """
    if dtype != "auto":
        return getattr(torch, dtype)
    if device.startswith("cuda"):
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    return torch.bfloat16 if device == "cpu" and has_amx() else torch.float32


def has_amx() -> bool:
    """Return whether the processor multiplies bfloat16 matrices in hardware (Intel AMX)."""
    # Newer than the oldest torch supported.
    capabilities: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
    return capabilities.get("amx_bf16", False)


def batch_seconds(device: str, dtype: torch.dtype) -> float:
    """Return how many seconds of audio make a good batch on a device."""
    if not device.startswith("cuda"):
        return AMX_BATCH_S if device == "cpu" and dtype == torch.bfloat16 and has_amx() else CPU_BATCH_S
    free, _ = torch.cuda.mem_get_info(device)
    return max(SMALL_GPU_BATCH_S, min(GPU_BATCH_S, free / 2 / GPU_BYTES_PER_S))
