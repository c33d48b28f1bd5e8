"""Calls of the layers in nn/norm.py."""

from layer_calls.call import Call
from minigrad.samples import anything

EPS = (1e-5, 1e-3, 0.1)


def layer_norm(draw):
    shape = tuple(draw.integer(1, 4) for _ in range(draw.integer(1, 3)))
    x = anything(draw, (*draw.shape(most=2, side=(1, 3)), *shape))
    options = {
        "eps": draw.one_of(*EPS),
        "elementwise_affine": draw.flag(),
        "bias": draw.flag(),
    }
    normalized = shape[0] if len(shape) == 1 and draw.flag() else draw.one_of(shape, list(shape))
    return Call((normalized,), options, (x,), training=draw.flag())


def group_norm(draw):
    groups = draw.integer(1, 3)
    channels = groups * draw.integer(1, 3)
    batch = draw.integer(1 if channels > groups else 2, 3)  # PyTorch refuses one value in all
    x = anything(draw, (batch, channels, *draw.shape(most=3, side=(1, 3))))
    options = {"eps": draw.one_of(*EPS), "affine": draw.flag(), "bias": draw.flag()}
    return Call((groups, channels), options, (x,), training=draw.flag())


def instance_norm(axes):
    """A sampler for inputs with so many axes after the channels, with and without a batch."""

    def sample(draw):
        channels = draw.integer(1, 3)
        lead = (draw.integer(1, 3),) * draw.flag()
        lengths = [draw.integer(1, 3) for _ in range(axes)]
        lengths[draw.integer(0, axes - 1)] = draw.integer(2, 4)
        options = {
            "eps": draw.one_of(*EPS),
            "momentum": draw.one_of(0.1, 0.7, 0.0, 1.0),
            "affine": draw.flag(),
            "track_running_stats": draw.flag(),
            "bias": draw.flag(),
        }
        x = anything(draw, (*lead, channels, *lengths))
        return Call((channels,), options, (x,), training=draw.flag())

    return sample


CALLS = {
    "LayerNorm": layer_norm,
    "GroupNorm": group_norm,
    "InstanceNorm1d": instance_norm(1),
    "InstanceNorm2d": instance_norm(2),
    "InstanceNorm3d": instance_norm(3),
}
