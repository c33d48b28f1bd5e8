"""BatchNorm in its two forms, drawn side by side: composed of primitives, and as one fused node.

Both give the same numbers, and the same derivatives of every order; what differs is what the graph
consists of and what it keeps alive for the backward pass.  The picture shows each op with its shape
and the bytes that it keeps; the fused node keeps a mean and a deviation for each channel, and has
the rest computed anew from x, which lives anyway.  Nothing but minigrad is needed.
"""

from __future__ import annotations

import argparse
import math

import minigrad as mg
from minigrad import nn
from minigrad.drawing import Drawing

SHAPE = (64, 32, 8, 8)  # images, channels, height, width


def drawn(fused: bool) -> Drawing:
    """The graph of one BatchNorm2d in training."""
    x = mg.randn(*SHAPE, requires_grad=True)
    model = nn.BatchNorm2d(SHAPE[1], fused=fused)
    title = "fused: one node" if fused else "composed: fused=False"
    return mg.draw(lambda: model(x), model, names={"x": x}, title=title)


def main(arguments: list[str] | None = None) -> int:
    """Draw both, and say what each keeps."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--out", default="batch_norm.svg", help="where the picture goes (%(default)s)"
    )
    options = parser.parse_args(arguments)
    composed, fused = drawn(fused=False), drawn(fused=True)
    try:
        composed.beside(fused).save(options.out)
    except (ValueError, OSError) as error:
        parser.error(f"--out {options.out}: {error}")
    x = math.prod(SHAPE) * mg.float32.itemsize
    for name, drawing in (("composed", composed), ("fused", fused)):
        ops = sum(not v.is_leaf for v in drawing.vertices)
        verb = "op  keeps" if ops == 1 else "ops keep "
        share = drawing.kept / x
        print(f"{name:<10}{ops:>3} {verb}{drawing.kept:>10,} bytes, {share:.3f} of x's size")
    print(f"picture: {options.out}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
