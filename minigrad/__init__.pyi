"""Written by `python -m minigrad.stubs` from the registry of ops; do not edit."""

import builtins
from collections.abc import Sequence
from typing import Any

from . import nn as nn, optim as optim, testing as testing
from .create import arange as arange, empty as empty, eye as eye, full as full, full_like as full_like, linspace as linspace, ones as ones, ones_like as ones_like, tensor as tensor, zeros as zeros, zeros_like as zeros_like
from .dtypes import bool_ as bool
from .dtypes import default_dtype as default_dtype, float16 as float16, float32 as float32, float64 as float64, int32 as int32, int64 as int64, set_default_dtype as set_default_dtype
from .errors import DeviceError as DeviceError, DTypeError as DTypeError, GraphError as GraphError, OutOfRangeError as OutOfRangeError, ShapeError as ShapeError
from .gradient import grad as grad
from .modes import enable_grad as enable_grad, is_grad_enabled as is_grad_enabled, kernels as kernels, no_grad as no_grad, set_grad_enabled as set_grad_enabled, unfused as unfused
from .random import get_rng_state as get_rng_state, manual_seed as manual_seed, rand as rand, randint as randint, randn as randn, randperm as randperm, set_rng_state as set_rng_state
from .tensor import Tensor as Tensor
from .watching import watch as watch

__version__: str

def abs(x: Any) -> Tensor:
    """|x|.        d|x| = sign(x) dx, and 0 at 0"""

def add(a: Any, b: Any) -> Tensor:
    """a + b.        d(a + b) = da + db"""

def all(x: Any, axis: builtins.int | Sequence[int] | None = ..., keepdims: builtins.bool = ..., *, dim: builtins.int | Sequence[int] | None = ..., keepdim: builtins.bool | None = ...) -> Tensor:
    """Whether all values are nonzero."""

def amax(x: Any, axis: builtins.int | Sequence[int] | None = ..., keepdims: builtins.bool = ..., *, dim: builtins.int | Sequence[int] | None = ..., keepdim: builtins.bool | None = ...) -> Tensor:
    """The largest value over axis.

    d amax x = dx where it is reached, shared evenly by ties"""

def amin(x: Any, axis: builtins.int | Sequence[int] | None = ..., keepdims: builtins.bool = ..., *, dim: builtins.int | Sequence[int] | None = ..., keepdim: builtins.bool | None = ...) -> Tensor:
    """The smallest value over axis.

    d amin x = dx where it is reached, shared evenly by ties"""

def any(x: Any, axis: builtins.int | Sequence[int] | None = ..., keepdims: builtins.bool = ..., *, dim: builtins.int | Sequence[int] | None = ..., keepdim: builtins.bool | None = ...) -> Tensor:
    """Whether one value is nonzero."""

def argmax(x: Any, axis: builtins.int | Sequence[int] | None = ..., keepdims: builtins.bool = ..., *, dim: builtins.int | Sequence[int] | None = ..., keepdim: builtins.bool | None = ...) -> Tensor:
    """The first position of the largest value; in the flattened x if axis is None."""

def argmin(x: Any, axis: builtins.int | Sequence[int] | None = ..., keepdims: builtins.bool = ..., *, dim: builtins.int | Sequence[int] | None = ..., keepdim: builtins.bool | None = ...) -> Tensor:
    """The first position of the smallest value; in the flattened x if axis is None."""

def broadcast_to(x: Any, *shape: builtins.int | Sequence[int]) -> Tensor:
    """x repeated to a shape, without copying.        d broadcast x = broadcast dx"""

def clip(x: Any, min: builtins.float | None = ..., max: builtins.float | None = ...) -> Tensor:
    """x held between two numbers.        d clip x = [min ≤ x ≤ max] dx"""

def clone(x: Any) -> Tensor:
    """A copy of x, with x's history.        d clone x = dx

    >>> x = mg.tensor([1.0, 2.0])
    >>> mg.clone(x)
    tensor([1., 2.])"""

def cos(x: Any) -> Tensor:
    """cos x.        d cos x = -sin x dx"""

def div(a: Any, b: Any) -> Tensor:
    """a / b.        d(a/b) = da/b - (a/b) db/b"""

def eq(a: Any, b: Any) -> Tensor:
    """a == b elementwise."""

def exp(x: Any) -> Tensor:
    """eˣ.        d eˣ = eˣ dx"""

def expand(x: Any, *shape: builtins.int | Sequence[int]) -> Tensor:
    """x repeated to a shape in which -1 keeps an axis' length.        d expand x = expand dx"""

def flatten(x: Any, start_dim: builtins.int = ..., end_dim: builtins.int = ...) -> Tensor:
    """Axes start_dim to end_dim (included) as one.        d flatten x = flatten dx"""

def gather(x: Any, axis: builtins.int | Sequence[int] | None = ..., index: Any = ..., *, dim: builtins.int | Sequence[int] | None = ...) -> Tensor:
    """y[i, j] = x[index[i, j], j] for axis 0, and so on; index has x's rank and may be shorter.

    d gather x = gather dx"""

def ge(a: Any, b: Any) -> Tensor:
    """a >= b elementwise."""

def gt(a: Any, b: Any) -> Tensor:
    """a > b elementwise."""

def isfinite(x: Any) -> Tensor:
    """Whether x is a finite number."""

def isinf(x: Any) -> Tensor:
    """Whether x is infinite."""

def isnan(x: Any) -> Tensor:
    """Whether x is not a number."""

def le(a: Any, b: Any) -> Tensor:
    """a <= b elementwise."""

def log(x: Any) -> Tensor:
    """Natural logarithm.        d log x = dx / x"""

def log_softmax(x: Any, axis: builtins.int | Sequence[int] | None = ..., *, dim: builtins.int | Sequence[int] | None = ...) -> Tensor:
    """x - log Σ eˣ along axis.        d log_softmax = dx - Σ softmax(x) dx"""

def logical_and(a: Any, b: Any) -> Tensor:
    """Whether both are nonzero."""

def logical_not(x: Any) -> Tensor:
    """Whether x is zero."""

def logical_or(a: Any, b: Any) -> Tensor:
    """Whether one of them is nonzero."""

def logsumexp(x: Any, axis: builtins.int | Sequence[int] | None = ..., keepdims: builtins.bool = ..., *, dim: builtins.int | Sequence[int] | None = ..., keepdim: builtins.bool | None = ...) -> Tensor:
    """log Σ eˣ over axis, without overflow.        d logsumexp x = Σ softmax(x) dx"""

def lt(a: Any, b: Any) -> Tensor:
    """a < b elementwise."""

def matmul(a: Any, b: Any) -> Tensor:
    """a @ b with NumPy's rules: vectors, matrices, broadcast batches.

    d(a b) = da b + a db"""

def maximum(a: Any, b: Any) -> Tensor:
    """The larger of a and b.        d max(a, b) = [a > b] da + [b > a] db, half each at a tie"""

def mean(x: Any, axis: builtins.int | Sequence[int] | None = ..., keepdims: builtins.bool = ..., *, dim: builtins.int | Sequence[int] | None = ..., keepdim: builtins.bool | None = ...) -> Tensor:
    """Σ x / n over axis (None: all); NaN over nothing.        d mean x = mean dx"""

def minimum(a: Any, b: Any) -> Tensor:
    """The smaller of a and b.        d min(a, b) = [a < b] da + [b < a] db, half each at a tie"""

def mul(a: Any, b: Any) -> Tensor:
    """a·b elementwise.        d(ab) = b da + a db"""

def ne(a: Any, b: Any) -> Tensor:
    """a != b elementwise."""

def neg(x: Any) -> Tensor:
    """-x.        d(-x) = -dx"""

def permute(x: Any, *axes: builtins.int | Sequence[int]) -> Tensor:
    """x with its axes in the order given.        d permute x = permute dx"""

def pow(a: Any, b: Any) -> Tensor:
    """a to the power b.        d aᵇ = b aᵇ⁻¹ da + aᵇ log a db"""

def relu(x: Any) -> Tensor:
    """max(x, 0).        d relu x = [x > 0] dx, and 0 at 0"""

def reshape(x: Any, *shape: builtins.int | Sequence[int]) -> Tensor:
    """x in another shape; one length may be -1.        d reshape x = reshape dx"""

def rsqrt(x: Any) -> Tensor:
    """1/√x.        d x⁻¹ᐟ² = -½ x⁻³ᐟ² dx"""

def sigmoid(x: Any) -> Tensor:
    """1 / (1 + e⁻ˣ).        dσ = σ (1 - σ) dx"""

def sign(x: Any) -> Tensor:
    """-1, 0 or 1.        d sign x = 0"""

def sin(x: Any) -> Tensor:
    """sin x.        d sin x = cos x dx"""

def softmax(x: Any, axis: builtins.int | Sequence[int] | None = ..., *, dim: builtins.int | Sequence[int] | None = ...) -> Tensor:
    """eˣ / Σ eˣ along axis.        d softmax = s (dx - Σ s dx)"""

def sqrt(x: Any) -> Tensor:
    """√x.        d√x = dx / (2√x)"""

def squeeze(x: Any, axis: builtins.int | Sequence[int] | None = ..., *, dim: builtins.int | Sequence[int] | None = ...) -> Tensor:
    """x without axes of length 1: all of them, or those named if they have it.

    d squeeze x = squeeze dx"""

def std(x: Any, axis: builtins.int | Sequence[int] | None = ..., correction: builtins.float = ..., keepdims: builtins.bool = ..., *, dim: builtins.int | Sequence[int] | None = ..., keepdim: builtins.bool | None = ...) -> Tensor:
    """√var(x).        d std = d var / (2 std)"""

def sub(a: Any, b: Any) -> Tensor:
    """a - b.        d(a - b) = da - db"""

def sum(x: Any, axis: builtins.int | Sequence[int] | None = ..., keepdims: builtins.bool = ..., *, dim: builtins.int | Sequence[int] | None = ..., keepdim: builtins.bool | None = ...) -> Tensor:
    """Σ x over axis (None: all).        d Σx = Σ dx"""

def tanh(x: Any) -> Tensor:
    """Hyperbolic tangent.        d tanh x = (1 - tanh² x) dx"""

def transpose(x: Any, axis0: builtins.int = ..., axis1: builtins.int = ..., *, dim0: builtins.int = ..., dim1: builtins.int = ...) -> Tensor:
    """x with two axes swapped (`permute` orders them all).        d transpose x = transpose dx"""

def unsqueeze(x: Any, axis: builtins.int | Sequence[int] | None = ..., *, dim: builtins.int | Sequence[int] | None = ...) -> Tensor:
    """x with a new axis of length 1.        d unsqueeze x = unsqueeze dx"""

def var(x: Any, axis: builtins.int | Sequence[int] | None = ..., correction: builtins.float = ..., keepdims: builtins.bool = ..., *, dim: builtins.int | Sequence[int] | None = ..., keepdim: builtins.bool | None = ...) -> Tensor:
    """Σ (x - mean)² / (n - correction); correction=0 divides by n.

    d var = 2 Σ (x - mean) dx / (n - correction)"""

def where(condition: Any, a: Any, b: Any) -> Tensor:
    """a where the condition holds, else b.        d where(c, a, b) = [c] da + [not c] db

    NumPy's trap: both branches are computed, so `where(x > 0, sqrt(x), 0)` has the gradient 0·∞ =
    NaN at x = 0.
    Choose the argument as well: `where(x > 0, sqrt(where(x > 0, x, 1)), 0)`."""
