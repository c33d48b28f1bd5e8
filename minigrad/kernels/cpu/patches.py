"""Frames of images and their patches, compiled (minigrad/ops/frames.py tells what they are).

Frames are plain tuples here, of the numbers of `Frame` in its order.  Loops are written out over
slices, because then they are SIMD: a call with arrays costs as much as a short row.
"""

from __future__ import annotations

from .compiling import serial


@serial
def zero(out):
    """Fill a line with zeros."""
    for q in range(out.size):
        out[q] = 0


@serial
def _span(before, phase, step, size, most):
    """From where to where a line of a frame holds pixels of a phase, along one axis."""
    low = max(0, (before - phase + step - 1) // step)
    return low, min(most, (size - 1 + before - phase) // step + 1)


@serial
def fill_frame(x, images, channel, row, frame, planes):
    """Copy images of x (N, C, H, W), from a channel and an output row on, into planes."""
    height, width, kh, kw, sh, sw, dh, dw, top, left, _, _, rows, pitch = frame
    first, last = images
    for c in range(planes.shape[0] // (sh * sw)):
        for i in range(min(kh, sh)):
            for j in range(min(kw, sw)):
                a, b = i * dh % sh, j * dw % sw
                plane = planes[(c * sh + a) * sw + b]
                zero(plane)
                low, high = _span(left, b, sw, width, pitch)
                start = low * sw + b - left
                begin, end = _span(top - row * sh, a, sh, height, rows)
                for n in range(first, last):
                    image = x[n, channel + c]
                    for f in range(begin, end):
                        at = ((n - first) * rows + f) * pitch
                        line, out = image[(row + f) * sh + a - top], plane[at + low : at + high]
                        if sw == 1:  # apart, because such a copy is SIMD
                            pixels = line[start : start + out.size]
                            for q in range(pixels.size):
                                out[q] = pixels[q]
                        else:
                            for q in range(out.size):
                                out[q] = line[start + q * sw]


@serial
def read_frame(planes, images, channel, frame, x):
    """The adjoint of `fill_frame` for whole images: x (N, C, H, W) from the planes' pixels."""
    height, width, _, _, sh, sw, _, _, top, left, _, _, rows, pitch = frame
    first, last = images
    for c in range(planes.shape[0] // (sh * sw)):
        for n in range(first, last):
            for r in range(height):
                line = x[n, channel + c, r]
                f, a = (r + top) // sh, (r + top) % sh
                if f >= rows or width + left > sw * pitch:  # pixels that no tap reads
                    zero(line)
                if f >= rows:
                    continue
                at = ((n - first) * rows + f) * pitch
                for b in range(sw):
                    low, high = _span(left, b, sw, width, pitch)
                    start = low * sw + b - left
                    pixels = planes[(c * sh + a) * sw + b][at + low : at + high]
                    if sw == 1:
                        out = line[start : start + pixels.size]
                        for q in range(out.size):
                            out[q] = pixels[q]
                    else:
                        for q in range(pixels.size):
                            line[start + q * sw] = pixels[q]


@serial
def gather(planes, frame, patches):
    """Patches (K, positions) of framed channels, K = channels · kh · kw."""
    _, _, kh, kw, sh, sw, dh, dw, _, _, _, _, _, pitch = frame
    for i in range(kh):
        for j in range(kw):
            phase = i * dh % sh * sw + j * dw % sw
            start = i * dh // sh * pitch + j * dw // sw
            for c in range(planes.shape[0] // (sh * sw)):
                out = patches[(c * kh + i) * kw + j]
                run = planes[c * sh * sw + phase][start : start + out.size]
                for q in range(out.size):
                    out[q] = run[q]


@serial
def scatter(columns, position, frame, planes):
    """The adjoint of `gather`, for the positions from one on: columns (K, n) are added back."""
    _, _, kh, kw, sh, sw, dh, dw, _, _, _, _, _, pitch = frame
    for c in range(planes.shape[0] // (sh * sw)):
        for i in range(kh):
            for j in range(kw):
                start = position + i * dh // sh * pitch + j * dw // sw
                run = columns[(c * kh + i) * kw + j]
                plane = planes[(c * sh + i * dh % sh) * sw + j * dw % sw]
                out = plane[start : start + run.size]
                for q in range(run.size):
                    out[q] += run[q]


@serial
def spread(dy, images, rows_of, channel, frame, lines):
    """Rows of dy (N, O, oh, ow) into lines (channels, positions), with zeros in the gaps."""
    ow, rows, pitch = frame[11], frame[12], frame[13]
    first, last = images
    for o in range(lines.shape[0]):
        zero(lines[o])
        for n in range(first, last):
            for r in range(rows_of[0], rows_of[1]):
                at = ((n - first) * rows + r - rows_of[0]) * pitch
                line, values = lines[o][at : at + ow], dy[n, channel + o, r]
                for q in range(line.size):
                    line[q] = values[q]


@serial
def collect(lines, bias, images, rows_of, channel, frame, y):
    """Lines (channels, positions) and a bias for each into rows of y (N, O, oh, ow)."""
    ow, rows, pitch = frame[11], frame[12], frame[13]
    first, last = images
    for o in range(lines.shape[0]):
        offset = bias[channel + o]
        for n in range(first, last):
            for r in range(rows_of[0], rows_of[1]):
                at = ((n - first) * rows + r - rows_of[0]) * pitch
                line, out = lines[o][at : at + ow], y[n, channel + o, r]
                for q in range(out.size):
                    out[q] = line[q] + offset
