"""Memory of a training step: what it takes at its peak, and what stays until the next one.

Each form runs in a process of its own.  After two steps to load what there is to load, everything
that is free goes back to the system; from there on the resident memory is counted that three more
steps take at most (the kernel's own high-water mark, set back before; no allocator is asked, so
NumPy's, PyTorch's and minigrad's pool are counted alike).  "Kept" is what is still resident after
the last step: free memory that the allocator or the pool holds for the next one.  Data, parameters,
optimizer and all code count for nothing.
"""

from __future__ import annotations

import ctypes
import gc
import json
import statistics
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import _peers
import batch_norm
import step
from _cases import ABSENT, BASELINE
from _forms import minigrad_contexts
from _harness import Stopwatch
from _report import Chart, Report, Table

import minigrad as mg
import minigrad.nn.functional as F

SHAPE = (32, 64, 68, 68)  # 36.1 MiB
STEPS = 3
CNN = "the digits CNN"
NORM = f"BatchNorm {'×'.join(map(str, SHAPE))}"
STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")
HIGH_WATER_MARK = "5"  # of clear_refs: set VmHWM to what is resident now
Step = Callable[[], Any]


def forms() -> dict[str, list[str]]:
    """The forms of each case."""
    ours = list(minigrad_contexts())
    torchs = [BASELINE, f"{BASELINE} composed"] if _peers.torch is not None else []
    return {CNN: [*ours, *torchs[:1]], NORM: [*ours, *torchs]}


def measure(watch: Stopwatch, quick: bool) -> Report:
    """Both cases, or the smaller."""
    if not RESET.exists():
        return Report(__doc__, [], notes=["this system does not tell: it has no /proc (Linux)"])
    columns = ["case", "form", "peak MiB", f"×{BASELINE}", "kept MiB"]
    table, bars = Table(columns), {}
    for case, names in list(forms().items())[: 1 if quick else None]:
        found = {name: _median(case, name, watch.rounds) for name in names}
        baseline = found.get(BASELINE)
        for name, (peak, kept) in found.items():
            ratio = f"{peak / baseline[0]:.2f}" if baseline else ABSENT
            table.add(case, name, f"{peak:.1f}", ratio, f"{kept:.1f}")
        bars[case] = {name: peak for name, (peak, _) in found.items()}
    note = f"medians of {watch.rounds} processes; least for {NORM}: y and dx, 72.2 MiB"
    return Report(__doc__, [table], Chart("MiB that a step takes at its peak", bars), [note])


def _median(case: str, form: str, rounds: int) -> tuple[float, float]:
    """Peak and kept MiB."""
    print(f"{case}: {form} ...", file=sys.stderr, flush=True)
    command = [sys.executable, __file__, case, form]
    runs = [
        json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        for _ in range(rounds)
    ]
    peaks, kepts = zip(*runs, strict=True)
    return statistics.median(peaks), statistics.median(kepts)


# ---- in a process of its own ---------------------------------------------------------------------


def resident_of(run: Step) -> tuple[float, float]:
    """MiB that the steps take at most, and that stay after them."""
    for _ in range(2):
        run()
    _let_go()
    RESET.write_text(HIGH_WATER_MARK)
    before = _resident("VmRSS")
    for _ in range(STEPS):
        run()
    return _resident("VmHWM") - before, _resident("VmRSS") - before


def _let_go() -> None:
    gc.collect()
    mg.memory().empty_cache()
    ctypes.CDLL("libc.so.6").malloc_trim(0)


def _resident(field: str) -> float:
    lines = STATUS.read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:")) / 1024


def made(case: str, form: str) -> Step:
    """The step of one form, in its context."""
    if form.startswith(BASELINE):
        _peers.load("torch")
        if case == CNN:
            return step.of_torch(step.TASKS[CNN])
        return _torch_norm(composed=form != BASELINE)
    run = step.of_minigrad(step.TASKS[CNN]) if case == CNN else _norm()
    return partial(_inside, minigrad_contexts()[form], run)


def _inside(context: Any, run: Step) -> None:
    with context():
        run()


def _norm() -> Step:
    given = batch_norm.problem(SHAPE)
    inputs = [mg.tensor(each, requires_grad=True) for each in given.arrays]
    dy, norm = mg.tensor(given.dy), batch_norm.function(F.batch_norm)
    return lambda: mg.grad(norm(*inputs), inputs, dy)


def _torch_norm(composed: bool) -> Step:
    torch, given = _peers.torch, batch_norm.problem(SHAPE)
    inputs = [torch.tensor(each, requires_grad=True) for each in given.arrays]
    dy, norm = torch.tensor(given.dy), batch_norm.function(torch.nn.functional.batch_norm)
    if composed:
        norm = partial(batch_norm.composed, torch)
    return lambda: torch.autograd.grad(norm(*inputs), inputs, dy)


if __name__ == "__main__":
    print(json.dumps(resident_of(made(*sys.argv[1:]))))
