"""Kernels for CuPy's arrays: the host's side of `minigrad/kernels/*.cu`.

A module here says which arrays a kernel serves, makes the memory for its results and launches it
(launching.py).  The CUDA C++ is compiled by NVRTC when it is first needed, and CuPy keeps it on
disk.
"""

from __future__ import annotations

# which module has the kernels of an op
MODULES: dict[str, str] = {
    "cross_entropy": "losses",
    "cross_entropy_grad": "losses",
    "erf": "elementwise",
    "gelu": "elementwise",
    "gelu_grad": "elementwise",
    "log_softmax": "losses",
    "relu_grad": "elementwise",
    "sigmoid": "elementwise",
    "silu": "elementwise",
    "silu_grad": "elementwise",
    "softmax": "losses",
}


def usable() -> bool:
    """Always: who has an array of CuPy's has what compiles kernels."""
    return True
