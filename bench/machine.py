"""What a table was measured on, and how its figures are printed."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

import torch

from models.packed import multiplies_bf16

PACKAGES = ("torch", "transformers", "tokenizers", "numpy")


def describe() -> str:
    """Processor, cores, what torch uses of it, versions, and how busy the machine is."""
    names = (
        [
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
            if line.startswith("model name")
        ]
        if Path("/proc/cpuinfo").exists()
        else [platform.processor()]
    )
    bf16 = "with bf16" if multiplies_bf16() else "without bf16"
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    busy = f"load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    return (
        f"{os.cpu_count()} x {names[0] if names else platform.machine()}, "
        f"{torch.backends.cpu.get_cpu_capability()} {bf16}, {gpu}, {busy}\n"
        f"Python {platform.python_version()}, {versions}"
    )


def cpu_s(process: int) -> float:
    """Processor time that a process has used; Linux only."""
    fields = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_mib(process: int) -> float:
    """Resident memory of a process; Linux only."""
    pages = int(Path(f"/proc/{process}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def quantile(values: Iterable[float], share: float) -> float:
    """The value below which that share of them lies."""
    ordered = sorted(values)
    return ordered[int(share * (len(ordered) - 1))]


def quantiles(values: Sequence[float], unit: str, *, digits: int = 0) -> str:
    """p50, p95 and p99 in words."""
    cuts = statistics.quantiles(values, n=100)
    return ", ".join(f"p{share} {cuts[share - 1]:.{digits}f} {unit}" for share in (50, 95, 99))


def print_rates(title: str, rates: Mapping[str, Sequence[float]], *, base: str) -> None:
    """Medians and ratios to base over the rounds, each ratio taken within a round."""
    print(f"\n{title}")
    for name, values in rates.items():
        ratios = sorted(value / first for value, first in zip(values, rates[base], strict=True))
        spread = f"({ratios[0]:.2f} to {ratios[-1]:.2f})" if len(ratios) > 1 else ""
        print(
            f"  {name:44} {statistics.median(values):10,.1f}   "
            f"{statistics.median(ratios):5.2f} {spread}"
        )
