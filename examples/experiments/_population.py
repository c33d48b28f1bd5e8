"""Population statistics for X12 and X14, measured while training goes on."""

from __future__ import annotations

import copy

import numpy as np

import minigrad as mg
from minigrad import nn

BATCH = 256


def by_population(model: nn.Module, x: np.ndarray) -> nn.Module:
    """A copy of the model whose running statistics are those of all of x, (n, …)."""
    precise = copy.deepcopy(model)
    nn.recompute_stats(precise, mg.data.batches(x, batch_size=BATCH, seed=0))
    return precise
