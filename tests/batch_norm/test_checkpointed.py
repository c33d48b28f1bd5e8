"""B47 for the function: its running tensors do not move again when a checkpoint runs it anew."""

from batch_norm_cases import draw, host, leaf
from state_cases import batch, moments

import minigrad as mg
import minigrad.nn.functional as F


def test_B47_the_function_s_running_tensors_move_once_in_a_checkpoint(shape, fused, device):
    mean, var = mg.zeros(3, device=device), mg.ones(3, device=device)
    x = leaf(host(batch(shape)), device)

    def normalised(x):
        return F.batch_norm(x, mean, var, training=True, momentum=0.5, fused=fused)

    mg.func.checkpoint(normalised, x).backward(mg.tensor(draw(shape, 1), device=device))
    batch_mean, batch_var = moments(x)
    assert abs(host(mean) - batch_mean / 2).max() < 1e-6
    assert abs(host(var) - (1 + batch_var) / 2).max() < 1e-6
    assert x.grad is not None
