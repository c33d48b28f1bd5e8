"""The machine that is measured on: its allocator, and what readers must know of it."""

from __future__ import annotations

import ctypes
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import _peers
from _threads import PINNED


def keep_memory() -> bool:
    """Let the C allocator keep large blocks: PyTorch's best case, without page faults.

    Returns:
        Whether the system has the switch (glibc); it holds until the process ends.
    """
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    trim_threshold, mmap_threshold = -1, -3  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD of malloc.h
    return bool(mallopt(mmap_threshold, 1 << 30) and mallopt(trim_threshold, (1 << 31) - 1))


def settings() -> list[str]:
    """What a reader must know to compare the figures with others."""
    unset = {name: os.environ.get(name) for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")}
    threads = (
        "the main thread on one CPU, workers of thread pools on the other, JAX's on both"
        if PINNED
        else "left to the system"
    )
    return [
        f"{_cpu()}, {os.cpu_count()} CPUs; {platform.system()}",
        ", ".join([f"Python {platform.python_version()}", *_versions()]),
        ", ".join(f"{name} {value or 'unset'}" for name, value in unset.items()),
        f"threads: {threads}",
    ]


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = (line.split(": ")[1] for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


def _versions() -> list[str]:
    found = []
    for title, package in {"NumPy": "numpy", "Numba": "numba"}.items():
        try:
            found.append(f"{title} {version(package)}")
        except PackageNotFoundError:
            continue
    if _peers.torch is not None:
        threads = _peers.torch.get_num_threads()
        found.append(f"PyTorch {_peers.torch.__version__} on {threads} threads")
    others = {name: title for name, title in _peers.NAMES.items() if name != "torch"}
    return found + [f"{t} {version(n)}" for n, t in others.items() if getattr(_peers, n)]
