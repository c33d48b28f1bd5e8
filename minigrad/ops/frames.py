"""Frames: images among zeros, in which the patches of a convolution are runs of memory.

Images are copied once into planes with zeros around, a plane for each channel and phase of the
stride.  There every tap of a kernel, at all positions that the kernel takes, is one run, which
starts `start` numbers further on: K runs make the patch matrix, whatever the rows are.

Rows of a plane are `pitch` apart, so there are gaps between the rows of the output: what is
computed there is not read.  The zeros to the left of a row are also those to the right of the row
before, and those above an image those below the image before.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..memory import empty


class Frame(NamedTuple):
    """Where pixels, taps and outputs are in a frame."""

    height: int
    width: int
    kh: int
    kw: int
    sh: int
    sw: int
    dh: int
    dw: int
    top: int
    left: int
    oh: int
    ow: int
    rows: int  # from an image to the next
    pitch: int  # from a row to the next

    @property
    def reach(self):
        """How far behind its first tap a kernel's last tap is read."""
        return self.dh * (self.kh - 1) // self.sh * self.pitch + self.dw * (self.kw - 1) // self.sw

    @property
    def each(self):
        """Positions of an image, gaps included."""
        return self.rows * self.pitch

    def taps(self):
        """The phase in which each tap reads, and where it starts."""
        for i in range(0, self.kh * self.dh, self.dh):
            for j in range(0, self.kw * self.dw, self.dw):
                start = i // self.sh * self.pitch + j // self.sw
                yield i % self.sh * self.sw + j % self.sw, start

    def phases(self):
        """The (row, column) phases, each with the slices that it fills, of planes and of images."""
        for a in range(self.sh):
            for b in range(self.sw):
                rows, lines = _span(self.top, a, self.sh, self.height, self.rows)
                columns, pixels = _span(self.left, b, self.sw, self.width, self.pitch)
                yield (a, b), (rows, columns), (lines, pixels)


def _span(before, phase, step, size, most):
    """Along one axis: which part of a plane holds pixels of a phase, and which pixels."""
    low = max(0, -((phase - before) // step))
    high = max(low, min(most, (size - 1 + before - phase) // step + 1))
    start = low * step + phase - before
    return slice(low, high), slice(start, start + (high - low) * step, step)


def frame_of(size, kernel, geometry, tile=None):
    """The frame of images of a size; `tile`: of so many rows of an image's output."""
    out, apart = geometry.output_size(size, kernel), []
    before = [pair[0] for pair in geometry.padding]
    for n, k, s, p, d, o in zip(
        size, kernel, geometry.stride, before, geometry.dilation, out, strict=True
    ):
        reach = d * (k - 1) // s
        pixels = min(-(-(n + p) // s), o + reach)
        apart.append(max(o, pixels, o + reach - p // s))
    if tile is not None:  # no image below whose zeros would do
        apart[0] = tile + geometry.dilation[0] * (kernel[0] - 1) // geometry.stride[0]
    return Frame(*size, *kernel, *geometry.stride, *geometry.dilation, *before, *out, *apart)


class Room:
    """Scratch for planes, patches and lines, cut to size for each block of images."""

    def __init__(self, xp, dtype, frame, channels):
        self.xp, self.dtype, self.frame, self.channels = xp, dtype, frame, channels
        self.taken = {}

    def matrix(self, name, rows, columns):
        """A matrix under a name, in the memory of the first of that name."""
        size = rows * columns
        if name not in self.taken or self.taken[name].size < size:
            new = empty if self.xp is np else self.xp.empty
            self.taken[name] = new((size,), self.dtype)
        return self.taken[name][:size].reshape(rows, columns)

    def planes(self, images):
        """Planes of zeros (channels·phases, positions) and pixels, axes (c, a, b, n, f, u)."""
        f = self.frame
        length = images * f.each
        planes = self.matrix("planes", self.channels * f.sh * f.sw, length + f.reach)
        planes[...] = 0
        grid = planes[:, :length].reshape(self.channels, f.sh, f.sw, images, f.rows, f.pitch)
        return planes, grid

    def framed(self, x):
        """Images x (B, C, H, W) as planes (C·phases, positions)."""
        planes, grid = self.planes(len(x))
        for phase, (rows, columns), (lines, pixels) in self.frame.phases():
            part = x[:, :, lines, pixels].swapaxes(0, 1)
            grid[:, *phase, :, rows, columns] = part
        return planes

    def unframed(self, grid, x):
        """The adjoint of `framed`: x (B, C, H, W) from the planes' pixels."""
        f = self.frame
        if f.rows * f.sh < f.height + f.top or f.pitch * f.sw < f.width + f.left:
            x[...] = 0  # pixels that no tap reads
        for phase, (rows, columns), (lines, pixels) in f.phases():
            x[:, :, lines, pixels] = grid[:, *phase, :, rows, columns].swapaxes(0, 1)

    def patches(self, planes, start, stop):
        """Patches (channels·kh·kw, positions) from one position to another."""
        f = self.frame
        patches = self.matrix("patches", self.channels * f.kh * f.kw, stop - start)
        to = patches.reshape(self.channels, f.kh * f.kw, stop - start)
        by_phase = planes.reshape(self.channels, f.sh * f.sw, -1)
        for k, (phase, first) in enumerate(f.taps()):
            to[:, k] = by_phase[:, phase, first + start : first + stop]
        return patches

    def add_patches(self, columns, start, planes):
        """The adjoint of `patches`: columns are added to the runs that they were read from."""
        f = self.frame
        stop = start + columns.shape[-1]
        columns = columns.reshape(self.channels, f.kh * f.kw, -1)
        by_phase = planes.reshape(self.channels, f.sh * f.sw, -1)
        for k, (phase, first) in enumerate(f.taps()):
            by_phase[:, phase, first + start : first + stop] += columns[:, k]

    def lines(self, channels, images):
        """Outputs as lines (channels, positions), and without gaps, (B, channels, oh, ow)."""
        f = self.frame
        lines = self.matrix("lines", channels, images * f.each)
        whole = lines.reshape(channels, images, f.rows, f.pitch).swapaxes(0, 1)
        return lines, whole[:, :, : f.oh, : f.ow]

    def spread(self, y):
        """Outputs y (B, O, oh, ow) as lines, with zeros in the gaps."""
        lines, inside = self.lines(y.shape[1], len(y))
        lines[...] = 0
        inside[...] = y
        return lines

    def without_gaps(self, columns, start):
        """Columns, from a position on, with zeros for all that lies in a gap."""
        f = self.frame
        at = self.xp.arange(start, start + columns.shape[-1]) % f.each
        inside = (at % f.pitch < f.ow) & (at // f.pitch < f.oh)
        return self.xp.where(inside, columns, 0)
