"""Calls of the layers in nn/pool.py."""

from layer_calls.call import Call
from layer_calls.conv import images, per_axis, spread
from minigrad.samples import apart


def window(draw, dilated):
    """Options of a window, and the size of an image that it fits into, if narrowly."""
    kernel = per_axis(draw, 2, 1, 3)
    halves = [k // 2 for k in spread(kernel, 2)]
    padding = draw.one_of(tuple(draw.integer(0, n) for n in halves), draw.integer(0, min(halves)))
    dilation = per_axis(draw, 2, 1, 2) if dilated else 1
    size = [
        max(d * (k - 1) + 1 - 2 * p, d) + draw.integer(0, 3)
        for k, p, d in zip(spread(kernel, 2), spread(padding, 2), spread(dilation, 2), strict=True)
    ]
    options = {
        "stride": draw.one_of(None, per_axis(draw, 2, 1, 3)),
        "padding": padding,
        "ceil_mode": draw.flag(),
    }
    return kernel, size, options | ({"dilation": dilation} if dilated else {})


def max_pool(draw):
    kernel, size, options = window(draw, dilated=True)
    channels = draw.integer(1, 2)
    x = apart(draw, draw.one_of((2, channels, *size), (channels, *size)))
    return Call((kernel,), options, (x,))


def avg_pool(draw):
    kernel, size, options = window(draw, dilated=False)
    options |= {
        "count_include_pad": draw.flag(),
        "divisor_override": draw.one_of(None, 3, -2),
    }
    return Call((kernel,), options, (images(draw, draw.integer(1, 2), size),))


def adaptive_avg_pool(draw):
    output = tuple(draw.one_of(None, *range(1, 7)) for _ in range(2))
    x = images(draw, draw.integer(1, 2), (draw.integer(1, 7), draw.integer(1, 7)))
    return Call((draw.one_of(output, output[0] or 1),), {}, (x,))


CALLS = {"MaxPool2d": max_pool, "AvgPool2d": avg_pool, "AdaptiveAvgPool2d": adaptive_avg_pool}
