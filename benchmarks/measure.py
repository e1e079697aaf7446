"""Measurement tools of the benchmarks: timing in turn, the table, a description of the machine, inputs and models."""

import dataclasses
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

PRODUCT = "products of 2048 x 2048 matrices"
PRODUCTS = 20
PRODUCT_FLOPS = PRODUCTS * 2 * 2048**3  # in one call of the function that `matrix_product` returns


@dataclasses.dataclass(frozen=True)
class Row:
    """Row of the table.

    Attributes:
        quantity: what was measured.
        result: its value, with the unit.
        peer: what it is compared with, and the value of that, or "".
        ratio: result relative to the peer, or "".
    """

    quantity: str
    result: str
    peer: str = ""
    ratio: str = ""


def time_in_turn(sides: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Time each side once per round, in turn, after one warm-up round that does not count.

    Returns:
        Seconds of each side, round by round.
    """
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for round_number in range(rounds + 1):
        for name, side in sides.items():
            start = time.perf_counter()
            side()
            if round_number > 0:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def speedup(slow: list[float], fast: list[float]) -> str:
    """Return the speedup of `fast` over `slow`: the median over rounds, with the smallest and the largest."""
    ratios = [slow_s / fast_s for slow_s, fast_s in zip(slow, fast, strict=True)]
    return f"{statistics.median(ratios):.2f}x ({min(ratios):.2f} to {max(ratios):.2f})"


def markdown_table(rows: list[Row]) -> str:
    """Return the rows as a Markdown table."""
    lines = ["| what | here | peer | ratio |", "|---|---|---|---|"]
    return "\n".join(lines + [f"| {row.quantity} | {row.result} | {row.peer} | {row.ratio} |" for row in rows])


def describe_machine() -> str:
    """Describe the processor, its AMX support, memory, accelerators and versions in one paragraph."""
    import torch
    import transformers

    from ser_embed.encoders.device import has_amx

    name = platform.processor() or platform.machine()
    cpu_info = Path("/proc/cpuinfo")
    if cpu_info.exists():
        name = next((line.split(":")[1].strip() for line in cpu_info.open() if line.startswith("model name")), name)
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    gpus = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return (
        f"{name}, {os.cpu_count()} cores, AMX {'yes' if has_amx() else 'no'}, {memory_gib:.0f} GiB, "
        f"{', '.join(gpus) or 'no accelerator'}; Python {platform.python_version()}, torch {torch.__version__}, "
        f"transformers {transformers.__version__}"
    )


def random_hubert(folder: Path, size: str = "large") -> Path:
    """Save a HuBERT of a published shape with random weights, and return its folder."""
    import torch
    import transformers

    from ser_embed.encoders.huggingface import quiet_transformers

    shapes = {
        "base": {},
        "large": {
            "hidden_size": 1024,
            "num_hidden_layers": 24,
            "num_attention_heads": 16,
            "intermediate_size": 4096,
            "feat_extract_norm": "layer",
            "conv_bias": True,
            "do_stable_layer_norm": True,
        },
    }
    torch.manual_seed(0)
    with quiet_transformers():
        transformers.HubertModel(transformers.HubertConfig(**shapes[size])).save_pretrained(folder / f"hubert-{size}")
    return folder / f"hubert-{size}"


def matrix_product(dtype: "torch.dtype") -> Callable[[], None]:
    """Return a function that computes large matrix products on all threads: the upper bound for any extraction."""
    import torch

    left, right = torch.randn(2048, 2048).to(dtype), torch.randn(2048, 2048).to(dtype)

    def run() -> None:
        for _ in range(PRODUCTS):
            torch.mm(left, right)

    return run


def crema_d_lengths(count: int) -> np.ndarray:
    """Draw clip lengths of CREMA-D, in samples at 16 kHz; without its table of durations, uniformly from its range."""
    durations = Path(os.environ.get("SER_DATA", "../shared/data")) / "crema-d" / "durations.csv"
    rng = np.random.default_rng(0)
    if durations.exists():
        lengths = np.loadtxt(durations, delimiter=",", skiprows=1, usecols=1, dtype=np.int64)
        return rng.choice(lengths, count, replace=False)
    return rng.integers(20_000, 80_000, count)


def noise(lengths: np.ndarray) -> list[np.ndarray]:
    """Return float32 waveforms of quiet noise, one for each length in samples."""
    rng = np.random.default_rng(1)
    return [(0.1 * rng.standard_normal(length)).astype(np.float32) for length in lengths]


def peak_memory_mib(arguments: list[str]) -> tuple[float, str]:
    """Run a module of this package in a new process.

    Args:
        arguments: the module, and its command line.

    Returns:
        Its peak memory in MiB (Linux only), and what it printed to stdout.
    """
    # VmHWM starts from zero in the new program, while getrusage also counts the memory of this process at the fork.
    code = "import runpy, sys; sys.argv = sys.argv[1:]; runpy.run_module(sys.argv[0], run_name='__main__'); "
    code += "print('peak', *[line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')])"
    completed = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    output, _, peak = completed.stdout.rpartition("peak ")
    return int(peak) / 1024, output
