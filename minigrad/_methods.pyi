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
        """|x|.        d|x| = sign(x) dx, and 0 at 0

        Differs from PyTorch: the slope at NaN is NaN, not 0.

        >>> mg.abs(mg.tensor([-1.5, 2.0]))
        tensor([1.5, 2. ])
        >>> x = mg.tensor([-1.0, 0.0], requires_grad=True)
        >>> mg.grad(mg.abs(x).sum(), x)[0]
        tensor([-1.,  0.])"""
    def add(self, b: Any) -> Tensor:
        """a + b.        d(a + b) = da + db

        >>> mg.add(mg.tensor([1.0, 2.0]), 3)
        tensor([4., 5.])"""
    def all(self, axis: builtins.int | Sequence[int] | None = ..., keepdims: builtins.bool = ..., *, dim: builtins.int | Sequence[int] | None = ..., keepdim: builtins.bool | None = ...) -> Tensor:
        """∧ x over axis (None: all): whether all values are nonzero.

        >>> mg.tensor([[True, False], [True, True]]).all(axis=1)
        tensor([False,  True])"""
    def allclose(self, b: Any, rtol: Any = ..., atol: Any = ..., equal_nan: Any = ...) -> Tensor:
        """Whether |a - b| ≤ atol + rtol·|b| everywhere.

        Differs from PyTorch: the result is a 0-d tensor (true or false in an `if`), so that a GPU need
        not wait.

        >>> mg.allclose(mg.tensor([1.0, 2.0]), mg.tensor([1.0, 2.000001]))
        tensor(True)"""
    def amax(self, axis: builtins.int | Sequence[int] | None = ..., keepdims: builtins.bool = ..., *, dim: builtins.int | Sequence[int] | None = ..., keepdim: builtins.bool | None = ...) -> Tensor:
        """The largest value over axis (None: all).

        d amax x = dx where it is reached, shared evenly by ties

        Differs from PyTorch: where the result is NaN, the NaN in x have its gradient, and no other.

        >>> x = mg.tensor([[1.0, 3.0], [2.0, 2.0]], requires_grad=True)
        >>> x.amax(axis=1).tolist()
        [3.0, 2.0]
        >>> mg.grad(x.amax(axis=1), x, mg.tensor([1.0, 4.0]))[0]
        tensor([[0., 1.],
                [2., 2.]])"""
    def amin(self, axis: builtins.int | Sequence[int] | None = ..., keepdims: builtins.bool = ..., *, dim: builtins.int | Sequence[int] | None = ..., keepdim: builtins.bool | None = ...) -> Tensor:
        """The smallest value over axis (None: all).

        d amin x = dx where it is reached, shared evenly by ties

        Differs from PyTorch: where the result is NaN, the NaN in x have its gradient, and no other.

        >>> x = mg.tensor([[1.0, 3.0], [2.0, float("nan")]], requires_grad=True)
        >>> x.amin(axis=1).tolist()
        [1.0, nan]
        >>> mg.grad(x.amin(axis=1), x, mg.tensor([1.0, 4.0]))[0]
        tensor([[1., 0.],
                [0., 4.]])"""
    def any(self, axis: builtins.int | Sequence[int] | None = ..., keepdims: builtins.bool = ..., *, dim: builtins.int | Sequence[int] | None = ..., keepdim: builtins.bool | None = ...) -> Tensor:
        """∨ x over axis (None: all): whether one value is nonzero.

        >>> mg.tensor([[True, False], [False, False]]).any(axis=1)
        tensor([ True, False])"""
    def arccos(self) -> Tensor:
        """The angle from 0 to π whose cosine is x.        d arccos x = -dx / √(1 - x²)

        >>> mg.arccos(mg.tensor([0.0, 1.0])).round(decimals=4)
        tensor([1.5708, 0.    ])"""
    def arcsin(self) -> Tensor:
        """The angle from -π/2 to π/2 whose sine is x.        d arcsin x = dx / √(1 - x²)

        >>> mg.arcsin(mg.tensor([0.0, 1.0])).round(decimals=4)
        tensor([0.    , 1.5708])"""
    def arctan(self) -> Tensor:
        """The angle from -π/2 to π/2 whose tangent is x.        d arctan x = dx / (1 + x²)

        >>> mg.arctan(mg.tensor([0.0, 1.0])).round(decimals=4)
        tensor([0.    , 0.7854])"""
    def argmax(self, axis: builtins.int | Sequence[int] | None = ..., keepdims: builtins.bool = ..., *, dim: builtins.int | Sequence[int] | None = ..., keepdim: builtins.bool | None = ...) -> Tensor:
        """The first position i of the largest value, xᵢ = max x; in the flattened x if axis is None.

        >>> mg.tensor([[1.0, 3.0], [2.0, 0.0]]).argmax(axis=1)
        tensor([1, 0])"""
    def argmin(self, axis: builtins.int | Sequence[int] | None = ..., keepdims: builtins.bool = ..., *, dim: builtins.int | Sequence[int] | None = ..., keepdim: builtins.bool | None = ...) -> Tensor:
        """The first position i of the smallest value, xᵢ = min x; in the flattened x if axis is None.

        >>> mg.tensor([[1.0, 3.0], [2.0, 0.0]]).argmin(axis=1)
        tensor([0, 1])"""
    def argsort(self, axis: builtins.int | Sequence[int] | None = ..., descending: Any = ..., stable: Any = ..., *, dim: builtins.int | Sequence[int] | None = ...) -> Tensor:
        """The indices i that sort x along axis: xᵢ = sort x.

        Differs from PyTorch: equal values always keep their order, whatever `stable` says.

        >>> mg.tensor([3.0, 1.0, 2.0]).argsort(descending=True)
        tensor([0, 2, 1])"""
    def broadcast_to(self, *shape: builtins.int | Sequence[int]) -> Tensor:
        """x repeated to a shape, without copying.        d broadcast x = broadcast dx

        >>> mg.tensor([[1.0], [2.0]]).broadcast_to(2, 3)
        tensor([[1., 1., 1.],
                [2., 2., 2.]])"""
    def ceil(self) -> Tensor:
        """⌈x⌉, the smallest whole number from x on.        d ceil x = 0

        >>> mg.ceil(mg.tensor([-1.5, 1.5]))
        tensor([-1.,  2.])"""
    def cholesky(self) -> Tensor:
        """The lower triangular L with L Lᵀ = a, for symmetric positive definite a (…, n, n).

        dL = L Φ(L⁻¹ da L⁻ᵀ), where Φ is the lower triangle with half of the diagonal

        a counts by its symmetric part, (a + aᵀ)/2, so its gradient is symmetric.  If that is not
        positive definite, numpy.linalg.LinAlgError is raised.

        Differs from PyTorch: of a matrix that is not symmetric, PyTorch reads the lower triangle (the
        gradients at symmetric ones are the same); takes integers and float16 (computed in float32) too.

        >>> mg.cholesky(mg.tensor([[4.0, 2.0], [2.0, 5.0]]))
        tensor([[2., 0.],
                [1., 2.]])"""
    def chunk(self, chunks: Any, axis: builtins.int | Sequence[int] | None = ..., *, dim: builtins.int | Sequence[int] | None = ...) -> tuple[Tensor, ...]:
        """x in at most so many pieces of equal length; the last may be smaller.

        d chunk x = chunk dx

        >>> [piece.tolist() for piece in mg.arange(5).chunk(2)]
        [[0, 1, 2], [3, 4]]"""
    def clip(self, min: builtins.float | None = ..., max: builtins.float | None = ...) -> Tensor:
        """x held between two numbers.        d clip x = [min ≤ x ≤ max] dx, so 1 at the bounds

        Differs from PyTorch: the bounds are numbers (`maximum` and `minimum` take tensors), and may
        both be left out.

        >>> mg.clip(mg.tensor([-2.0, 0.5, 3.0]), min=0, max=1)
        tensor([0. , 0.5, 1. ])
        >>> x = mg.tensor([-1.0, 0.0, 1.0, 2.0], requires_grad=True)
        >>> mg.grad(mg.clip(x, min=0, max=1).sum(), x)[0]
        tensor([0., 1., 1., 0.])"""
    def clone(self) -> Tensor:
        """A copy of x, with x's history.        d clone x = dx

        >>> x = mg.tensor([1.0, 2.0])
        >>> mg.clone(x)
        tensor([1., 2.])"""
    def copy_(self, source: Any) -> Tensor: ...
    def cos(self) -> Tensor:
        """cos x.        d cos x = -sin x dx

        >>> mg.cos(mg.tensor([0.0, 1.0])).round(decimals=4)
        tensor([1.    , 0.5403])"""
    def cosh(self) -> Tensor:
        """(eˣ + e⁻ˣ) / 2.        d cosh x = sinh x dx

        >>> mg.cosh(mg.tensor([0.0, 1.0])).round(decimals=4)
        tensor([1.    , 1.5431])"""
    def cpu(self) -> Tensor: ...
    def cuda(self) -> Tensor: ...
    def cumprod(self, axis: builtins.int | Sequence[int] | None = ..., *, dim: builtins.int | Sequence[int] | None = ...) -> Tensor:
        """Π x up to and including each place along axis.

        d cumprod x = Σᵢ (Π of the others up to there) dxᵢ

        Differs from PyTorch: a slope is the product of the other factors, never divided, so it is right
        beside ∞ and NaN, and where the product overflows.

        >>> mg.tensor([1.0, 2.0, 3.0]).cumprod(0)
        tensor([1., 2., 6.])"""
    def cumsum(self, axis: builtins.int | Sequence[int] | None = ..., *, dim: builtins.int | Sequence[int] | None = ...) -> Tensor:
        """Σ x up to and including each place along axis.        d cumsum x = cumsum dx

        Floating sums are added up in float64, and each is rounded once.

        >>> mg.tensor([1.0, 2.0, 3.0]).cumsum(0)
        tensor([1., 3., 6.])"""
    def det(self) -> Tensor:
        """The determinant of matrices (…, n, n); 1 for n = 0.        d det a = tr(adj(a) da)

        Every derivative is right at singular matrices too: adj(a) is det a · a⁻¹ where there is an
        inverse, and the transposed cofactors everywhere.  On a GPU a derivative waits for the ranks of
        the matrices, which decide how it is computed.

        Differs from PyTorch: derivatives of order 2 and more are finite at singular matrices; takes
        integers and float16 (computed in float32) too.

        >>> a = mg.tensor([[1.0, 2.0], [2.0, 4.0]], requires_grad=True)
        >>> mg.grad(mg.det(a), a)[0]
        tensor([[ 4., -2.],
                [-2.,  1.]])"""
    def diag(self, diagonal: Any = ...) -> Tensor:
        """A diagonal of a matrix, as a vector; of a vector, the matrix with it there and 0 elsewhere.

        d diag x = diag dx

        `diagonal` counts upwards from the main one.

        >>> mg.diag(mg.tensor([[1.0, 2.0], [3.0, 4.0]]))
        tensor([1., 4.])
        >>> mg.diag(mg.tensor([5.0]), 1)
        tensor([[0., 5.],
                [0., 0.]])"""
    def div(self, b: Any) -> Tensor:
        """a / b, by IEEE's rules where b is 0.        d(a/b) = da/b - (a/b) db/b

        >>> mg.div(mg.tensor([1, 2]), 4)
        tensor([0.25, 0.5 ])"""
    def dot(self, b: Any) -> Tensor:
        """Σ a b of two vectors of one length.        d(a·b) = da·b + a·db

        >>> mg.dot(mg.tensor([1.0, 2.0]), mg.tensor([3.0, 4.0]))
        tensor(11.)"""
    def double(self) -> Tensor: ...
    def eq(self, b: Any) -> Tensor:
        """a = b elementwise; NaN equals nothing.

        >>> mg.eq(mg.tensor([1.0, 2.0]), 2)
        tensor([False,  True])"""
    def erf(self) -> Tensor:
        """The error function, 2/√π ∫₀ˣ e^(-t²) dt.        d erf x = 2/√π e^(-x²) dx

        >>> mg.erf(mg.tensor([0.0, 0.5, 10.0])).round(decimals=4)
        tensor([0.    , 0.5205, 1.    ])"""
    def exp(self) -> Tensor:
        """eˣ.        d eˣ = eˣ dx

        >>> mg.exp(mg.tensor([0.0, 1.0])).round(decimals=4)
        tensor([1.    , 2.7183])"""
    def expand(self, *shape: builtins.int | Sequence[int]) -> Tensor:
        """x repeated to a shape in which -1 keeps an axis' length.        d expand x = expand dx

        >>> mg.tensor([[1.0], [2.0]]).expand(-1, 3).shape
        (2, 3)"""
    def expm1(self) -> Tensor:
        """eˣ - 1, exact for small x.        d expm1 x = eˣ dx

        >>> mg.expm1(mg.tensor([0.0, 1e-8]))
        tensor([0.e+00, 1.e-08])"""
    def fill_(self, value: builtins.float) -> Tensor: ...
    def flatten(self, start_dim: builtins.int = ..., end_dim: builtins.int = ...) -> Tensor:
        """Axes start_dim to end_dim (included) as one.        d flatten x = flatten dx

        >>> mg.zeros(2, 3, 4).flatten(1).shape
        (2, 12)"""
    def flip(self, *axis: Any, **named: Any) -> Tensor: ...
    def float(self) -> Tensor: ...
    def floor(self) -> Tensor:
        """⌊x⌋, the largest whole number up to x.        d floor x = 0

        >>> mg.floor(mg.tensor([-1.5, 1.5]))
        tensor([-2.,  1.])"""
    def gather(self, axis: builtins.int | Sequence[int] | None = ..., index: Any = ..., *, dim: builtins.int | Sequence[int] | None = ...) -> Tensor:
        """y[i, j] = x[index[i, j], j] for axis 0, and so on; index has x's rank and may be shorter.

        d gather x = gather dx

        On a GPU, an index out of range wraps silently.

        Differs from PyTorch: an index may be negative.

        >>> mg.tensor([[1.0, 2.0], [3.0, 4.0]]).gather(1, mg.tensor([[0, 0], [1, 0]]))
        tensor([[1., 1.],
                [4., 3.]])"""
    def ge(self, b: Any) -> Tensor:
        """a ≥ b elementwise.

        >>> mg.ge(mg.tensor([1.0, 2.0]), 2)
        tensor([False,  True])"""
    def gt(self, b: Any) -> Tensor:
        """a > b elementwise.

        >>> mg.gt(mg.tensor([1.0, 2.0]), 1)
        tensor([False,  True])"""
    def half(self) -> Tensor: ...
    def index_add(self, axis: builtins.int | Sequence[int] | None = ..., index: Any = ..., source: Any = ..., alpha: Any = ..., *, dim: builtins.int | Sequence[int] | None = ...) -> Tensor:
        """x with alpha · source[i] added at index[i] along axis, as often as an index occurs.

        d index_add = dx + index_add(0, alpha · dsource)

        index has one axis, and source x's shape but for one piece for each of the index.

        Differs from PyTorch: an index may be negative.

        >>> x = mg.zeros(3, 2)
        >>> x.index_add(0, mg.tensor([0, 2, 0]), mg.tensor([[1.0, 1.0], [2.0, 2.0], [4.0, 4.0]]))
        tensor([[5., 5.],
                [0., 0.],
                [2., 2.]])"""
    def inv(self) -> Tensor:
        """The inverse of matrices (…, n, n).        d a⁻¹ = -a⁻¹ da a⁻¹

        A singular matrix raises numpy.linalg.LinAlgError.  `solve` is faster and more exact than a
        product with an inverse.

        Differs from PyTorch: takes integers and float16 (computed in float32) too.

        >>> mg.inv(mg.tensor([[0.5, 0.0], [0.0, 0.25]]))
        tensor([[2., 0.],
                [0., 4.]])"""
    def isfinite(self) -> Tensor:
        """Whether |x| < ∞, which NaN is not.

        >>> mg.isfinite(mg.tensor([1.0, float("nan"), float("inf")]))
        tensor([ True, False, False])"""
    def isinf(self) -> Tensor:
        """Whether |x| = ∞.

        >>> mg.isinf(mg.tensor([1.0, float("-inf")]))
        tensor([False,  True])"""
    def isnan(self) -> Tensor:
        """Whether x is not a number: x ≠ x.

        >>> mg.isnan(mg.tensor([1.0, float("nan")]))
        tensor([False,  True])"""
    def le(self, b: Any) -> Tensor:
        """a ≤ b elementwise.

        >>> mg.le(mg.tensor([1.0, 2.0]), 2)
        tensor([ True,  True])"""
    def log(self) -> Tensor:
        """Natural logarithm.        d log x = dx / x

        >>> mg.log(mg.tensor([1.0, 2.0])).round(decimals=4)
        tensor([0.    , 0.6931])"""
    def log1p(self) -> Tensor:
        """log(1 + x), exact for small x.        d log1p x = dx / (1 + x)

        >>> mg.log1p(mg.tensor([0.0, 1e-8]))
        tensor([0.e+00, 1.e-08])"""
    def log_softmax(self, axis: builtins.int | Sequence[int] | None = ..., *, dim: builtins.int | Sequence[int] | None = ...) -> Tensor:
        """x - log Σ eˣ along axis.        d log_softmax = dx - Σ softmax(x) dx

        >>> mg.tensor([0.0, 0.0]).log_softmax(-1).round(decimals=4)
        tensor([-0.6931, -0.6931])"""
    def logical_and(self, b: Any) -> Tensor:
        """a ∧ b: whether both are nonzero.

        >>> mg.logical_and(mg.tensor([True, True]), mg.tensor([True, False]))
        tensor([ True, False])"""
    def logical_not(self) -> Tensor:
        """¬x: whether x is zero.

        >>> mg.logical_not(mg.tensor([0.0, 2.0]))
        tensor([ True, False])"""
    def logical_or(self, b: Any) -> Tensor:
        """a ∨ b: whether one of them is nonzero.

        >>> mg.logical_or(mg.tensor([False, True]), mg.tensor([False, False]))
        tensor([False,  True])"""
    def logsumexp(self, axis: builtins.int | Sequence[int] | None = ..., keepdims: builtins.bool = ..., *, dim: builtins.int | Sequence[int] | None = ..., keepdim: builtins.bool | None = ...) -> Tensor:
        """log Σ eˣ over axis, without overflow; -∞ over nothing.

        d logsumexp x = Σ softmax(x) dx

        Differs from PyTorch: the slopes keep their digits where x is large: at (10³⁰⁰, 10³⁰⁰) they are
        ½ and ½, not 1 and 1; beside ∞ all are NaN, not 0.

        >>> mg.tensor([1000.0, 1000.0]).logsumexp(0).round(decimals=2)
        tensor(1000.69)"""
    def lt(self, b: Any) -> Tensor:
        """a < b elementwise.

        >>> mg.lt(mg.tensor([1.0, 2.0]), 2)
        tensor([ True, False])"""
    @property
    def mT(self) -> Tensor: ...
    def masked_fill(self, mask: Any, value: Any) -> Tensor:
        """x with one value where the mask holds.        d masked_fill = [not mask] dx + [mask] dvalue

        The value is a number or a 0-d tensor; mask and x broadcast.

        Differs from PyTorch: an integer x is not cut to integers, but becomes floating, if value is.

        >>> mg.tensor([1.0, 2.0, 3.0]).masked_fill(mg.tensor([False, True, True]), -1.0)
        tensor([ 1., -1., -1.])"""
    def matmul(self, b: Any) -> Tensor:
        """a @ b for a (…, n, k) and b (…, k, m), whose leading axes broadcast; vectors may be (k,).

        d(a b) = da b + a db

        >>> mg.matmul(mg.tensor([[1.0, 2.0], [3.0, 4.0]]), mg.tensor([1.0, -1.0]))
        tensor([-1., -1.])"""
    def max(self, axis: builtins.int | Sequence[int] | None = ..., keepdims: builtins.bool = ..., *, dim: builtins.int | Sequence[int] | None = ..., keepdim: builtins.bool | None = ...) -> Tensor:
        """The largest of all values; with an axis, (values, indices) along it.

        d max x = dx at the index returned; without an axis, shared evenly by ties

        Differs from PyTorch: of equal values the first is returned, on every device, and
        `maximum(a, b)` is the larger of two tensors.

        >>> x = mg.tensor([[1.0, 3.0], [2.0, 0.0]])
        >>> x.max()
        tensor(3.)
        >>> x.max(axis=1)
        max(values=tensor([3., 2.]), indices=tensor([1, 0]))"""
    def maximum(self, b: Any) -> Tensor:
        """The larger of a and b.        d max(a, b) = [a > b] da + [b > a] db, half each at a tie

        >>> mg.maximum(mg.tensor([1.0, 4.0]), mg.tensor([3.0, 2.0]))
        tensor([3., 4.])
        >>> a = mg.tensor([1.0, 2.0, 3.0], requires_grad=True)
        >>> mg.grad(mg.maximum(a, 2.0) @ mg.tensor([1.0, 3.0, 5.0]), a)[0]
        tensor([0. , 1.5, 5. ])"""
    def mean(self, axis: builtins.int | Sequence[int] | None = ..., keepdims: builtins.bool = ..., *, dim: builtins.int | Sequence[int] | None = ..., keepdim: builtins.bool | None = ...) -> Tensor:
        """Σ x / n over axis (None: all); NaN over nothing.        d mean x = mean dx

        >>> mg.tensor([[1.0, 2.0], [3.0, 4.0]]).mean(axis=1, keepdims=True)
        tensor([[1.5],
                [3.5]])"""
    def min(self, axis: builtins.int | Sequence[int] | None = ..., keepdims: builtins.bool = ..., *, dim: builtins.int | Sequence[int] | None = ..., keepdim: builtins.bool | None = ...) -> Tensor:
        """The smallest of all values; with an axis, (values, indices) along it.

        d min x = dx at the index returned; without an axis, shared evenly by ties

        Differs from PyTorch: of equal values the first is returned, on every device, and
        `minimum(a, b)` is the smaller of two tensors.

        >>> x = mg.tensor([[1.0, 3.0], [2.0, 0.0]])
        >>> x.min()
        tensor(0.)
        >>> x.min(axis=1)
        min(values=tensor([1., 0.]), indices=tensor([0, 1]))"""
    def minimum(self, b: Any) -> Tensor:
        """The smaller of a and b.        d min(a, b) = [a < b] da + [b < a] db, half each at a tie

        >>> mg.minimum(mg.tensor([1.0, 4.0]), mg.tensor([3.0, 2.0]))
        tensor([1., 2.])"""
    def moveaxis(self, source: Any, destination: Any) -> Tensor:
        """x with some axes moved to new places; the others keep their order.

        d moveaxis x = moveaxis dx

        >>> mg.zeros(2, 3, 4).moveaxis(0, -1).shape
        (3, 4, 2)"""
    def mul(self, b: Any) -> Tensor:
        """a·b elementwise.        d(ab) = b da + a db

        >>> mg.mul(mg.tensor([1.0, 2.0]), mg.tensor([3.0, 4.0]))
        tensor([3., 8.])"""
    def ne(self, b: Any) -> Tensor:
        """a ≠ b elementwise.

        >>> mg.ne(mg.tensor([1.0, 2.0]), 2)
        tensor([ True, False])"""
    def neg(self) -> Tensor:
        """-x.        d(-x) = -dx

        >>> mg.neg(mg.tensor([1.0, -2.0]))
        tensor([-1.,  2.])"""
    def norm(self, p: Any = ..., axis: builtins.int | Sequence[int] | None = ..., keepdims: builtins.bool = ..., *, dim: builtins.int | Sequence[int] | None = ..., keepdim: builtins.bool | None = ...) -> Tensor:
        """(Σ |x|ᵖ)^(1/p) over axis (None: all), without overflow on the way.

        d norm = Σ sign(x) (|x| / norm)ᵖ⁻¹ dx, and 0 where x is 0 and where the norm is 0

        Args:
            p: a number, or "fro" for 2; inf: the largest |x|, -inf: the smallest, 0: how many are not
                zero.  Ties of the largest share its gradient evenly.

        Differs from PyTorch: there is no nuclear norm; several axes are taken as one vector; nothing
        overflows or underflows on the way; at NaN the slopes for p = 1 and ±∞ are NaN, not 0; for p = ½
        beside ∞ the slope at 0 is 0.

        >>> mg.tensor([3.0, 4.0]).norm(), mg.tensor([3.0, -4.0]).norm(1)
        (tensor(5.), tensor(7.))
        >>> x = mg.tensor([[0.0, 0.0], [0.0, 1.0], [float("nan"), 1.0]], requires_grad=True)
        >>> for p in (-2, 0.5, 1, 2, 3, float("inf")):
        ...     print(p, mg.grad(x.norm(p, axis=1), x, mg.tensor([1.0, 2.0, 4.0]))[0].tolist())
        -2 [[0.0, 0.0], [0.0, 0.0], [nan, nan]]
        0.5 [[0.0, 0.0], [0.0, 2.0], [nan, nan]]
        1 [[0.0, 0.0], [0.0, 2.0], [nan, 4.0]]
        2 [[0.0, 0.0], [0.0, 2.0], [nan, nan]]
        3 [[0.0, 0.0], [0.0, 2.0], [nan, nan]]
        inf [[0.0, 0.0], [0.0, 2.0], [nan, 0.0]]
        >>> x = mg.tensor([[0.0, 1.0], [0.0, float("inf")]], requires_grad=True)
        >>> with np.errstate(all="ignore"):
        ...     (slope,) = mg.grad(x.norm(0.5, axis=1).sum(), x, create_graph=True)
        ...     (curvature,) = mg.grad(slope[0].sum(), x)
        >>> slope.tolist(), curvature[0]
        ([[0.0, 1.0], [0.0, nan]], tensor([0., 0.]))"""
    def normal_(self, mean: builtins.float = ..., std: builtins.float = ...) -> Tensor: ...
    def outer(self, b: Any) -> Tensor:
        """The matrix of all products aᵢ bⱼ of two vectors.        d(a bᵀ) = da bᵀ + a dbᵀ

        >>> mg.outer(mg.tensor([1.0, 2.0]), mg.tensor([3.0, 4.0]))
        tensor([[3., 4.],
                [6., 8.]])"""
    def pad(self, pad: Any, mode: Any = ..., value: Any = ...) -> Tensor:
        """x with values added at its edges; negative widths cut off.        d pad x = pad dx

        Args:
            pad: (before, after) of the last axis, then of the one before it, and so on, as in PyTorch;
                or a pair for every axis from the first, as in NumPy.
            mode: "constant", "reflect" (the border is not repeated), "replicate" or "circular".
            value: what is added in the mode "constant".

        Differs from PyTorch: any axes can be padded in any mode.

        >>> mg.pad(mg.tensor([1.0, 2.0, 3.0]), (1, 2))
        tensor([0., 1., 2., 3., 0., 0.])
        >>> mg.pad(mg.tensor([1.0, 2.0, 3.0]), (1, 2), mode="circular")
        tensor([3., 1., 2., 3., 1., 2.])"""
    def permute(self, *axes: builtins.int | Sequence[int]) -> Tensor:
        """x with its axes in the order given.        d permute x = permute dx

        >>> mg.zeros(2, 3, 4).permute(2, 0, 1).shape
        (4, 2, 3)"""
    def pow(self, b: Any) -> Tensor:
        """a to the power b.        d aᵇ = b aᵇ⁻¹ da + aᵇ log a db

        At base 0 no slope is NaN where a limit exists: 0⁰ has the slopes 0 and 0.

        Differs from PyTorch: at -0 and -∞ the power -½ is ∞ and 0, and so is the slope of the power ½,
        whether the exponent is a number or a tensor (PyTorch has -∞ and NaN for numbers); at exponent 0
        the derivative in both is 1/a, not 0.  Integers to negative integer powers are refused.

        >>> mg.pow(mg.tensor([1.0, 2.0, 3.0]), 2)
        tensor([1., 4., 9.])
        >>> x = mg.tensor([0.0, 2.0], requires_grad=True)
        >>> mg.grad(x**3 @ mg.tensor([1.0, 10.0]), x)[0], mg.grad((x**0).sum(), x)[0]
        (tensor([  0., 120.]), tensor([0., 0.]))
        >>> a = mg.tensor([0.0, 0.0, 2.0, np.nan, 0.0], requires_grad=True)
        >>> b = mg.tensor([0.0, 2.0, 0.0, 0.0, -1.0], requires_grad=True)
        >>> with np.errstate(divide="ignore"):
        ...     da, db = mg.grad(mg.pow(a, b).sum(), (a, b))
        >>> da, db.round(decimals=4)
        (tensor([  0.,   0.,   0.,   0., -inf]), tensor([0.    , 0.    , 0.6931,    nan,   -inf]))"""
    def prod(self, axis: builtins.int | Sequence[int] | None = ..., keepdims: builtins.bool = ..., *, dim: builtins.int | Sequence[int] | None = ..., keepdim: builtins.bool | None = ...) -> Tensor:
        """Π x over axis (None: all); 1 over nothing.        d Π x = Σᵢ (Π of the others) dxᵢ

        Differs from PyTorch: a slope is the product of the other factors, never divided, so it is right
        beside ∞ and NaN, and where the product overflows.

        >>> mg.tensor([[1.0, 2.0], [3.0, 4.0]]).prod(axis=1)
        tensor([ 2., 12.])"""
    def relu(self) -> Tensor:
        """max(x, 0).        d relu x = [x > 0] dx, and 0 at 0

        >>> mg.relu(mg.tensor([-1.0, 2.0]))
        tensor([0., 2.])"""
    def repeat_interleave(self, repeats: Any, axis: builtins.int | Sequence[int] | None = ..., *, dim: builtins.int | Sequence[int] | None = ...) -> Tensor:
        """Each value of x several times in a row, along axis (None: of the flattened x).

        d repeat x = repeat dx

        Args:
            repeats: a whole number, or one for each place along the axis.

        >>> mg.tensor([1.0, 2.0]).repeat_interleave(2)
        tensor([1., 1., 2., 2.])"""
    def reshape(self, *shape: builtins.int | Sequence[int]) -> Tensor:
        """x in another shape; one length may be -1.        d reshape x = reshape dx

        >>> mg.arange(6).reshape(2, -1)
        tensor([[0, 1, 2],
                [3, 4, 5]])"""
    def roll(self, shifts: Any, axis: builtins.int | Sequence[int] | None = ..., *, dim: builtins.int | Sequence[int] | None = ..., dims: Any = ...) -> Tensor:
        """x moved along axis, what leaves at one end coming in at the other.        d roll x = roll dx

        Without an axis, the flattened x is rolled.

        >>> mg.tensor([1.0, 2.0, 3.0]).roll(1)
        tensor([3., 1., 2.])"""
    def round(self, decimals: Any = ...) -> Tensor:
        """x to so many decimals; halves go to the even neighbour.        d round x = 0

        >>> mg.round(mg.tensor([0.5, 1.5, 2.4]))
        tensor([0., 2., 2.])"""
    def rsqrt(self) -> Tensor:
        """1/√x.        d x⁻¹ᐟ² = -½ x⁻³ᐟ² dx

        >>> mg.rsqrt(mg.tensor([4.0, 16.0]))
        tensor([0.5 , 0.25])"""
    def scatter_add(self, axis: builtins.int | Sequence[int] | None = ..., index: Any = ..., src: Any = ..., *, dim: builtins.int | Sequence[int] | None = ...) -> Tensor:
        """x with src added: for axis 0, y[index[i, j], j] += src[i, j]; as often as an index occurs.

        d scatter_add = dx + scatter_add(0, dsrc)

        index and src have x's rank; src may be longer than index, which says how much of it is read.

        Differs from PyTorch: src has a gradient even where it is longer, and an index may be negative.

        >>> mg.zeros(3).scatter_add(0, mg.tensor([0, 0, 1]), mg.tensor([1.0, 2.0, 4.0]))
        tensor([3., 4., 0.])"""
    def sigmoid(self) -> Tensor:
        """1 / (1 + e⁻ˣ).        dσ = σ (1 - σ) dx

        >>> mg.sigmoid(mg.tensor([0.0, 2.0])).round(decimals=4)
        tensor([0.5   , 0.8808])"""
    def sign(self) -> Tensor:
        """-1, 0 or 1.        d sign x = 0

        Differs from PyTorch: NaN stays NaN, as in NumPy, where PyTorch has 0.

        >>> mg.sign(mg.tensor([-3.0, 0.0, 2.0]))
        tensor([-1.,  0.,  1.])"""
    def sin(self) -> Tensor:
        """sin x.        d sin x = cos x dx

        >>> mg.sin(mg.tensor([0.0, 1.0])).round(decimals=4)
        tensor([0.    , 0.8415])"""
    def sinh(self) -> Tensor:
        """(eˣ - e⁻ˣ) / 2.        d sinh x = cosh x dx

        >>> mg.sinh(mg.tensor([0.0, 1.0])).round(decimals=4)
        tensor([0.    , 1.1752])"""
    def softmax(self, axis: builtins.int | Sequence[int] | None = ..., *, dim: builtins.int | Sequence[int] | None = ...) -> Tensor:
        """eˣ / Σ eˣ along axis.        d softmax = s (dx - Σ s dx)

        >>> mg.tensor([0.0, np.log(3.0)]).softmax(-1).round(decimals=4)
        tensor([0.25, 0.75])"""
    def solve(self, b: Any) -> Tensor:
        """The x with a x = b, for a (…, n, n).        dx = a⁻¹ (db - da x)

        b is a vector (n,), or one for each matrix if its shape is that of a without the last axis;
        otherwise matrices (…, n, k).  Leading axes broadcast.  A singular matrix raises
        numpy.linalg.LinAlgError.

        Differs from PyTorch: takes integers and float16 (computed in float32) too.

        >>> mg.solve(mg.tensor([[2.0, 0.0], [1.0, 4.0]]), mg.tensor([2.0, 9.0]))
        tensor([1., 2.])"""
    def sort(self, axis: builtins.int | Sequence[int] | None = ..., descending: Any = ..., stable: Any = ..., *, dim: builtins.int | Sequence[int] | None = ...) -> tuple[Tensor, Tensor]:
        """The values along axis in order, and the indices that they had.

        d sort x = dx at indices

        Differs from PyTorch: equal values always keep their order, whatever `stable` says.

        >>> mg.tensor([3.0, 1.0, 2.0]).sort()
        sort(values=tensor([1., 2., 3.]), indices=tensor([1, 2, 0]))"""
    def split(self, split_size: Any, axis: builtins.int | Sequence[int] | None = ..., *, dim: builtins.int | Sequence[int] | None = ...) -> tuple[Tensor, ...]:
        """x in pieces of split_size (the last may be smaller), or of the sizes in a list.

        d split x = split dx

        >>> [piece.tolist() for piece in mg.arange(5).split(2)]
        [[0, 1], [2, 3], [4]]"""
    def sqrt(self) -> Tensor:
        """√x; its slope at 0 is infinite, and nothing comes through from a cotangent 0.

        d√x = dx / (2√x)

        Differs from PyTorch: a cotangent 0 gives the gradient 0 at x ≤ 0 and at NaN, not NaN.

        >>> mg.sqrt(mg.tensor([4.0, 9.0]))
        tensor([2., 3.])
        >>> x, w = (mg.tensor(v, requires_grad=True) for v in ([0.0, 4.0], [0.0, 3.0]))
        >>> with np.errstate(divide="ignore"):
        ...     (g,) = mg.grad(mg.sqrt(x) @ w, x, create_graph=True)
        >>> g.detach(), mg.grad(g.sum(), w)[0]
        (tensor([0.  , 0.75]), tensor([0.  , 0.25]))"""
    def squeeze(self, axis: builtins.int | Sequence[int] | None = ..., *, dim: builtins.int | Sequence[int] | None = ...) -> Tensor:
        """x without axes of length 1: all of them, or those named if they have it.

        d squeeze x = squeeze dx

        >>> mg.zeros(1, 3, 1).squeeze().shape
        (3,)"""
    def std(self, axis: builtins.int | Sequence[int] | None = ..., correction: builtins.float = ..., keepdims: builtins.bool = ..., *, dim: builtins.int | Sequence[int] | None = ..., keepdim: builtins.bool | None = ...) -> Tensor:
        """√var(x).        d std = d var / (2 std), and 0 where std is 0

        Differs from PyTorch: NaN, not ∞, unless n > correction, and no warning.

        >>> mg.tensor([1.0, 2.0, 3.0]).std()
        tensor(1.)
        >>> x = mg.ones(3, requires_grad=True)
        >>> mg.grad(mg.std(x), x)[0]
        tensor([0., 0., 0.])"""
    def sub(self, b: Any) -> Tensor:
        """a - b.        d(a - b) = da - db

        >>> mg.sub(mg.tensor([1.0, 2.0]), 3)
        tensor([-2., -1.])"""
    def sum(self, axis: builtins.int | Sequence[int] | None = ..., keepdims: builtins.bool = ..., *, dim: builtins.int | Sequence[int] | None = ..., keepdim: builtins.bool | None = ...) -> Tensor:
        """Σ x over axis (None: all).        d Σx = Σ dx

        Floating sums are added up in blocks and in float64, and rounded once.

        >>> mg.tensor([[1.0, 2.0], [3.0, 4.0]]).sum(axis=0)
        tensor([4., 6.])"""
    def swapaxes(self, axis0: builtins.int = ..., axis1: builtins.int = ..., *, dim0: builtins.int = ..., dim1: builtins.int = ...) -> Tensor:
        """x with two axes swapped: `transpose` under NumPy's name.        d swapaxes x = swapaxes dx

        >>> mg.zeros(2, 3, 4).swapaxes(0, 1).shape
        (3, 2, 4)"""
    def take(self, index: Any, axis: builtins.int | Sequence[int] | None = ..., *, dim: builtins.int | Sequence[int] | None = ...) -> Tensor:
        """x at integers along an axis (None: of the flattened x), in the index's shape there.

        d take x = take dx

        On a GPU, an index out of range wraps silently.

        Differs from PyTorch: it has NumPy's axis as well.

        >>> mg.tensor([[1.0, 2.0], [3.0, 4.0]]).take([[0, 3]])
        tensor([[1., 4.]])
        >>> mg.tensor([[1.0, 2.0], [3.0, 4.0]]).take([1, 1, 0], axis=1)
        tensor([[2., 2., 1.],
                [4., 4., 3.]])"""
    def tan(self) -> Tensor:
        """tan x.        d tan x = (1 + tan² x) dx

        >>> mg.tan(mg.tensor([0.0, 1.0])).round(decimals=4)
        tensor([0.    , 1.5574])"""
    def tanh(self) -> Tensor:
        """Hyperbolic tangent.        d tanh x = (1 - tanh² x) dx

        >>> mg.tanh(mg.tensor([0.0, 1.0])).round(decimals=4)
        tensor([0.    , 0.7616])"""
    def tensordot(self, b: Any, dims: Any = ..., *, axes: builtins.int | Sequence[int] = ...) -> Tensor:
        """a and b multiplied and summed over `dims`: the last n axes of a and the first n of b.

        d tensordot(a, b) = tensordot(da, b) + tensordot(a, db)

        Or over pairs of axes, dims=([those of a], [those of b]).  The result has the other axes of a,
        then those of b.

        Differs from PyTorch: summed axes must be equally long, where PyTorch broadcasts a length of 1.

        >>> mg.tensordot(mg.ones(2, 3, 4), mg.ones(4, 3, 5), dims=([1, 2], [1, 0])).shape
        (2, 5)"""
    def tile(self, *reps: Any) -> Tensor:
        """x repeated as a whole so many times along each axis.        d tile x = tile dx

        >>> mg.tensor([1.0, 2.0]).tile(2)
        tensor([1., 2., 1., 2.])"""
    def to(self, *where: Any, dtype: Any = ..., device: str | None = ...) -> Tensor: ...
    def topk(self, k: Any, axis: builtins.int | Sequence[int] | None = ..., largest: Any = ..., sorted: Any = ..., *, dim: builtins.int | Sequence[int] | None = ...) -> tuple[Tensor, Tensor]:
        """The k largest (or smallest) values along axis in order, and the indices that they had.

        d topk x = dx at indices

        Differs from PyTorch: of equal values the first come first, and the result is always in order.

        >>> mg.tensor([3.0, 1.0, 2.0]).topk(2)
        topk(values=tensor([3., 2.]), indices=tensor([0, 2]))"""
    def transpose(self, axis0: builtins.int = ..., axis1: builtins.int = ..., *, dim0: builtins.int = ..., dim1: builtins.int = ...) -> Tensor:
        """x with two axes swapped (`permute` orders them all).        d transpose x = transpose dx

        >>> mg.zeros(2, 3, 4).transpose(0, -1).shape
        (4, 3, 2)"""
    def tril(self, diagonal: Any = ...) -> Tensor:
        """The lower triangle of matrices: x where column ≤ row + diagonal, 0 above.

        d tril x = tril dx

        >>> mg.tril(mg.tensor([[1.0, 2.0], [3.0, 4.0]]))
        tensor([[1., 0.],
                [3., 4.]])"""
    def triu(self, diagonal: Any = ...) -> Tensor:
        """The upper triangle of matrices: x where column ≥ row + diagonal, 0 below.

        d triu x = triu dx

        >>> mg.triu(mg.tensor([[1.0, 2.0], [3.0, 4.0]]), 1)
        tensor([[0., 2.],
                [0., 0.]])"""
    def uniform_(self, low: builtins.float = ..., high: builtins.float = ...) -> Tensor: ...
    def unsqueeze(self, axis: builtins.int | Sequence[int] | None = ..., *, dim: builtins.int | Sequence[int] | None = ...) -> Tensor:
        """x with a new axis of length 1 at `axis` of the result.        d unsqueeze x = unsqueeze dx

        >>> mg.zeros(2, 3).unsqueeze(-1).shape
        (2, 3, 1)"""
    def var(self, axis: builtins.int | Sequence[int] | None = ..., correction: builtins.float = ..., keepdims: builtins.bool = ..., *, dim: builtins.int | Sequence[int] | None = ..., keepdim: builtins.bool | None = ...) -> Tensor:
        """Σ (x - mean)² / (n - correction); correction=0 divides by n.

        d var = 2 Σ (x - mean) dx / (n - correction)

        It is NaN unless n > correction.

        Differs from PyTorch: NaN, not ∞ or a slope of 0, unless n > correction, and no warning; beside
        an infinity every slope is NaN.

        >>> mg.tensor([1.0, 2.0, 3.0]).var(), mg.tensor([1.0, 2.0, 3.0]).var(correction=-1)
        (tensor(1.), tensor(0.5))
        >>> x = mg.tensor([1.0], requires_grad=True)
        >>> mg.var(x).item(), mg.grad(mg.var(x), x)[0]
        (nan, tensor([nan]))"""
    def where(self, condition: Any, other: Any) -> Tensor: ...
    def zero_(self) -> Tensor: ...
