"""Calls of the layers in nn/batch_norm.py."""

from layer_calls.call import Call
from minigrad.samples import anything


def batch_norm(axes):
    """A sampler for inputs (N, C, ...) with so many axes after the channels."""

    def sample(draw):
        channels = draw.integer(1, 3)
        x = anything(
            draw, (draw.integer(2, 4), channels, *(draw.integer(1, 3) for _ in range(axes(draw))))
        )
        options = {
            "eps": draw.one_of(1e-5, 1e-3, 0.1),
            "momentum": draw.one_of(0.1, 0.7, None),
            "affine": draw.flag(),
            "track_running_stats": draw.flag(),
            "bias": draw.flag(),
        }
        return Call((channels,), options, (x,), training=draw.flag())

    return sample


CALLS = {
    "BatchNorm1d": batch_norm(lambda draw: draw.integer(0, 1)),
    "BatchNorm2d": batch_norm(lambda draw: 2),
    "BatchNorm3d": batch_norm(lambda draw: 3),
}
