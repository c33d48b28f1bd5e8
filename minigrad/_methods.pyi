"""Written by `python -m minigrad.stubs` from the registry of ops; do not edit."""
import builtins
from collections.abc import Sequence
from typing import Any

from .tensor import Tensor

class Methods:
    @property
    def T(self) -> Tensor: ...
    def __abs__(self) -> Tensor: ...
    def __add__(self, b: Any) -> Tensor: ...
    def __and__(self, other: Any) -> Tensor: ...
    def __eq__(self, other: Any) -> Tensor: ...  # type: ignore[override]
    def __ge__(self, other: Any) -> Tensor: ...
    def __getitem__(self, key: Any) -> Tensor: ...
    def __gt__(self, other: Any) -> Tensor: ...
    def __iadd__(self, other: Any) -> Tensor: ...
    def __imul__(self, other: Any) -> Tensor: ...
    def __invert__(self) -> Tensor: ...
    def __ipow__(self, other: Any) -> Tensor: ...
    def __isub__(self, other: Any) -> Tensor: ...
    def __itruediv__(self, other: Any) -> Tensor: ...
    def __le__(self, other: Any) -> Tensor: ...
    def __lt__(self, other: Any) -> Tensor: ...
    def __matmul__(self, b: Any) -> Tensor: ...
    def __mul__(self, b: Any) -> Tensor: ...
    def __ne__(self, other: Any) -> Tensor: ...  # type: ignore[override]
    def __neg__(self) -> Tensor: ...
    def __or__(self, other: Any) -> Tensor: ...
    def __pos__(self) -> Tensor: ...
    def __pow__(self, b: Any) -> Tensor: ...
    def __radd__(self, b: Any) -> Tensor: ...
    def __rand__(self, other: Any) -> Tensor: ...
    def __rmatmul__(self, other: Any) -> Tensor: ...
    def __rmul__(self, b: Any) -> Tensor: ...
    def __ror__(self, other: Any) -> Tensor: ...
    def __rpow__(self, other: Any) -> Tensor: ...
    def __rsub__(self, other: Any) -> Tensor: ...
    def __rtruediv__(self, other: Any) -> Tensor: ...
    def __setitem__(self, key: Any, v: Any) -> None: ...
    def __sub__(self, b: Any) -> Tensor: ...
    def __truediv__(self, b: Any) -> Tensor: ...
    def abs(self) -> Tensor:
        """|x|.        d|x| = sign(x) dx, and 0 at 0"""
    def add(self, b: Any) -> Tensor:
        """a + b.        d(a + b) = da + db"""
    def all(self, axis: builtins.int | Sequence[int] | None = ..., keepdims: builtins.bool = ..., *, dim: builtins.int | Sequence[int] | None = ..., keepdim: builtins.bool | None = ...) -> Tensor:
        """Whether all values are nonzero."""
    def amax(self, axis: builtins.int | Sequence[int] | None = ..., keepdims: builtins.bool = ..., *, dim: builtins.int | Sequence[int] | None = ..., keepdim: builtins.bool | None = ...) -> Tensor:
        """The largest value over axis.

        d amax x = dx where it is reached, shared evenly by ties"""
    def amin(self, axis: builtins.int | Sequence[int] | None = ..., keepdims: builtins.bool = ..., *, dim: builtins.int | Sequence[int] | None = ..., keepdim: builtins.bool | None = ...) -> Tensor:
        """The smallest value over axis.

        d amin x = dx where it is reached, shared evenly by ties"""
    def any(self, axis: builtins.int | Sequence[int] | None = ..., keepdims: builtins.bool = ..., *, dim: builtins.int | Sequence[int] | None = ..., keepdim: builtins.bool | None = ...) -> Tensor:
        """Whether one value is nonzero."""
    def argmax(self, axis: builtins.int | Sequence[int] | None = ..., keepdims: builtins.bool = ..., *, dim: builtins.int | Sequence[int] | None = ..., keepdim: builtins.bool | None = ...) -> Tensor:
        """The first position of the largest value; in the flattened x if axis is None."""
    def argmin(self, axis: builtins.int | Sequence[int] | None = ..., keepdims: builtins.bool = ..., *, dim: builtins.int | Sequence[int] | None = ..., keepdim: builtins.bool | None = ...) -> Tensor:
        """The first position of the smallest value; in the flattened x if axis is None."""
    def broadcast_to(self, *shape: builtins.int | Sequence[int]) -> Tensor:
        """x repeated to a shape, without copying.        d broadcast x = broadcast dx"""
    def clip(self, min: builtins.float | None = ..., max: builtins.float | None = ...) -> Tensor:
        """x held between two numbers.        d clip x = [min ≤ x ≤ max] dx"""
    def clone(self) -> Tensor:
        """A copy of x, with x's history.        d clone x = dx

        >>> x = mg.tensor([1.0, 2.0])
        >>> mg.clone(x)
        tensor([1., 2.])"""
    def copy_(self, source: Any) -> Tensor: ...
    def cos(self) -> Tensor:
        """cos x.        d cos x = -sin x dx"""
    def cpu(self) -> Tensor: ...
    def cuda(self) -> Tensor: ...
    def div(self, b: Any) -> Tensor:
        """a / b.        d(a/b) = da/b - (a/b) db/b"""
    def double(self) -> Tensor: ...
    def eq(self, b: Any) -> Tensor:
        """a == b elementwise."""
    def exp(self) -> Tensor:
        """eˣ.        d eˣ = eˣ dx"""
    def expand(self, *shape: builtins.int | Sequence[int]) -> Tensor:
        """x repeated to a shape in which -1 keeps an axis' length.        d expand x = expand dx"""
    def fill_(self, value: builtins.float) -> Tensor: ...
    def flatten(self, start_dim: builtins.int = ..., end_dim: builtins.int = ...) -> Tensor:
        """Axes start_dim to end_dim (included) as one.        d flatten x = flatten dx"""
    def float(self) -> Tensor: ...
    def gather(self, axis: builtins.int | Sequence[int] | None = ..., index: Any = ..., *, dim: builtins.int | Sequence[int] | None = ...) -> Tensor:
        """y[i, j] = x[index[i, j], j] for axis 0, and so on; index has x's rank and may be shorter.

        d gather x = gather dx"""
    def ge(self, b: Any) -> Tensor:
        """a >= b elementwise."""
    def gt(self, b: Any) -> Tensor:
        """a > b elementwise."""
    def half(self) -> Tensor: ...
    def isfinite(self) -> Tensor:
        """Whether x is a finite number."""
    def isinf(self) -> Tensor:
        """Whether x is infinite."""
    def isnan(self) -> Tensor:
        """Whether x is not a number."""
    def le(self, b: Any) -> Tensor:
        """a <= b elementwise."""
    def log(self) -> Tensor:
        """Natural logarithm.        d log x = dx / x"""
    def log_softmax(self, axis: builtins.int | Sequence[int] | None = ..., *, dim: builtins.int | Sequence[int] | None = ...) -> Tensor:
        """x - log Σ eˣ along axis.        d log_softmax = dx - Σ softmax(x) dx"""
    def logical_and(self, b: Any) -> Tensor:
        """Whether both are nonzero."""
    def logical_not(self) -> Tensor:
        """Whether x is zero."""
    def logical_or(self, b: Any) -> Tensor:
        """Whether one of them is nonzero."""
    def logsumexp(self, axis: builtins.int | Sequence[int] | None = ..., keepdims: builtins.bool = ..., *, dim: builtins.int | Sequence[int] | None = ..., keepdim: builtins.bool | None = ...) -> Tensor:
        """log Σ eˣ over axis, without overflow.        d logsumexp x = Σ softmax(x) dx"""
    def lt(self, b: Any) -> Tensor:
        """a < b elementwise."""
    @property
    def mT(self) -> Tensor: ...
    def matmul(self, b: Any) -> Tensor:
        """a @ b with NumPy's rules: vectors, matrices, broadcast batches.

        d(a b) = da b + a db"""
    def maximum(self, b: Any) -> Tensor:
        """The larger of a and b.        d max(a, b) = [a > b] da + [b > a] db, half each at a tie"""
    def mean(self, axis: builtins.int | Sequence[int] | None = ..., keepdims: builtins.bool = ..., *, dim: builtins.int | Sequence[int] | None = ..., keepdim: builtins.bool | None = ...) -> Tensor:
        """Σ x / n over axis (None: all); NaN over nothing.        d mean x = mean dx"""
    def minimum(self, b: Any) -> Tensor:
        """The smaller of a and b.        d min(a, b) = [a < b] da + [b < a] db, half each at a tie"""
    def mul(self, b: Any) -> Tensor:
        """a·b elementwise.        d(ab) = b da + a db"""
    def ne(self, b: Any) -> Tensor:
        """a != b elementwise."""
    def neg(self) -> Tensor:
        """-x.        d(-x) = -dx"""
    def normal_(self, mean: builtins.float = ..., std: builtins.float = ...) -> Tensor: ...
    def permute(self, *axes: builtins.int | Sequence[int]) -> Tensor:
        """x with its axes in the order given.        d permute x = permute dx"""
    def pow(self, b: Any) -> Tensor:
        """a to the power b.        d aᵇ = b aᵇ⁻¹ da + aᵇ log a db"""
    def relu(self) -> Tensor:
        """max(x, 0).        d relu x = [x > 0] dx, and 0 at 0"""
    def reshape(self, *shape: builtins.int | Sequence[int]) -> Tensor:
        """x in another shape; one length may be -1.        d reshape x = reshape dx"""
    def rsqrt(self) -> Tensor:
        """1/√x.        d x⁻¹ᐟ² = -½ x⁻³ᐟ² dx"""
    def sigmoid(self) -> Tensor:
        """1 / (1 + e⁻ˣ).        dσ = σ (1 - σ) dx"""
    def sign(self) -> Tensor:
        """-1, 0 or 1.        d sign x = 0"""
    def sin(self) -> Tensor:
        """sin x.        d sin x = cos x dx"""
    def softmax(self, axis: builtins.int | Sequence[int] | None = ..., *, dim: builtins.int | Sequence[int] | None = ...) -> Tensor:
        """eˣ / Σ eˣ along axis.        d softmax = s (dx - Σ s dx)"""
    def sqrt(self) -> Tensor:
        """√x.        d√x = dx / (2√x)"""
    def squeeze(self, axis: builtins.int | Sequence[int] | None = ..., *, dim: builtins.int | Sequence[int] | None = ...) -> Tensor:
        """x without axes of length 1: all of them, or those named if they have it.

        d squeeze x = squeeze dx"""
    def std(self, axis: builtins.int | Sequence[int] | None = ..., correction: builtins.float = ..., keepdims: builtins.bool = ..., *, dim: builtins.int | Sequence[int] | None = ..., keepdim: builtins.bool | None = ...) -> Tensor:
        """√var(x).        d std = d var / (2 std)"""
    def sub(self, b: Any) -> Tensor:
        """a - b.        d(a - b) = da - db"""
    def sum(self, axis: builtins.int | Sequence[int] | None = ..., keepdims: builtins.bool = ..., *, dim: builtins.int | Sequence[int] | None = ..., keepdim: builtins.bool | None = ...) -> Tensor:
        """Σ x over axis (None: all).        d Σx = Σ dx"""
    def tanh(self) -> Tensor:
        """Hyperbolic tangent.        d tanh x = (1 - tanh² x) dx"""
    def to(self, *where: Any, dtype: Any = ..., device: str | None = ...) -> Tensor: ...
    def transpose(self, axis0: builtins.int = ..., axis1: builtins.int = ..., *, dim0: builtins.int = ..., dim1: builtins.int = ...) -> Tensor:
        """x with two axes swapped (`permute` orders them all).        d transpose x = transpose dx"""
    def uniform_(self, low: builtins.float = ..., high: builtins.float = ...) -> Tensor: ...
    def unsqueeze(self, axis: builtins.int | Sequence[int] | None = ..., *, dim: builtins.int | Sequence[int] | None = ...) -> Tensor:
        """x with a new axis of length 1.        d unsqueeze x = unsqueeze dx"""
    def var(self, axis: builtins.int | Sequence[int] | None = ..., correction: builtins.float = ..., keepdims: builtins.bool = ..., *, dim: builtins.int | Sequence[int] | None = ..., keepdim: builtins.bool | None = ...) -> Tensor:
        """Σ (x - mean)² / (n - correction); correction=0 divides by n.

        d var = 2 Σ (x - mean) dx / (n - correction)"""
    def where(self, a: Any, b: Any) -> Tensor:
        """a where the condition holds, else b.        d where(c, a, b) = [c] da + [not c] db

        NumPy's trap: both branches are computed, so `where(x > 0, sqrt(x), 0)` has the gradient 0·∞ =
        NaN at x = 0.
        Choose the argument as well: `where(x > 0, sqrt(where(x > 0, x, 1)), 0)`."""
    def zero_(self) -> Tensor: ...
