"""Sums of products: Einstein's notation, and tensordot, which is written with it.

An operand is read in three steps, and what is left of all is contracted.  In "ii,ij,k->j":

- an axis of length 1 whose index is longer elsewhere is dropped (it broadcasts);
- an index that is there twice is read along its diagonal (ii to i);
- an index that neither the result nor another operand has is summed at once (k).

So a gradient is an einsum too, of g and the other operands, and then the steps in reverse: repeated
over what was summed, put on the diagonal, reshaped.
"""

from __future__ import annotations

import string

import numpy as np

from ..errors import DTypeError, ShapeError
from ..op import op
from ..samples import anything
from .shape import axes_of, broadcast_to, reshape
from .subscripts import once, planned
from .sums import total

# ---- einsum --------------------------------------------------------------------------------------


@op(order="subscripts operands", star="operands")
def einsum(xp, *operands, subscripts):
    """Sums of products by the letters of their indices: "ij,jk->ik" is a product of matrices.

    d einsum(x, y, …) = einsum(dx, y, …) + einsum(x, dy, …) + …

    A letter that the result lacks is summed over; one that an operand has twice is read along the
    diagonal; `...` are any other axes, which broadcast.  Without `->` the result has what `...`
    stands for, then the letters that occur once, in order.  The library chooses which of many
    operands to contract first.

    Differs from PyTorch: subscripts are a string, not lists of numbers; float16 is summed in
    float32.

    >>> a, b = mg.tensor([[1.0, 2.0], [3.0, 4.0]]), mg.tensor([10.0, 1.0])
    >>> mg.einsum("ij,j->i", a, b)
    tensor([12., 34.])
    >>> mg.einsum("ii", a)
    tensor(5.)
    """
    arrays = _as_arrays(xp, operands)
    plan = planned(subscripts, tuple([a.shape for a in arrays]))
    dtype = np.result_type(*[a.dtype for a in arrays])
    if dtype == np.float16:
        arrays = [a.astype(np.float32) for a in arrays]
    plain = [
        _read(xp, a, t, r, k)
        for a, t, r, k in zip(arrays, plan.terms, plan.real, plan.kept, strict=True)
    ]
    if len(plain) == 1:
        y = xp.transpose(plain[0], [plan.kept[0].index(c) for c in plan.out]).copy()
    else:
        y = xp.einsum(f"{','.join(plan.kept)}->{plan.out}", *plain, optimize=True)
    return y.astype(dtype, copy=False) if dtype == np.float16 else y


def _as_arrays(xp, operands):
    """Operands as arrays; a number takes the dtype that it meets."""
    if not operands:
        raise ShapeError("there are no operands: give one array for each term of the subscripts")
    known = [o.dtype for o in operands if hasattr(o, "dtype")]
    floating = [d for d in known if d.kind == "f"]
    dtype = np.result_type(*(floating or known)) if known else None
    return [o if hasattr(o, "dtype") else xp.asarray(o, dtype) for o in operands]


def _read(xp, x, term, real, kept):
    """The values of an operand that the others meet, with one axis for each letter of `kept`."""
    long = [(c, n) for c, n in zip(term, x.shape, strict=True) if c in real]
    x = x.reshape([n for _, n in long])
    if len(long) > len(real):
        x = x[_diagonal(xp, real, [c for c, _ in long], dict(long))]
    lone = tuple(i for i, c in enumerate(real) if c not in kept)
    if not lone:
        return x
    sums = total(xp, x, lone).reshape([n for c, n in zip(real, x.shape, strict=True) if c in kept])
    return sums.astype(x.dtype) if x.dtype.kind == "f" else sums


def _diagonal(xp, letters, onto, lengths):
    """The index of the diagonals of an array with axes `onto`, as an array with axes `letters`."""
    at = {c: xp.arange(lengths[c]).reshape([-1 if c == d else 1 for d in letters]) for c in letters}
    return tuple([at[c] for c in onto])


@einsum.vjp
def _(g, operands, in_shapes, needs, subscripts):
    plan = planned(subscripts, in_shapes)
    return [_pulled(g, operands, shape, plan, i) if needs[i] else None
            for i, shape in enumerate(in_shapes)]  # fmt: skip


def _pulled(g, operands, shape, plan, i):
    """The gradient of operand i."""
    others = [j for j in range(len(operands)) if j != i]
    terms = ",".join([plan.out, *[plan.terms[j] for j in others]])
    x = einsum(f"{terms}->{plan.kept[i]}", g, *[operands[j] for j in others])
    real, lengths = plan.real[i], plan.lengths
    x = reshape(x, tuple([lengths[c] if c in plan.kept[i] else 1 for c in real]))
    x = broadcast_to(x, tuple([lengths[c] for c in real]))
    onto = "".join([c for c in plan.terms[i] if c in real])
    if onto != real:
        x = undiagonal(x, letters=real, onto=onto)
    return reshape(x, shape)


@op(lambda g, letters, onto: einsum(f"{onto}->{letters}", g), method=False)
def undiagonal(xp, x, *, letters, onto):
    """Zeros with x on a diagonal, onto "iij" from "ij": the adjoint of reading it.

    d undiagonal x = undiagonal dx

    >>> mg.grad(mg.einsum("ii->i", x := mg.ones(2, 2, requires_grad=True)).sum(), x)[0]
    tensor([[1., 0.],
            [0., 1.]])
    """
    lengths = dict(zip(letters, x.shape, strict=True))
    y = xp.zeros([lengths[c] for c in onto], x.dtype)
    y[_diagonal(xp, letters, onto, lengths)] = x
    return y


# ---- tensordot -----------------------------------------------------------------------------------


def _pairs(dims, a_rank, b_rank):
    """The axes of a and of b that are summed together, from 0."""
    if isinstance(dims, list | tuple):
        if len(dims) != 2:
            raise ShapeError(f"dims={dims!r}: give a number, or the axes of a and those of b")
        pair = [[n] if isinstance(n, int | np.integer) else list(n) for n in dims]
        if len(pair[0]) != len(pair[1]):
            raise ShapeError(f"dims={dims!r} names {len(pair[0])} axes of a, {len(pair[1])} of b")
        for names, rank in zip(pair, (a_rank, b_rank), strict=True):
            axes_of(names, rank)
        return [
            [n % rank for n in names] for names, rank in zip(pair, (a_rank, b_rank), strict=True)
        ]
    if not isinstance(dims, int | np.integer):
        raise DTypeError(f"dims={dims!r}: give a whole number, or the axes of each operand")
    n = int(dims)
    if not 0 <= n <= min(a_rank, b_rank):
        raise ShapeError(
            f"dims={n} of operands with {a_rank} and {b_rank} axes: give 0 to "
            f"{min(a_rank, b_rank)}, or the axes of each as in dims=([0], [1])"
        )
    return [list(range(a_rank - n, a_rank)), list(range(n))]


def _subscripts(in_shapes, dims):
    """The letters of a, of b and of the result."""
    (a_rank, b_rank), letters = map(len, in_shapes), string.ascii_letters
    a_axes, b_axes = _pairs(dims, a_rank, b_rank)
    a, b = letters[:a_rank], list(letters[a_rank : a_rank + b_rank])
    for i, j in zip(a_axes, b_axes, strict=True):
        b[j] = a[i]
    return a, "".join(b), "".join([c for c in [*a, *b] if (c in a) != (c in b)])


def _tensordot_a(g, b, in_shapes, dims):
    a_term, b_term, out = _subscripts(in_shapes, dims)
    return einsum(f"{out},{b_term}->{a_term}", g, b)


def _tensordot_b(g, a, in_shapes, dims):
    a_term, b_term, out = _subscripts(in_shapes, dims)
    return einsum(f"{a_term},{out}->{b_term}", a, g)


@op(_tensordot_a, _tensordot_b, aliases={"dims": ("axes",)})
def tensordot(xp, a, b, *, dims=2):
    """a and b multiplied and summed over `dims`: the last n axes of a and the first n of b.

    d tensordot(a, b) = tensordot(da, b) + tensordot(a, db)

    Or over pairs of axes, dims=([those of a], [those of b]).  The result has the other axes of a,
    then those of b.

    Differs from PyTorch: summed axes must be equally long, where PyTorch broadcasts a length of 1.

    >>> mg.tensordot(mg.ones(2, 3, 4), mg.ones(4, 3, 5), dims=([1, 2], [1, 0])).shape
    (2, 5)
    """
    a, b = _as_arrays(xp, (a, b))
    pair = _pairs(dims, a.ndim, b.ndim)
    for i, j in zip(*pair, strict=True):
        if a.shape[i] != b.shape[j]:
            raise ShapeError(
                f"axis {i} of a has length {a.shape[i]}, axis {j} of b {b.shape[j]}: axes that are "
                "summed together must be equally long"
            )
    return xp.tensordot(a, b, axes=pair)


# ---- samples -------------------------------------------------------------------------------------


def _term(draw, letters):
    return "".join(draw.one_of(*letters) for _ in range(draw.integer(0, 3)))


@einsum.samples
def _einsum_samples(draw):
    """Any subscripts over three letters and two axes of "...", of one to three operands."""
    lengths = {c: draw.integer(0, 3) for c in "abZ"}
    dots = draw.shape(most=2, side=(0, 2)) if draw.flag() else None
    terms, arrays, spelt = [], [], ""
    for _ in range(draw.integer(1, 3)):
        term = _term(draw, "abZ")
        spelt += term
        one = [c for c in lengths if term.count(c) == 1 and draw.integer(0, 5) == 0]
        shape = [1 if c in one else lengths[c] for c in term]
        if dots is not None:
            place, lead = draw.integer(0, len(term)), draw.integer(0, len(dots))
            shape[place:place] = [1 if draw.flag() else n for n in dots[lead:]]
            term = f"{term[:place]}...{term[place:]}"
        arrays.append(anything(draw, tuple(shape)))
        terms.append(term)
    subscripts = draw.one_of(",", " , ").join(terms)
    if draw.flag():
        found = once(spelt)
        out = "".join(found[i] for i in draw.order(len(found))[: draw.integer(0, len(found))])
        place = draw.integer(0, len(out))
        keep = "..." if dots is not None and draw.flag() else ""
        subscripts += draw.one_of("->", " -> ") + out[:place] + keep + out[place:]
    return tuple(arrays), {"subscripts": subscripts}


@undiagonal.samples
def _undiagonal_samples(draw):
    letters = "abc"[: draw.integer(1, 2)]
    x = anything(draw, tuple([draw.integer(0, 3) for _ in letters]))
    every = letters + _term(draw, letters)
    onto = "".join(every[i] for i in draw.order(len(every)))
    return (x,), {"letters": letters, "onto": onto}


@tensordot.samples
def _tensordot_samples(draw):
    shared = draw.shape(most=2)
    count = len(shared)
    a, b = (anything(draw, (*draw.shape(most=1), *shared)) for _ in range(2))
    lead = a.ndim - count, b.ndim - count
    if draw.flag():
        order = draw.order(count)
        axes = [
            [n + i - x.ndim * draw.flag() for i in order] for n, x in zip(lead, (a, b), strict=True)
        ]
        return (a, b), {"dims": tuple(axes)}
    return (a, np.moveaxis(b, range(lead[1]), range(-lead[1], 0))), {"dims": count}
