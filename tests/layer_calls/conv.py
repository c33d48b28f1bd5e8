"""Calls of the layers in nn/conv.py."""

from layer_calls.call import Call
from minigrad.samples import anything

MODES = "zeros", "reflect", "replicate", "circular"


def per_axis(draw, axes, low, high):
    """One number for all axes, or a tuple."""
    each = tuple(draw.integer(low, high) for _ in range(axes))
    return draw.one_of(each, each[0])


def spread(value, axes):
    return value if isinstance(value, tuple) else (value,) * axes


def images(draw, channels, size):
    """With a batch, sometimes of one, or without."""
    return anything(draw, (*draw.one_of((draw.integer(1, 2),), ()), channels, *size))


def conv(axes):
    """A sampler for convolutions along so many axes."""

    def sample(draw):
        groups = draw.one_of(1, 1, 2, 3)
        channels = groups * draw.integer(1, 2), groups * draw.integer(1, 2)
        kernel, dilation = per_axis(draw, axes, 1, 3), per_axis(draw, axes, 1, 2)
        spans = [
            d * (k - 1) + 1
            for k, d in zip(spread(kernel, axes), spread(dilation, axes), strict=True)
        ]
        size = [span + draw.integer(2, 4) for span in spans]  # every mode has enough to pad with
        mode, padding = (
            draw.one_of(*MODES),
            draw.one_of(per_axis(draw, axes, 0, 2), "same", "valid"),
        )
        if padding == "same" and mode == "zeros" and any(span % 2 == 0 for span in spans):
            padding = "valid"  # PyTorch warns of this one; test_conv.py has it
        options = {
            "stride": 1 if padding == "same" else per_axis(draw, axes, 1, 3),
            "padding": padding,
            "dilation": dilation,
            "groups": groups,
            "bias": draw.flag(),
            "padding_mode": mode,
        }
        return Call((*channels, kernel), options, (images(draw, channels[0], size),))

    return sample


def conv_transpose(draw):
    groups = draw.one_of(1, 1, 2, 3)
    channels = groups * draw.integer(1, 2), groups * draw.integer(1, 2)
    kernel, stride, dilation = (per_axis(draw, 2, 1, 3) for _ in range(3))
    most = map(max, spread(stride, 2), spread(dilation, 2))
    extra = tuple(draw.integer(0, n - 1) for n in most)
    padding = per_axis(draw, 2, 0, 2)
    size = [draw.integer(max(1, 2 * p + 1), 2 * p + 3) for p in spread(padding, 2)]
    options = {
        "stride": stride,
        "padding": padding,
        "output_padding": draw.one_of(extra, min(extra)),
        "groups": groups,
        "bias": draw.flag(),
        "dilation": dilation,
    }
    return Call((*channels, kernel), options, (images(draw, channels[0], size),))


CALLS = {"Conv1d": conv(1), "Conv2d": conv(2), "ConvTranspose2d": conv_transpose}
