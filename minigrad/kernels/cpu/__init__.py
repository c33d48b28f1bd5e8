"""Kernels for NumPy's arrays, compiled by Numba (the extra `fast`).

Each is compiled when it is first needed, once for a machine: Numba keeps it on disk, beside its
module or in `NUMBA_CACHE_DIR`.  A process that is forked from one whose kernels have run has none:
their threads do not come along.
"""

from __future__ import annotations

import os

from ... import backend

# which module has the kernels of an op
MODULES: dict[str, str] = {
    "avg_pool2d": "pooling_means",
    "avg_unpool2d": "pooling_means",
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
    "dot": "products",
    "gelu": "elementwise",
    "gelu_grad": "elementwise",
    "layer_norm": "norms",
    "layer_norm_grad": "norms",
    "linear": "products",
    "linear_grad": "products",
    "linear_weight_grad": "products",
    "log_softmax": "losses",
    "matmul": "products",
    "max_pool2d": "pooling",
    "mean": "sums",
    "relu": "elementwise",
    "relu_grad": "elementwise",
    "sigmoid": "elementwise",
    "silu": "elementwise",
    "silu_grad": "elementwise",
    "softmax": "losses",
    "sum": "sums",
    "sum_to": "sums",
    "unindex": "indexing",
    "unpick": "pooling",
}

# whether this process was forked from one whose kernels had run: it has none (see threads.py)
forked = False


def usable() -> bool:
    """Whether there is Numba, and it may compile: interpreted, kernels would be no use."""
    disabled = os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0")
    return not forked and not disabled and backend.installed("numba")
