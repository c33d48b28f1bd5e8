"""The threads that kernels run on: Numba's, beside OpenBLAS's, in this process only."""

from __future__ import annotations

import importlib
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

# How long OpenMP's worker looks for work before it sleeps: about as long as Python takes between
# two kernels.  By default it spins for milliseconds, on the core that the user's next OpenBLAS
# product needs (and that product's worker then does the same to the kernel after it).
SPINS = "3000"


@contextmanager
def _short_spins() -> Iterator[None]:
    """GNU's OpenMP reads its environment when it is loaded: ours is gone again after that."""
    known = "GOMP_SPINCOUNT" in os.environ or "OMP_WAIT_POLICY" in os.environ
    if not known:
        os.environ["GOMP_SPINCOUNT"] = SPINS
    try:
        yield
    finally:
        if not known:
            del os.environ["GOMP_SPINCOUNT"]


with _short_spins():
    import numba

    with suppress(ImportError):  # then another threading layer takes its place
        importlib.import_module("numba.np.ufunc.omppool")  # this loads GNU's OpenMP

_lock = threading.Lock()


def _shareable() -> bool:
    """Whether several Python threads may run kernels at once: Numba's own work queue aborts."""
    settings: Any = numba.config
    layer = str(settings.THREADING_LAYER).lower()
    if layer == "default":
        layer = settings.THREADING_LAYER_PRIORITY[0]
    return layer not in ("workqueue", "forksafe") and "numba.np.ufunc.omppool" in sys.modules


class _InTurn:
    """A kernel that Python threads run one after the other; compiled code may call it too."""

    def __init__(self, kernel: Any) -> None:
        self.kernel = kernel
        self._numba_type_ = kernel._numba_type_  # what compiled code takes it for

    def __call__(self, *arguments: Any) -> Any:
        with _lock:
            return self.kernel(*arguments)


def shared(kernel: Any) -> Any:
    """The kernel as any Python thread may call it: Numba lets go of Python's lock inside."""
    return kernel if _shareable() else _InTurn(kernel)


def _leave_kernels() -> None:
    """In a forked child: threads do not come along, and OpenMP would wait for them for ever."""
    from ...op import Op

    package: Any = sys.modules[__package__]
    kernels = sys.modules[__package__.rpartition(".")[0]]  # `minigrad.kernels` is the switch

    try:
        numba.threading_layer()  # type: ignore[attr-defined]
    except ValueError:
        return  # none has been started yet: the child may start its own
    package.forked = True
    kernels.optimizer_steps.cache_clear()
    for op in list(Op.every):
        for place, bodies in list(op.kernels.items()):
            theirs = [body for body in bodies if not body.__module__.startswith(package.__name__)]
            op.kernels[place] = theirs
            if not theirs:
                del op.kernels[place]
        op.choose_body()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_kernels)
