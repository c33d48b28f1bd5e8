"""PyTorch's counterpart of every op: the same call, on its tensors.

A peer takes the op's array inputs as tensors and its static arguments by keyword.  Where PyTorch
has no function for an op that is another's adjoint, the peer is the derivative of that other op.
"""

import math

import numpy as np
import pytest

from minigrad.ops.pad import widths_of

torch = pytest.importorskip("torch")
F = torch.nn.functional


def named(names, space=torch):
    """PyTorch's functions of these names."""
    return {name: getattr(space, name) for name in names.split()}


# ---- reductions ----------------------------------------------------------------------------------


def axes_of(axis, x):
    """Every axis for None, which PyTorch spells otherwise in every function."""
    return tuple(range(x.ndim)) if axis is None else axis


def reduction(f):
    """A reduction over several axes: no `dim` at all would be another overload."""

    def peer(x, axis=None, keepdims=False, **options):
        return f(x, dim=axes_of(axis, x), keepdim=keepdims, **options)

    return peer


def prod(x, axis=None, keepdims=False):
    """PyTorch's takes one axis at a time."""
    axes = axes_of(axis, x)
    axes = (axes,) if isinstance(axes, int) else axes
    for a in sorted([a % x.ndim for a in axes], reverse=True):
        x = x.prod(a, keepdim=keepdims)
    return x.prod() if not axes else x


def running_products(x, axis):
    """All products up to each place along an axis."""
    ys = list(x.unbind(axis))
    for i in range(1, len(ys)):
        ys[i] = ys[i - 1] * ys[i]
    return torch.stack(ys, axis) if ys else x.clone()


def products(x, axis=None, keepdims=False):
    for a in sorted({a % x.ndim for a in np.atleast_1d(axes_of(axis, x)).tolist()}, reverse=True):
        x = running_products(x, a).narrow(a, -1, 1) if x.shape[a] else prod(x, a, True)
        x = x if keepdims else x.squeeze(a)
    return x * 1


def expanded(a):
    """A determinant by Laplace's expansion along the first row."""
    if not a.shape[-1]:
        return a.sum((-2, -1)) + 1
    rest = [torch.cat([a[..., 1:, :j], a[..., 1:, j + 1 :]], -1) for j in range(a.shape[-1])]
    return sum((-1) ** j * a[..., 0, j] * expanded(minor) for j, minor in enumerate(rest))


# PyTorch's own derivatives of products divide by the factors: beside one of 0.007, the second
# derivative of cumprod over 3 values is wrong by 3e-14, where ours is right to the last digit;
# those of determinants divide too, and that of powers in both is 0 at exponent 0
UNDIVIDED = {
    "prod": products,
    "cumprod": running_products,
    "det": expanded,
    "pow": lambda a, b: torch.exp(torch.log(a) * b),
}


def norm(x, p=2, axis=None, keepdims=False):
    return torch.linalg.vector_norm(x, 2 if p == "fro" else p, axis, keepdims)


def extreme(f):
    """max and min: values alone without an axis, and positions too with one."""

    def peer(x, axis=None, keepdims=False):
        if axis is not None:
            return tuple(f(x, dim=axis, keepdim=keepdims))
        return f(x).reshape((1,) * x.ndim) if keepdims else f(x)

    return peer


def ordered(f):
    """sort and argsort, of equal values in the order that they had."""

    def peer(x, axis=-1, descending=False, stable=True):
        y = f(x, dim=axis, descending=descending, stable=True)
        return y if isinstance(y, torch.Tensor) else tuple(y)

    return peer


def place(f):
    return lambda x, axis=None, keepdims=False: f(x, dim=axis, keepdim=keepdims)


# ---- indices -------------------------------------------------------------------------------------


def positions(shape, key):
    """Where x.reshape(-1) holds x[key], by NumPy's indexing: PyTorch has no negative steps."""
    return torch.tensor(np.arange(math.prod(shape)).reshape(shape)[key].copy())


def getitem(x, key):
    return x.reshape(-1)[positions(tuple(x.shape), key)]


def setitem(x, v, key):
    """The last of values written to one place stays, which PyTorch leaves open."""
    at = positions(tuple(x.shape), key)
    last = np.full(x.numel(), -1)
    last[at.numpy().reshape(-1)] = np.arange(at.numel())
    written, turn = torch.tensor(last >= 0), torch.tensor(last.clip(0))
    v = v.reshape(v.shape[v.ndim - at.ndim :]) if v.ndim > at.ndim else v
    values = v.to(x.dtype).broadcast_to(at.shape).reshape(-1)
    values = values[turn] if len(values) else x.reshape(-1)
    return torch.where(written, values, x.reshape(-1)).reshape(x.shape)


def take(x, index, axis=None):
    index = index.long()
    if axis is None:
        return torch.take(x, index)
    axis %= x.ndim
    index = torch.where(index < 0, index + x.shape[axis], index)
    shape = (*x.shape[:axis], *index.shape, *x.shape[axis + 1 :])
    return x.index_select(axis, index.reshape(-1)).reshape(shape)


def whole(index, n):
    """Places counted from the end, counted from the start: PyTorch's gather refuses others."""
    return torch.where(index < 0, index + n, index).long()


def gather(x, index, axis):
    return x.gather(axis, whole(index, x.shape[axis]))


def scatter_add(x, index, src, axis):
    """What an index does not read of src is cut off: PyTorch has no derivative otherwise."""
    read = src[tuple(map(slice, index.shape))]
    return x.scatter_add(axis, whole(index, x.shape[axis]), read)


def index_add(x, index, source, axis, alpha=1):
    return x.index_add(axis, whole(index, x.shape[axis]), source, alpha=alpha)


# ---- adjoints ------------------------------------------------------------------------------------


def pulled(f, inputs, g):
    """The gradients of f at inputs, which can be differentiated again."""
    xs = [x if x.requires_grad else x.requires_grad_() for x in inputs]
    found = torch.autograd.grad(f(*xs), xs, g, create_graph=True, materialize_grads=True)
    return found if len(found) > 1 else found[0]


def adjoint(f, shape):
    """The adjoint of a linear f: a function of the cotangent."""
    return lambda g: pulled(f, [torch.zeros(tuple(shape), dtype=g.dtype)], g)


# ---- joining, padding, repeating -----------------------------------------------------------------


def pad(x, pad, mode="constant", value=0.0):
    """PyTorch pads axes by other modes only with two more before them: here, one axis a time."""
    widths = widths_of(pad, x.ndim)
    if mode == "constant":
        return F.pad(x, [n for pair in widths[::-1] for n in pair], value=value)
    for axis, pair in enumerate(widths):
        lines = x.movedim(axis, -1)
        wide = F.pad(lines.reshape(1, -1, lines.shape[-1]), pair, mode)
        x = wide.reshape(*lines.shape[:-1], -1).movedim(-1, axis)
    return x


def repeat_interleave(x, repeats, axis=None):
    repeats = torch.tensor(repeats) if isinstance(repeats, list) else repeats
    return x.repeat_interleave(repeats, axis)


def squeeze(x, axis=None):
    return x.squeeze() if axis is None else x.squeeze(axis)


def clip(x, min=None, max=None):
    """PyTorch wants one bound at least."""
    return x.clone() if min is max is None else x.clamp(min, max)


# ---- layers --------------------------------------------------------------------------------------


def conv2d(x, w, geometry):
    (top, bottom), (left, right) = geometry.padding
    x = F.pad(x, (left, right, top, bottom))
    return F.conv2d(x, w, None, geometry.stride, 0, geometry.dilation, geometry.groups)


def conv2d_bias(x, w, b, geometry):
    return conv2d(x, w, geometry) + b[:, None, None]


def linear_grad(x, w, dy):
    return dy @ w, *linear_weight_grad(x, dy)


def linear_weight_grad(x, dy):
    n = math.prod(x.shape[:-1])
    rows = dy.reshape(n, dy.shape[-1])
    return rows.T @ x.reshape(n, x.shape[-1]), rows.sum(0)


def conv2d_input(x, w, size, geometry):
    shape = (x.shape[0], w.shape[1] * geometry.groups, *size)
    return adjoint(lambda z: conv2d(z, w, geometry), shape)(x)


def conv2d_weight(x, dy, kernel, geometry):
    shape = (dy.shape[1], x.shape[1] // geometry.groups, *kernel)
    return adjoint(lambda w: conv2d(x, w, geometry), shape)(dy)


def batched(peer):
    """A peer of images (N, C, H, W) as one of (C, H, W) too."""

    def wrapped(*xs, **options):
        if xs[0].ndim == 4:
            return peer(*xs, **options)
        ys = peer(*(x.unsqueeze(0) for x in xs), **options)
        return tuple(y.squeeze(0) for y in ys) if isinstance(ys, tuple) else ys.squeeze(0)

    return wrapped


def filled(x):
    """PyTorch's pooling wants a channel at least."""
    return x if x.shape[1] else x.new_zeros(x.shape[0], 1, *x.shape[2:])


def avg_pool2d(x, window, include_pad, divisor):
    options = (*window[:3], window.ceil, include_pad, divisor)
    if x.shape[1]:
        return F.avg_pool2d(x, *options)
    return F.avg_pool2d(filled(x), *options)[:, :0] + 0 * x.sum()


def max_pool2d(x, window):
    """From the position in the image to the offset in the window."""
    y, at = F.max_pool2d(filled(x), *window, return_indices=True)
    y, at = y[:, : x.shape[1]], at[:, : x.shape[1]]
    y = y if x.shape[1] else y + 0 * x.sum()
    (_, kw), (sh, sw), (ph, pw), (dh, dw), _ = window
    top, left = torch.meshgrid(*[torch.arange(n) for n in at.shape[2:]], indexing="ij")
    row, column = at // x.shape[3] - (top * sh - ph), at % x.shape[3] - (left * sw - pw)
    return y, (row // dh * kw + column // dw).to(torch.uint8)


def pick(x, winner, window):
    """From the offset in the window to the position in the image."""
    (_, kw), (sh, sw), (ph, pw), (dh, dw), _ = window
    top, left = torch.meshgrid(*[torch.arange(n) for n in winner.shape[2:]], indexing="ij")
    row, column = winner.long() // kw * dh, winner.long() % kw * dw
    row, column = top * sh - ph + row, left * sw - pw + column
    at = (row * x.shape[3] + column).flatten(2)
    return x.flatten(2).gather(2, at).reshape(winner.shape)


def batch_norm(x, gamma, beta, axes, eps):
    """With the statistics, which F.batch_norm would store; groups become channels for it."""
    channels = x
    if axes[0] == 1:
        channels = x.transpose(0, 1).flatten(1, 2)
    y = F.batch_norm(channels, None, None, gamma, beta, training=True, eps=eps)
    if axes[0] == 1:
        y = y.unflatten(1, (x.shape[0], x.shape[2])).transpose(0, 1)
    wide = x.detach().float() if x.dtype == torch.float16 else x.detach()
    if not x.numel():  # the statistics of nothing are 0
        return y, wide.sum(axes).flatten(), wide.sum(axes).flatten()
    return y, wide.mean(axes).flatten(), wide.var(axes, correction=0).flatten()


def batch_norm_composed(x, gamma, beta, axes, eps):
    """PyTorch's own is wrong at the third order (pytorch#186256), so its parts."""
    kept = [1 if i in axes else n for i, n in enumerate(x.shape)]
    c = x - x.mean(axes, keepdim=True)
    r = torch.rsqrt((c * c).mean(axes, keepdim=True) + eps)
    return gamma.reshape(kept) * (c * r) + beta.reshape(kept)


def batch_norm_grad(x, gamma, dy, axes, eps):
    f = lambda *xs: batch_norm_composed(*xs, axes, eps)  # noqa: E731
    return pulled(f, [x, gamma, torch.zeros_like(gamma)], dy)


def batch_norm_relu(x, gamma, beta, axes, eps):
    y, mean, var = batch_norm(x, gamma, beta, axes, eps)
    return torch.relu(y), mean, var


def batch_norm_relu_grad(x, gamma, out, dy, axes, eps):
    return batch_norm_grad(x, gamma, torch.where(out <= 0, 0, dy), axes, eps)


def layer_norm(x, gamma, beta, axes, along, eps):
    """With the statistics; groups in the middle are what F.group_norm makes of (N, C, L)."""
    if axes == along:
        lengths = [x.shape[a] for a in axes]
        y = F.layer_norm(x, lengths, gamma.reshape(lengths), beta.reshape(lengths), eps)
    else:
        y = layer_norm_composed(x, gamma, beta, axes, along, eps)
    wide = x.detach().float() if x.dtype == torch.float16 else x.detach()
    mean, var = wide.mean(axes), wide.var(axes, correction=0)
    return y, mean.flatten(), var.flatten()


def layer_norm_composed(x, gamma, beta, axes, along, eps):
    beside = [n if i in along else 1 for i, n in enumerate(x.shape)]
    c = x - x.mean(axes, keepdim=True)
    r = torch.rsqrt((c * c).mean(axes, keepdim=True) + eps)
    return gamma.reshape(beside) * (c * r) + beta.reshape(beside)


def layer_norm_grad(x, gamma, dy, axes, along, eps):
    f = lambda *xs: layer_norm_composed(*xs, axes, along, eps)  # noqa: E731
    return pulled(f, [x, gamma, torch.zeros_like(gamma)], dy)


def batch_norm_sums(x, dy, axes, eps):
    channels = math.prod(n for i, n in enumerate(x.shape) if i not in axes)
    return batch_norm_grad(x, torch.ones(channels, dtype=x.dtype), dy, axes, eps)[1:]


def batch_norm_eval(x, mean, var, gamma, beta, axes, eps):
    kept = [1 if i in axes else n for i, n in enumerate(x.shape)]
    mean, var, gamma, beta = (v.reshape(kept) for v in (mean, var, gamma, beta))
    return gamma * (x - mean) / torch.sqrt(var + eps) + beta


def cross_entropy_grad(x, dy, labels, ignore_index, reduction):
    def loss(x):
        return F.cross_entropy(x, labels, ignore_index=ignore_index, reduction=reduction)

    return pulled(loss, [x], dy)


# ---- the table -----------------------------------------------------------------------------------

PEERS = {
    **named("add sub mul div pow neg sqrt rsqrt exp expm1 log log1p sin cos tan arcsin arccos"),
    **named("arctan sinh cosh tanh sigmoid erf abs relu sign floor ceil maximum minimum where"),
    **named("eq ne lt le gt ge logical_not logical_and logical_or isnan isinf isfinite clone"),
    **named("matmul dot outer"),
    **named("inv solve cholesky det", torch.linalg),
    **{n: reduction(f) for n, f in named("sum mean var std amax amin all any").items()},
    **{n: extreme(getattr(torch, n)) for n in ("max", "min")},
    **{n: place(getattr(torch, n)) for n in ("argmax", "argmin")},
    "round": lambda x, decimals=0: x.round(decimals=decimals),
    "clip": clip,
    "allclose": lambda a, b, **options: torch.tensor(
        torch.allclose(*torch.broadcast_tensors(a, b), **options)
    ),
    "cast": lambda x, dtype: x.to(getattr(torch, str(dtype))),
    "prod": prod,
    "norm": norm,
    "logsumexp": reduction(torch.logsumexp),
    "softmax": lambda x, axis=-1: x.softmax(axis),
    "log_softmax": lambda x, axis=-1: x.log_softmax(axis),
    "cumsum": lambda x, axis: x.cumsum(axis),
    "cumprod": lambda x, axis: x.cumprod(axis),
    "sort": ordered(torch.sort),
    "argsort": ordered(torch.argsort),
    "topk": lambda x, k, axis=-1, largest=True, **_: tuple(x.topk(k, axis, largest)),
    "sum_to": lambda x, shape: x.sum_to_size(shape),
    # shapes
    "reshape": lambda x, shape: x.reshape(shape),
    "flatten": lambda x, start_dim=0, end_dim=-1: x.flatten(start_dim, end_dim),
    "squeeze": squeeze,
    "unsqueeze": lambda x, axis: x.unsqueeze(axis),
    "transpose": lambda x, axis0, axis1: x.transpose(axis0, axis1),
    "swapaxes": lambda x, axis0, axis1: x.swapaxes(axis0, axis1),
    "permute": lambda x, axes: x.permute(axes),
    "moveaxis": lambda x, source, destination: x.moveaxis(source, destination),
    "broadcast_to": lambda x, shape: x.broadcast_to(shape),
    "expand": lambda x, shape: x.expand(shape),
    "cat": lambda *xs, axis=0: torch.cat(xs, axis),
    "stack": lambda *xs, axis=0: torch.stack(xs, axis),
    "split": lambda x, split_size, axis=0: x.split(split_size, axis),
    "chunk": lambda x, chunks, axis=0: x.chunk(chunks, axis),
    "pad": pad,
    "flip": lambda x, axis=None: x.flip(axes_of(axis, x)),
    "roll": lambda x, shifts, axis=None: x.roll(shifts, axis),
    "tile": lambda x, reps: x.tile(reps),
    "repeat_interleave": repeat_interleave,
    # indices
    "getitem": getitem,
    "unindex": lambda x, shape, key: adjoint(lambda z: getitem(z, key), shape)(x),
    "setitem": setitem,
    "gather": gather,
    "ungather": lambda x, index, shape, axis: adjoint(lambda z: gather(z, index, axis), shape)(x),
    "take": take,
    "scatter_add": scatter_add,
    "index_add": index_add,
    "masked_fill": lambda x, mask, value: x.masked_fill(mask, value),
    # linear algebra
    "tril": lambda x, diagonal=0: x.tril(diagonal),
    "triu": lambda x, diagonal=0: x.triu(diagonal),
    "diag": lambda x, diagonal=0: x.diag(diagonal),
    "regular_det": torch.linalg.det,
    "einsum": lambda *xs, subscripts: torch.einsum(subscripts, *xs),
    "tensordot": lambda a, b, dims=2: torch.tensordot(a, b, dims),
    "undiagonal": lambda x, letters, onto: adjoint(
        lambda z: torch.einsum(f"{onto}->{letters}", z),
        [dict(zip(letters, x.shape, strict=True))[c] for c in onto],
    )(x),
    "linear": F.linear,
    # layers
    "linear_grad": linear_grad,
    "linear_weight_grad": linear_weight_grad,
    "conv2d": conv2d,
    "conv2d_bias": conv2d_bias,
    "conv2d_input": conv2d_input,
    "conv2d_weight": conv2d_weight,
    "max_pool2d": batched(max_pool2d),
    "pick": batched(pick),
    "unpick": batched(
        lambda x, winner, size, window: adjoint(
            lambda z: pick(z, winner, window), (*x.shape[:2], *size)
        )(x)
    ),
    "adaptive_avg_pool2d": batched(lambda x, size: F.adaptive_avg_pool2d(x, size)),
    "adaptive_avg_unpool2d": batched(
        lambda x, size: adjoint(
            lambda z: F.adaptive_avg_pool2d(z, x.shape[2:]), (*x.shape[:2], *size)
        )(x)
    ),
    "avg_pool2d": batched(avg_pool2d),
    "avg_unpool2d": batched(
        lambda x, size, window, include_pad, divisor: adjoint(
            lambda z: avg_pool2d(z, window, include_pad, divisor), (*x.shape[:2], *size)
        )(x)
    ),
    "batch_norm": batch_norm,
    "batch_norm_grad": batch_norm_grad,
    "batch_norm_sums": batch_norm_sums,
    "batch_norm_eval": batch_norm_eval,
    "batch_norm_relu": batch_norm_relu,
    "batch_norm_relu_grad": batch_norm_relu_grad,
    "batch_norm_relu_eval": lambda *xs, **kw: torch.relu(batch_norm_eval(*xs, **kw)),
    "layer_norm": layer_norm,
    "layer_norm_grad": layer_norm_grad,
    "silu_grad": lambda x, dy: pulled(F.silu, [x], dy),
    "gelu_grad": lambda x, dy, approximate: pulled(
        lambda z: F.gelu(z, approximate=approximate), [x], dy
    ),
    "relu_grad": lambda out, dy: torch.where(out <= 0, 0, dy),
    **named("leaky_relu elu softplus silu gelu", F),
    "smooth_abs": lambda x, beta: F.smooth_l1_loss(
        x, torch.zeros_like(x), reduction="none", beta=beta
    ),
    "cross_entropy": F.cross_entropy,
    "cross_entropy_grad": cross_entropy_grad,
}
WITHOUT_PEER = {
    "move": "PyTorch's device here is the CPU alone",
}
