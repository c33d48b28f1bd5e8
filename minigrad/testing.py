"""Checking derivatives: public, because users write ops too.

One rule says what may differ (`tolerance`), from the dtype's precision and the number of roundings
that add up.  It is never loosened for one test.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import dtypes
from .backend import Array
from .errors import DTypeError
from .gradient import grad
from .modes import enable_grad
from .tensor import Tensor

ULPS = 32  # roundings of one op and of the few that make up its reference


def tolerance(dtype: Any, size: int = 1) -> float:
    """How much two right computations of one quantity may differ, relative to its scale.

    Rounding errors of `size` terms add up like a random walk: eps · √size, times `ULPS` for the ops
    on the way.

    Args:
        dtype: the floating dtype in which the less precise of the two was computed.
        size: how many values each result sums over.
    """
    return ULPS * float(np.finfo(np.dtype(dtype)).eps) * math.sqrt(max(size, 1))


def assert_close(
    actual: Any, expected: Any, *, size: int = 1, dtype: Any = None, what: str = ""
) -> None:
    """Raise AssertionError unless shapes agree, and values do to `tolerance(dtype, size)`.

    Differences are relative to the largest value.

    Args:
        actual, expected: tensors or arrays.  NaN and infinities must agree in place and sign.
        size: how many values each result sums over.
        dtype: the precision to expect; by default the less precise of the two floating dtypes.
        what: what is compared, for the message.
    """
    a, b = (np.asarray(t.numpy() if isinstance(t, Tensor) else t) for t in (actual, expected))
    if dtype is None:
        dtype = min(
            (d for d in (a.dtype, b.dtype) if d.kind == "f"),
            key=lambda d: d.itemsize,
            default=dtypes.float64,
        )
    assert a.shape == b.shape, f"{what}: shape {a.shape} is not {b.shape}"
    a, b = a.astype(np.float64), b.astype(np.float64)
    finite = np.isfinite(a) & np.isfinite(b)
    np.testing.assert_array_equal(
        a[~finite], b[~finite], err_msg=f"{what}: NaN or infinities differ"
    )
    if finite.any():
        scale = max(float(np.abs(b[finite]).max()), float(np.finfo(dtype).tiny))
        worst = float(np.abs(a[finite] - b[finite]).max()) / scale
        assert worst <= tolerance(dtype, size), (
            f"{what}: relative difference {worst:.3g} exceeds {tolerance(dtype, size):.3g} "
            f"({np.dtype(dtype)}, {size} terms)"
        )


def check_grads(
    f: Callable[..., Any],
    inputs: Any,
    order: int = 2,
    *,
    seed: int = 0,
    allow_low_precision: bool = False,
) -> None:
    """Compare the derivatives of f with numeric ones, at every order up to `order`.

    At each order the scalar h(t) = ⟨w, f(inputs + t·v)⟩ is differentiated at t = 0 by the engine
    and by extrapolated central differences; then the gradient itself, recorded, becomes the next
    f.

    Args:
        f: a function of tensors that gives a tensor or several; it must be smooth at the inputs
            and deterministic.
        inputs: a tensor or several.  Floating ones are differentiated, others passed on.
        order: the highest order of derivative to check, at least 1.
        seed: of the random directions.
        allow_low_precision: accept float32 and float16, whose rounding leaves few digits to
            compare.

    Raises:
        AssertionError: a derivative is wrong; says which order, what the engine gives and what
            is true.
        DTypeError: an input is not float64, or none is floating.
    """
    if order < 1:
        raise ValueError(f"check_grads to order {order}: the order must be at least 1")
    given = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    tensors = [t if isinstance(t, Tensor) else Tensor(t) for t in given]
    floating = [t for t in tensors if dtypes.is_floating(t.dtype)]
    if not floating:
        raise DTypeError(
            f"check_grads needs floating inputs, got {[str(t.dtype) for t in tensors]}"
        )
    low = sorted({str(t.dtype) for t in floating if t.dtype != dtypes.float64})
    if low and not allow_low_precision:
        raise DTypeError(
            f"check_grads got {', '.join(low)}, whose rounding hides errors: give float64 "
            "(t.double()), or pass allow_low_precision=True"
        )
    with enable_grad():
        _check_order(f, [t.detach() for t in tensors], 1, order, np.random.default_rng(seed))


@dataclass
class _Probe:
    """h(t) = ⟨weights, f(inputs + t · moves)⟩, a function of one number."""

    f: Callable[..., Any]
    inputs: list[Tensor]
    places: list[int]  # of the floating inputs
    weights: list[Array]
    moves: list[Array]

    def __call__(self, t: float) -> float:
        moved = list(self.inputs)
        for i, v in zip(self.places, self.moves, strict=True):
            x = moved[i]
            moved[i] = Tensor(x.numpy() + x.dtype.type(t) * v, device=x.device)
        return _dot(self.weights, [y.numpy() for y in _floating_outputs(self.f(*moved))])

    def gradient(self, *tensors: Tensor, create_graph: bool = True) -> tuple[Tensor, ...]:
        """The gradient of ⟨weights, f⟩: recorded, it is what the next order differentiates."""
        again = [
            t * 1.0 if t.requires_grad else t.detach().requires_grad_(i in self.places)
            for i, t in enumerate(tensors)
        ]
        xs = [again[i] for i in self.places]
        ys = zip(_floating_outputs(self.f(*again)), self.weights, strict=True)
        tracked = [(y, Tensor(w, device=y.device)) for y, w in ys if y.requires_grad]
        found: Sequence[Tensor | None] = [None] * len(xs)
        if tracked:
            outputs, seeds = zip(*tracked, strict=True)
            found = grad(outputs, xs, seeds, create_graph=create_graph, allow_unused=True)
        return tuple(x * 0.0 if g is None else g for x, g in zip(xs, found, strict=True))


def _check_order(
    f: Callable[..., Any],
    inputs: list[Tensor],
    k: int,
    order: int,
    rng: np.random.Generator,
    lower: float = 0.0,
) -> None:
    places = [i for i, t in enumerate(inputs) if dtypes.is_floating(t.dtype)]
    weights = [_direction(rng, y) for y in _floating_outputs(f(*inputs))]
    if not weights:
        raise DTypeError("check_grads: f gives no floating tensor, so there is nothing to check")
    probe = _Probe(f, inputs, places, weights, [_direction(rng, inputs[i]) for i in places])
    numeric, size = _differences(probe, inputs[places[0]].dtype)
    size = max(size, lower)  # a derivative that cancels to nothing keeps the rounding of its terms
    for create_graph in (True, False):  # two paths: rules see Tensors, or bare arrays
        how = f"order {k}, create_graph={create_graph}"
        gs = probe.gradient(*inputs, create_graph=create_graph)
        for i, g in zip(places, gs, strict=True):
            given, wanted = (g.shape, g.dtype), (inputs[i].shape, inputs[i].dtype)
            assert given == wanted, f"{how}: the gradient of input {i} is {given}, not {wanted}"
        _compare(probe, gs, numeric, size, how)
    if k < order:
        _check_order(probe.gradient, inputs, k + 1, order, rng, size)


def _compare(probe: _Probe, gs: Sequence[Tensor], numeric: float, size: float, how: str) -> None:
    values = [g.numpy() for g in gs]
    exact = _dot(values, probe.moves)
    scale = _dot([np.abs(g) for g in values], [np.abs(v) for v in probe.moves])
    eps = float(np.finfo(values[0].dtype).eps)
    allowed = 100 * eps**0.8 * max(scale, size, abs(numeric))
    assert abs(exact - numeric) <= allowed, (
        f"{how}: the derivative in a random direction is {exact!r}, differences give "
        f"{numeric!r}: {abs(exact - numeric):.3g} apart, {allowed:.3g} allowed"
    )


def _differences(h: Callable[[float], float], dtype: Any) -> tuple[float, float]:
    """h'(0) by Ridders' method, and the size of the values that it came from.

    Central differences with halved steps, extrapolated to step 0 (Richardson); of all
    extrapolations the result is the one that agrees best with its two parents.  So a function that
    varies fast gets a short step, and a slow one a long step, which rounds less.  (C. Ridders,
    Advances in Engineering Software, 1982.)
    """
    step = float(np.finfo(dtype).eps) ** (1 / 9)  # 0.018 in float64
    size, best, error = 0.0, math.nan, math.inf
    row: list[float] = []
    for _ in range(6):
        ahead, behind = h(step), h(-step)
        size = max(size, abs(ahead), abs(behind))
        above, row = row, [(ahead - behind) / (2 * step)]
        for j, parent in enumerate(above, 1):
            row.append(row[-1] + (row[-1] - parent) / (4**j - 1))
            apart = max(abs(row[-1] - row[-2]), abs(row[-1] - parent))
            if apart <= error:
                best, error = row[-1], apart
        step /= 2
    return best, size


def _dot(left: Sequence[Array], right: Sequence[Array]) -> float:
    return sum(float(np.vdot(a, b)) for a, b in zip(left, right, strict=True))


def _direction(rng: np.random.Generator, t: Tensor) -> np.ndarray[Any, Any]:
    """A random direction of length one that hides no element: none is near zero."""
    v = rng.uniform(0.1, 1.0, t.shape) * rng.choice([-1.0, 1.0], t.shape)
    unit: np.ndarray[Any, Any] = v / max(float(np.linalg.norm(v)), 1e-300)
    return unit.astype(t.dtype)


def _floating_outputs(outputs: Any) -> list[Tensor]:
    several: Sequence[Tensor] = outputs if isinstance(outputs, list | tuple) else [outputs]
    return [y for y in several if isinstance(y, Tensor) and dtypes.is_floating(y.dtype)]
