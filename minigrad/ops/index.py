"""Indexing and its adjoints: what is read once is added once, what is read twice, twice."""

from __future__ import annotations

import math

import numpy as np

from .. import backend
from ..backend.several import placed
from ..errors import DTypeError, OutOfRangeError, ShapeError
from ..op import op
from ..samples import anything, bits, elementwise
from ..tensor import Tensor
from .piecewise import where
from .shape import read_only, reshape

# ---- what an index is ----------------------------------------------------------------------------


def bare_key(key):
    """An index as NumPy takes it, without Tensors and lists.

    Arrays in it are copied, so that later writes change nothing.
    """
    return tuple([_bare_part(k) for k in key]) if isinstance(key, tuple) else _bare_part(key)


@placed
def _bare_part(k):
    if isinstance(k, Tensor):
        return k.array.copy()
    if isinstance(k, list | tuple | range):
        array = np.asarray(k)
        return array.astype(np.intp) if array.size == 0 else array
    return k.copy() if backend.find(k) is not None else k


def _parts(key):
    return key if isinstance(key, tuple) else (key,)


def _is_basic_part(k):
    number = isinstance(k, int | np.integer) and not isinstance(k, bool)
    return k is None or k is Ellipsis or number or isinstance(k, slice)


def is_basic(key):
    """Whether an index has no arrays: then it reads nothing twice, and gives a view."""
    return all(map(_is_basic_part, _parts(key)))


def _may_repeat(key):
    """Whether an index can name a place twice: arrays of integers can, masks and slices cannot."""
    return not all(map(_reads_once, _parts(key)))


def _reads_once(k):
    return _is_mask(k) or _is_basic_part(k) or getattr(k, "ndim", 1) == 0


def _is_mask(k):
    return isinstance(k, bool) or getattr(k, "dtype", None) == np.bool_


def _there(xp, shape, key):
    """An index for an array on another device than the host, to which its host arrays go.

    A mask goes as integers: how many there are is then known without waiting for the device.
    """
    if xp is np or is_basic(key):
        return key
    parts, axis = [], 0
    taken = sum(map(_axes_taken, _parts(key)))
    for k in _parts(key):
        end = axis + (len(shape) - taken if k is Ellipsis else _axes_taken(k))
        array = not (_is_basic_part(k) or _is_mask(k))
        if array and getattr(k, "size", 1) > 0 and 0 in shape[axis:end]:  # CuPy would not say so
            raise OutOfRangeError(f"no index is in range of axis {axis}, which has length 0")
        if isinstance(k, np.ndarray):
            mask = _is_mask(k) and k.ndim > 0
            if mask and k.shape != shape[axis:end]:
                raise OutOfRangeError(f"a mask of shape {k.shape} for lengths {shape[axis:end]}")
            parts += [xp.asarray(each) for each in (np.nonzero(k) if mask else (k,))]
        else:
            parts.append(k)
        axis = end
    return tuple(parts)


def _axes_taken(k):
    """How many axes of the array one part of an index is for."""
    if k is None or k is Ellipsis or isinstance(k, bool | np.bool_):
        return 0
    return k.ndim if _is_mask(k) else 1


def _rank(shape, key):
    """How many axes array[key] has."""
    rank, lead = len(shape), 0  # lead: of the arrays, broadcast together
    for k in _parts(key):
        rank += (k is None) - (not isinstance(k, slice)) * _axes_taken(k)
        if not _is_basic_part(k):
            lead = max(lead, 1 if _is_mask(k) else getattr(k, "ndim", 1))
    return rank + lead


# ---- reading -------------------------------------------------------------------------------------


@op(lambda g, in_shapes, key: unindex(g, shape=in_shapes[0], key=key), method=False, view=True)
def getitem(xp, x, *, key):
    """x[key], with all of NumPy's indexing; a read-only view where the index is basic.

    d x[key] = dx[key]

    On a GPU, integers out of range wrap silently, as CuPy has it, and a mask that lives there
    waits: how many values it selects must be seen (`where` and `masked_fill` need not know).

    Differs from PyTorch: steps may be negative; a list is one index, and arrays that slices keep
    apart bring their axes to the front, as in NumPy.

    >>> mg.tensor([[1.0, 2.0], [3.0, 4.0]])[[0, 0, 1], ::-1]
    tensor([[2., 1.],
            [2., 1.],
            [4., 3.]])
    """
    if is_basic(key):
        return read_only(x[key])
    return x[_there(xp, x.shape, key)]


def added(y, key, values, dtype):
    """y, a fresh array, with values added at key, as often as it names a place.

    Many values may meet in one place: y is `wider` than the dtype, to which this rounds once.
    """
    backend.of(y).add_at(y, key, values.astype(y.dtype))
    return y.astype(dtype, copy=False)


def wider(dtype):
    """What values of a dtype are added up in."""
    return {np.dtype(np.float16): np.float32, np.dtype(np.float32): np.float64}.get(dtype, dtype)


@op(lambda g, key: getitem(g, key=key), method=False)
def unindex(xp, x, *, shape, key):
    """Zeros of `shape` with x added at key: the adjoint of reading x[key].

    d unindex x = unindex dx

    >>> from minigrad.ops.index import unindex
    >>> unindex(mg.tensor([1.0, 2.0, 4.0]), shape=(3,), key=np.array([0, 0, 1]))
    tensor([3., 4., 0.])
    """
    key = _there(xp, shape, key)
    if x.ndim > _rank(shape, key):  # NumPy's add.at would crash
        raise ShapeError(f"values of shape {x.shape} do not fit into shape {shape} at the index")
    if _may_repeat(key):
        return added(xp.zeros(shape, wider(x.dtype)), key, x, x.dtype)
    y = xp.zeros(shape, x.dtype)
    y[key] = x
    return y


# ---- writing -------------------------------------------------------------------------------------


def write(array, key, v):
    """array[key] = v in place; of several values for one place the last stays.

    v may have more leading axes of length 1 than its place, even where that is a single number.
    """
    place, target, rank = backend.of(array), array, _rank(array.shape, key)
    if is_basic(key):  # into a view, an array even where it is one number
        full = any(k is Ellipsis for k in _parts(key))
        target, key = array[key if full else (*_parts(key), ...)], ...
    key = _there(place.xp, array.shape, key)
    try:
        if getattr(v, "ndim", 0) > rank:
            v = v.reshape(v.shape[v.ndim - rank :])
        place.put(target, key, v)
    except ValueError as error:
        raise ShapeError(
            f"values of shape {v.shape} do not fit into t[...] of shape {target[key].shape}"
        ) from error


def _last_written(g, in_shapes, key):
    """Of values written to one place the last stays, so only it has a gradient."""
    shape, v_shape = in_shapes
    written = getitem(g, key=key)
    if _may_repeat(key):
        place = backend.of(getattr(g, "array", g))
        key = _there(place.xp, shape, key)
        order = place.xp.zeros(shape, int)
        turn = place.xp.arange(math.prod(written.shape)).reshape(written.shape)
        place.put(order, key, turn)
        written = where(order[key] == turn, written, 0)
    # v may have more leading axes of length 1 than the place that it was written to
    return reshape(written, (1,) * (len(v_shape) - len(written.shape)) + tuple(written.shape))


@op(lambda g, key: setitem(g, 0.0, key=key), _last_written, method=False)
def setitem(xp, x, v, *, key):
    """A copy of x with v at key; of several values for one place the last stays.

    d setitem = dx outside key, dv inside

    >>> x = mg.zeros(3)
    >>> x[[0, 0, 1]] = mg.tensor([1.0, 2.0, 3.0])
    >>> x
    tensor([2., 3., 0.])
    """
    y = xp.array(x, x.dtype)  # a copy
    write(y, key, v)
    return y


@op(
    lambda g, mask: where(mask, 0, g),
    None,
    lambda g, mask: where(mask, g, 0),
)
def masked_fill(xp, x, mask, value):
    """x with one value where the mask holds.        d masked_fill = [not mask] dx + [mask] dvalue

    The value is a number or a 0-d tensor; mask and x broadcast.

    Differs from PyTorch: an integer x is not cut to integers, but becomes floating, if value is.

    >>> mg.tensor([1.0, 2.0, 3.0]).masked_fill(mg.tensor([False, True, True]), -1.0)
    tensor([ 1., -1., -1.])
    """
    if np.dtype(getattr(mask, "dtype", type(mask))) != np.bool_:
        raise DTypeError("the mask must be boolean, such as x > 0")
    if getattr(value, "ndim", 0) > 0:
        raise ShapeError("the value must be a number or a 0-d tensor: use where for arrays")
    return xp.where(mask, value, x).astype(x.dtype)


# ---- samples -------------------------------------------------------------------------------------


def _keys(draw, shape):
    """Any index into `shape`: basic with steps, arrays with duplicates, masks, mixed."""
    kind, count = draw.one_of("basic", "integers", "mask"), draw.integer(0, 3)
    lead = (count,) if kind == "mask" else draw.shape(most=2)  # of the arrays, broadcast together
    parts, axis, skipped = [], 0, False
    while axis < len(shape):
        n, forms = shape[axis], ["slice", "None"] + ["stop", "..."] * (not skipped)
        forms += ["int"] * (n > 0) + ["array", "array"] * (kind != "basic" and n > 0)
        rest = shape[axis : axis + draw.integer(1, 2)]
        forms += ["mask", "mask"] * (kind == "mask" and math.prod(rest) >= count)
        form = draw.one_of(*forms)
        if form == "stop":
            break
        if form == "...":
            parts.append(Ellipsis)
            axis, skipped = draw.integer(axis, len(shape)), True  # what follows reaches the end
            continue
        parts.append(_one_key(draw, form, n, rest, lead, count))
        axis += {"None": 0, "mask": len(rest)}.get(form, 1)
    return parts[0] if len(parts) == 1 and draw.flag() else tuple(parts)


def _one_key(draw, form, n, rest, lead, count):
    """One part of an index into an axis of length n; a mask, into several of lengths `rest`."""
    if form == "None":
        return None
    if form == "int":
        return draw.integer(-n, n - 1)
    if form == "slice":
        start, stop = (draw.one_of(None, draw.integer(-n - 1, n + 1)) for _ in range(2))
        return slice(start, stop, draw.one_of(None, 1, 2, -1, -2))
    if form == "mask":
        mask = np.arange(math.prod(rest)) < count
        return draw.rng().permutation(mask).reshape(rest)
    sub = tuple([1 if draw.integer(0, 3) == 0 else m for m in lead])
    return np.asarray(draw.rng().integers(-n, n, sub[draw.integer(0, len(sub)) :]))


@getitem.samples
def _getitem_samples(draw):
    x = anything(draw, draw.shape())
    return (x,), {"key": _keys(draw, x.shape)}


@unindex.samples
def _unindex_samples(draw):
    (x,), statics = _getitem_samples(draw)
    return (anything(draw, x[statics["key"]].shape),), {"shape": x.shape} | statics


def _repeated_samples(draw):
    """An index that names places more than once."""
    x = anything(draw, (draw.integer(2, 3), *draw.shape(most=1, side=(2, 2))))
    return (x,), {"key": np.asarray(draw.rng().integers(-2, 2, draw.integer(3, 5)))}


@setitem.samples
def _setitem_samples(draw):
    (x,), statics = draw.one_of(_getitem_samples, _repeated_samples)(draw)
    full = x[statics["key"]].shape
    sub = tuple([1 if draw.integer(0, 3) == 0 else n for n in full])[draw.integer(0, len(full)) :]
    lead = (1,) * draw.integer(0, 1) if len(sub) == len(full) else ()
    return (x, anything(draw, lead + sub)), statics


@masked_fill.samples
def _mask_samples(draw):
    (mask, x), _ = elementwise(bits, anything)(draw)
    return (x, mask, anything(draw, ())), {}
