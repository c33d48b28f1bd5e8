"""Convolutions as products of weights and patches, by cuBLAS, with kernels that move the patches.

    y (O, positions) = w (O, taps) · patches (taps, positions)

and its adjoints.  Images are taken in blocks, and the output of large ones some rows at a time, so
that a block's patches stay within `PATCH_BYTES`.  What a block holds depends on shapes alone, and
so do the bits of the result.

Products are exact in float32 unless `mg.cuda.tf32` says otherwise.
"""

from __future__ import annotations

import functools
import itertools
import math
from types import ModuleType
from typing import Any, NamedTuple

from ...ops import conv as ops
from .floats import FLOATS, THREADS, alike, blocks_for
from .launching import kernel, launch

PATCH_BYTES = 256 << 20  # work enough that launching it costs little beside it
CHANNELS_EACH = 4  # channels of a thread: taking its position apart costs as much as reading one
MOST_DOWN = 65535  # blocks that a grid can have in its second direction
LARGE_IMAGE = 256  # pixels from which on a product for each image is as good as one for several


class Block(NamedTuple):
    """Images, and rows of their output, whose patches are made at once."""

    first: int
    last: int
    row: int
    end: int


class Plan(NamedTuple):
    """What shapes decide: the kernel's numbers, the size of the output, and the blocks."""

    size: tuple[int, ...]
    taps: tuple[int, ...]  # height, width, kernel, stride, dilation, padding before
    out: tuple[int, ...]
    blocks: tuple[Block, ...]


@functools.lru_cache(maxsize=1024)
def _plan(
    images: int, size: tuple[int, ...], w_shape: tuple[int, ...], geometry: Any, itemsize: int
) -> Plan | None:
    """The plan for images of a size; None where there is nothing to compute, or no place to be."""
    o, each, *kernel = w_shape
    groups, out = geometry.groups, tuple(map(int, geometry.output_size(size, kernel)))
    if min(images, *w_shape, *size, *out) < 1 or o % groups:
        return None
    before = [pair[0] for pair in geometry.padding]
    taps = (*size, *kernel, *geometry.stride, *geometry.dilation, *before)
    lines = max(groups * each * math.prod(kernel), o)  # the patches' or the output's
    blocks = _blocks(images, out, max(1, PATCH_BYTES // (lines * itemsize)))
    return Plan(tuple(map(int, size)), tuple(map(int, taps)), out, tuple(blocks))


def _blocks(images, out, fits):
    """Images in blocks, or rows of each, about as many in all; up to `fits` positions, or a row."""
    rows, columns = out
    if rows * columns <= fits:
        parts = -(-images // (fits // (rows * columns)))
        cuts = [images * part // parts for part in range(parts + 1)]
        return [Block(*pair, 0, rows) for pair in itertools.pairwise(cuts)]
    parts = -(-rows // max(1, fits // columns))
    cuts = [rows * part // parts for part in range(parts + 1)]
    tiles = list(itertools.pairwise(cuts))
    return [Block(n, n + 1, *tile) for n in range(images) for tile in tiles]


def _planned(images: Any, weights: Any, outputs: Any, dtype: Any, geometry: Any) -> Plan | None:
    """The plan for three shapes (`outputs` may be None), if the kernels know such arrays."""
    if len(images) != 4 or len(weights) != 4:
        return None
    if images[1] != weights[1] * geometry.groups:
        return None
    plan = _plan(images[0], tuple(images[2:]), tuple(weights), geometry, dtype.itemsize)
    if plan is None or outputs not in (None, (images[0], weights[0], *plan.out)):
        return None
    return plan


# ---- what a block does ---------------------------------------------------------------------------


def _grid(places, channels):
    return blocks_for(places), min(-(-channels // CHANNELS_EACH), MOST_DOWN)


def _patches(xp: ModuleType, x: Any, plan: Plan, block: Block, groups: int) -> Any:
    """Patches (groups, taps, positions) of a block of contiguous images x (N, C, H, W)."""
    part, channels = x[block.first : block.last], x.shape[1]
    positions = len(part) * (block.end - block.row) * plan.out[1]
    taps = channels // groups * plan.taps[2] * plan.taps[3]
    out = xp.empty((groups, taps, positions), x.dtype)
    run = kernel(xp, "patches", f"patches_{FLOATS[x.dtype]}")
    sizes = len(part), channels, *plan.taps, block.row, block.end - block.row, plan.out[1]
    launch(run, _grid(positions, channels), (THREADS,), part, out, *sizes)
    return out


def _add_patches(xp: ModuleType, columns: Any, x: Any, plan: Plan, block: Block) -> None:
    """The adjoint: x's block of images from columns (groups, taps, positions).

    Rows of the output beyond the first add to what is there.
    """
    part, channels = x[block.first : block.last], x.shape[1]
    run = kernel(xp, "patches", f"add_patches_{FLOATS[x.dtype]}")
    sizes = len(part), channels, *plan.taps, block.row, block.end - block.row, plan.out[1]
    blocks = _grid(len(part) * math.prod(plan.size), channels)
    launch(run, blocks, (THREADS,), columns, part, int(block.row > 0), *sizes)


def _lines(xp: ModuleType, y: Any, block: Block, groups: int) -> Any:
    """A block of outputs y (N, O, oh, ow) as lines (groups, O/groups, positions)."""
    part = y[block.first : block.last, :, block.row : block.end]
    return xp.ascontiguousarray(part.swapaxes(0, 1)).reshape(groups, y.shape[1] // groups, -1)


def _multiply(xp: ModuleType, a: Any, b: Any, out: Any) -> Any:
    """a · b by group.  Of one group, as plain matrices: these cuBLAS takes transposed as well."""
    if len(out) == 1:
        xp.matmul(a[0], b[0], out=out[0])
    else:
        xp.matmul(a, b, out=out)
    return out


# ---- the ops -------------------------------------------------------------------------------------


def _bare(size: Any, kernel_size: Any, geometry: Any) -> bool:
    """Whether pixels do not meet, in images so large that each is worth a product of its own."""
    still = geometry.stride == (1, 1) and not any(map(any, geometry.padding))
    return still and tuple(kernel_size) == (1, 1) and size[0] * size[1] >= LARGE_IMAGE


def _by_pixel(x: Any, groups: int) -> Any:
    """(N, C, H, W) as matrices (N, groups, C/groups, H·W)."""
    n, c, h, w = x.shape
    return x.reshape(n, groups, c // groups, h * w)


def _convolved(xp: ModuleType, x: Any, w: Any, bias: Any, plan: Plan, geometry: Any) -> Any:
    """conv2d(x, w), and a bias for each channel unless it is None."""
    o, groups = len(w), geometry.groups
    weights = w.reshape(groups, o // groups, -1)
    y = xp.empty((len(x), o, *plan.out), x.dtype)
    offsets = None if bias is None else bias[:, None, None]
    if _bare(plan.size, w.shape[2:], geometry):
        xp.matmul(weights, _by_pixel(x, groups), out=_by_pixel(y, groups))
        return y if bias is None else xp.add(y, offsets, out=y)
    x = xp.ascontiguousarray(x)
    for block in plan.blocks:
        patches = _patches(xp, x, plan, block, groups)
        lines = xp.empty((groups, o // groups, patches.shape[2]), x.dtype)
        _multiply(xp, weights, patches, lines)
        first, last, row, end = block
        part = lines.reshape(o, last - first, end - row, plan.out[1]).swapaxes(0, 1)
        if bias is None:
            y[first:last, :, row:end] = part
        else:
            xp.add(part, offsets, out=y[first:last, :, row:end])
    return y


@ops.conv2d.kernel("cuda")
def _(xp, x, w, *, geometry):
    plan = _planned(x.shape, w.shape, None, x.dtype, geometry) if alike(xp, x, w) else None
    return NotImplemented if plan is None else _convolved(xp, x, w, None, plan, geometry)


@ops.conv2d_bias.kernel("cuda")
def _(xp, x, w, b, *, geometry):
    if not alike(xp, x, w, b) or b.shape != w.shape[:1]:
        return NotImplemented
    plan = _planned(x.shape, w.shape, None, x.dtype, geometry)
    return NotImplemented if plan is None else _convolved(xp, x, w, b, plan, geometry)


@ops.conv2d_input.kernel("cuda")
def _(xp, x, w, *, size, geometry):
    if not alike(xp, x, w) or w.ndim != 4 or x.ndim != 4:
        return NotImplemented
    o, groups, shape = len(w), geometry.groups, (len(x), w.shape[1] * geometry.groups, *size)
    plan = _planned(shape, w.shape, x.shape, x.dtype, geometry)
    if plan is None:
        return NotImplemented
    weights = w.reshape(groups, o // groups, -1).swapaxes(1, 2)
    y = xp.empty(shape, x.dtype)
    if _bare(size, w.shape[2:], geometry):
        xp.matmul(weights, _by_pixel(x, groups), out=_by_pixel(y, groups))
        return y
    for block in plan.blocks:
        lines = _lines(xp, x, block, groups)
        columns = xp.empty((groups, weights.shape[1], lines.shape[2]), x.dtype)
        _add_patches(xp, _multiply(xp, weights, lines, columns), y, plan, block)
    return y


@ops.conv2d_weight.kernel("cuda")
def _(xp, x, dy, *, kernel, geometry):
    if not alike(xp, x, dy) or x.ndim != 4 or dy.ndim != 4:
        return NotImplemented
    groups, o = geometry.groups, dy.shape[1]
    shape = o, x.shape[1] // groups, *kernel
    plan = _planned(x.shape, shape, dy.shape, x.dtype, geometry)
    if plan is None:
        return NotImplemented
    x = xp.ascontiguousarray(x)
    total: Any = None
    for block in plan.blocks:
        patches = _patches(xp, x, plan, block, groups)
        outputs = _lines(xp, dy, block, groups).swapaxes(1, 2)
        one = xp.empty((groups, patches.shape[1], o // groups), x.dtype)
        _multiply(xp, patches, outputs, one)  # transposed: of two operands the smaller is turned
        total = one if total is None else xp.add(total, one, out=total)
    return xp.ascontiguousarray(total.swapaxes(1, 2)).reshape(shape)
