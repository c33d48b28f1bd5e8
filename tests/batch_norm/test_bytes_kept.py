"""What each form keeps alive for backward, at the size of the seed document's example."""

import numpy as np
import pytest

import minigrad as mg
from minigrad.graph import owner, saved_arrays
from minigrad.nn import functional as F

SHAPE = (32, 64, 68, 68)


def kept_beside(y, inputs):
    """The bytes of each memory that the graph behind y keeps, beside those of the inputs."""
    own = {id(owner(t.array)) for t in inputs}
    found, todo, seen = {}, [y.node], set()
    while todo:
        node = todo.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if node.op is not None:
            todo.extend(node.parents)
            for _, array in saved_arrays(node):
                if id(owner(array)) not in own:
                    found[id(owner(array))] = owner(array).nbytes
    return list(found.values())


@pytest.mark.parametrize("function", [F.batch_norm, F.batch_norm_relu])
def test_beside_x_fused_keeps_no_array_of_x_s_size_and_composed_at_least_one(function):
    x = mg.tensor(np.zeros(SHAPE, np.float32), requires_grad=True)
    x.data[::2] = 1
    weight, bias = (mg.ones(SHAPE[1], requires_grad=True) for _ in range(2))
    size, large = x.data.nbytes, {}
    for fused in (True, False):
        y = function(x, None, None, weight, bias, training=True, fused=fused)
        kept = kept_beside(y, [x, weight, bias, y])  # relu's mask is its output, which lives anyway
        large[fused] = sum(bytes_ >= size for bytes_ in kept)
        if fused:
            assert sum(kept) <= 10 * SHAPE[1] * 8  # a few numbers a channel
    assert large[True] == 0
    assert large[False] >= 1
