"""Kernels for CuPy's arrays: the host's side of `minigrad/kernels/*.cu`.

A module here says which arrays a kernel serves, makes the memory for its results and launches it
(launching.py).  The CUDA C++ is compiled by NVRTC when it is first needed, and CuPy keeps it on
disk.
"""

from __future__ import annotations

# which module has the kernels of an op
MODULES: dict[str, str] = {
    "avg_pool2d": "pooling",
    "avg_unpool2d": "pooling",
    "batch_norm": "norms",
    "batch_norm_eval": "norms",
    "batch_norm_grad": "norms",
    "batch_norm_relu": "norms",
    "batch_norm_relu_eval": "norms",
    "batch_norm_relu_grad": "norms",
    "batch_norm_sums": "norms",
    "conv2d": "conv",
    "conv2d_bias": "conv",
    "conv2d_input": "conv",
    "conv2d_weight": "conv",
    "cross_entropy": "losses",
    "cross_entropy_grad": "losses",
    "erf": "elementwise",
    "gelu": "elementwise",
    "gelu_grad": "elementwise",
    "layer_norm": "norms_layers",
    "layer_norm_grad": "norms_layers",
    "log_softmax": "losses",
    "max_pool2d": "pooling",
    "relu_grad": "elementwise",
    "sigmoid": "elementwise",
    "silu": "elementwise",
    "silu_grad": "elementwise",
    "softmax": "losses",
    "unindex": "indexing",
    "unpick": "pooling",
}


def usable() -> bool:
    """Always: who has an array of CuPy's has what compiles kernels."""
    return True
