"""What the transforms in func.py share: a recorded run of a function, pull-backs, checks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from . import backend, dtypes, gradient
from .backend.several import placed
from .checkpoint import boundary
from .create import eye, zeros, zeros_like
from .errors import DTypeError, OutOfRangeError, ShapeError
from .graph import tick
from .modes import Switch, recording
from .ops.join import stack
from .tensor import Tensor, handle
from .trees import filled, leaves, leaves_like, mapped

Function = Callable[..., Any]


class Run:
    """f run, recorded, on our own handles `xs` for the tensors that it is differentiated to.

    `ys` are the tensors of its output.
    """

    def __init__(
        self,
        name: str,
        f: Function,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        argnums: int | tuple[int, ...],
        has_aux: bool,
    ) -> None:
        places = _places(name, argnums, len(args))
        start = tick()
        self.single = isinstance(argnums, int)
        self.primals = [args[i] for i in places]
        given = [(f"{name}: argument {i}", x) for i in places for x in leaves(args[i])]
        self.xs = [_own(_checked(what, x)) for what, x in given]
        # f gets further handles, so that ours stay what they are when it assigns to its own
        handles = filled(self.primals, [handle(x.array, x.node) for x in self.xs])
        its = dict(enumerate(args)) | dict(zip(places, handles, strict=True))
        with Switch(recording, True):
            result = f(*its.values(), **kwargs)
        self.output: Any
        self.aux: Any
        self.output, self.aux = _pair(name, result) if has_aux else (result, None)
        self.ys = [_checked(f"{name}: f's output", y) for y in leaves(self.output)]
        nodes = [t.node for t in leaves((self.output, self.aux)) if isinstance(t, Tensor)]
        self.reaches_out = not {x.node for x in self.xs}.issuperset(boundary(nodes, start))

    def asked(self, *us: Tensor) -> bool:
        """Whether somebody outside may ask for derivatives of results made from the run and us."""
        return recording.get() and (self.reaches_out or any(u.requires_grad for u in us))

    def like_arguments(self, found: Sequence[Tensor]) -> Any:
        """One tensor for each of ours, in the structure of the arguments."""
        tree = filled(self.primals, found)
        return tree[0] if self.single else tuple(tree)

    def released(self, tree: Any) -> Any:
        """A result on its way out: without a graph if nobody can ask for it."""
        return tree if self.asked() else mapped(_detached, tree)


def pulled_back(
    ys: Sequence[Tensor],
    xs: Sequence[Tensor],
    us: Sequence[Tensor | None],
    create_graph: bool,
    retain_graph: bool = True,
) -> list[Tensor]:
    """Jᵀu of the map from xs to ys; zeros where no y depends on x."""
    pairs = [(y, u) for y, u in zip(ys, us, strict=True) if y.requires_grad]
    if not (pairs and xs):
        return [zeros_like(x) for x in xs]
    outputs, cotangents = zip(*pairs, strict=True)
    found = gradient.grad(outputs, xs, cotangents, retain_graph, create_graph, allow_unused=True)
    return [zeros_like(x) if g is None else g for x, g in zip(xs, found, strict=True)]


def jacobians(y: Tensor, run: Run) -> list[Tensor]:
    """∂y/∂x for each x: row i is the pull-back of the unit cotangent i."""
    if not y.size:
        return [zeros(*y.shape, *x.shape, dtype=x.dtype, device=x.device) for x in run.xs]
    units = eye(y.size, dtype=y.dtype, device=y.device).reshape(-1, *y.shape)
    rows = [pulled_back([y], run.xs, [unit], run.asked()) for unit in units]
    columns = zip(run.xs, zip(*rows, strict=True), strict=True)
    return [stack(each).reshape(*y.shape, *x.shape) for x, each in columns]


@placed
def generic_like(y: Tensor) -> Tensor:
    """A cotangent that is not zero anywhere on its way back, if any is not.

    A rule may hold only for g ≠ 0 (√x at 0), and equal or whole numbers may cancel on their way:
    the fractional parts of multiples of the golden ratio are as unlike each other as can be.
    """
    xp = backend.of(y.array).xp
    u = 1 + xp.arange(1, y.size + 1) * ((5**0.5 - 1) / 2) % 1
    return handle(u.astype(y.dtype).reshape(y.shape))


def _own(x: Tensor) -> Tensor:
    """A handle to differentiate to: with x's history if that is recorded, else a leaf."""
    if x.node is not None and recording.get():
        return x.clone()
    return handle(x.array).requires_grad_()


def _detached(leaf: Any) -> Any:
    return leaf.detach() if isinstance(leaf, Tensor) else leaf


# ---- what was given ------------------------------------------------------------------------------


def check_function(name: str, f: Any) -> None:
    """Raise unless f can be called: `mg.grad` and `func.grad` are easily confused."""
    if not callable(f):
        raise DTypeError(
            f"func.{name} got a {type(f).__name__}, which must be a function: tensors are "
            "differentiated by mg.grad(outputs, inputs)"
        )


def _places(name: str, argnums: Any, count: int) -> list[int]:
    """The positions that argnums names, counted from the front."""
    given = argnums if isinstance(argnums, tuple) else (argnums,)
    if not all(isinstance(i, int) and not isinstance(i, bool) for i in given):
        raise DTypeError(f"{name} got argnums={argnums!r}: give an integer or a tuple of them")
    if not all(-count <= i < count for i in given):
        raise OutOfRangeError(
            f"{name} got argnums={argnums}, but f was called with {count} positional arguments: "
            "count from 0, and give by position what is differentiated to"
        )
    places = [i % count for i in given]
    if len({*places}) < len(places):
        raise ShapeError(f"{name} got argnums={argnums}, which names one argument twice: give one")
    return places


def as_arguments(name: str, primals: Any) -> tuple[Any, ...]:
    """f's arguments from primals: a tuple of them, or a single tensor."""
    if not isinstance(primals, tuple | Tensor):
        raise DTypeError(
            f"{name}: the primals are a {type(primals).__name__}, which must be a tuple of f's "
            "arguments, or a single tensor: write (x,)"
        )
    return primals if isinstance(primals, tuple) else (primals,)


def _checked(what: str, t: Any) -> Tensor:
    """A floating tensor, or an error."""
    if not isinstance(t, Tensor):
        raise DTypeError(
            f"{what} is a {type(t).__name__}, which must be a tensor: give mg.tensor(...), or "
            "pass what is not differentiated beside it (argnums, has_aux)"
        )
    if not dtypes.is_floating(t.dtype):
        raise DTypeError(
            f"{what} is {t.dtype}, which has no derivative: convert with .float() or .double(), "
            "or pass it beside what is differentiated (argnums, has_aux)"
        )
    return t


def fitting(what: str, given: Any, name: str, wanted: Any) -> list[Tensor]:
    """Tangents or cotangents, checked to have the structure and shapes of what they belong to."""
    ts = [_checked(what, t) for t in leaves_like(wanted, given, what)]
    for t, like in zip(ts, leaves(wanted), strict=True):
        if t.shape != getattr(like, "shape", t.shape):
            raise ShapeError(
                f"{what} has shape {t.shape} where {name} has {like.shape}: they must be equal"
            )
    return ts


def _pair(name: str, result: Any) -> tuple[Any, Any]:
    if not isinstance(result, tuple) or len(result) != 2:
        given = f"{len(result)} values" if isinstance(result, tuple) else type(result).__name__
        raise DTypeError(f"{name} with has_aux: f gave {given}: return a tuple (output, anything)")
    return result
