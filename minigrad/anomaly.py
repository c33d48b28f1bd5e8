"""`detect_anomaly()`: where a NaN arises, and which saved value was written to unseen.

Inside, every op that runs is looked at (see watching.py), and every rule that the sweep applies;
each node remembers the user's line that made it.  Outside, none of this is there.
"""

from __future__ import annotations

import linecache
import os
import sys
import threading
import weakref
import zlib
from collections.abc import Iterable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from . import backend, graph, watching
from .backend.several import placed
from .calling import describe
from .errors import GraphError
from .graph import Node, Pull
from .modes import F, Switch
from .op import Op

PACKAGE = os.path.dirname(__file__) + os.sep

detecting: ContextVar[bool] = ContextVar("detecting", default=False)

# the rule that runs now, and where its op ran; what it computes on its way is its own affair
_rule: ContextVar[tuple[str, Place | None] | None] = ContextVar("rule", default=None)


def detect_anomaly(function: F | None = None) -> Any:
    """Inside, the first NaN raises where it arises, and so does a value that was written unseen.

    A context manager, and a decorator with or without parentheses; it holds for its thread or async
    task.  Run forward and backward inside: each error then names the op, shapes and dtypes, and
    your line (the innermost outside minigrad) where the op ran in the forward.

    - A NaN in an op's result raises at once, if no input had one.
    - A NaN in a gradient raises in backward: where a rule gave it although the cotangent had none,
      or where gradients that meet are infinities of both signs.  What a rule computes on its way
      and masks does not.
    - A write through the bare array (`leaf.data[0] = 1`) to a value that an op saved raises when
      backward reaches the op: fingerprints of what it saved differ.
    - Infinities do not raise: log(0) is -inf.  The NaN that is made of them does (inf - inf).
    - An error inside a rule, yours or minigrad's, has a note with the line as well.

    It is for finding mistakes, not for training: every op costs a look at its arrays, and on the
    GPU also waits for them and copies what is saved to the host.  `pad(x, value=nan)` counts as
    making NaN.

    Raises:
        GraphError: a NaN arose, or a saved value was written to.

    Example:
        >>> import minigrad as mg
        >>> x = mg.tensor([1.0, 2.0], requires_grad=True)
        >>> with mg.detect_anomaly():
        ...     y = x[x > 9].mean()  # of nothing
        Traceback (most recent call last):
        ...
        minigrad.errors.GraphError: mean(float32 (0,)) made NaN in 1 of 1 elements, and no ...
    """
    if function is not None and not callable(function):
        raise TypeError("detect_anomaly takes no argument: write `with mg.detect_anomaly():`")
    detection = _Detection()
    return detection if function is None else detection(function)


class _Detection(Switch):
    """The switch, which also watches ops and sweeps while anybody is inside."""

    _inside, _counting = 0, threading.RLock()

    def __init__(self) -> None:
        super().__init__(detecting, True, "mg.detect_anomaly()")

    def _fresh(self) -> Switch:
        return _Detection()

    def __enter__(self) -> None:
        with _Detection._counting:
            _Detection._inside += 1
            if _Detection._inside == 1:
                watching.begin(_look)
                graph.inspector = _Inspector()
        super().__enter__()

    def __exit__(self, *exception: object) -> None:
        super().__exit__(*exception)
        with _Detection._counting:
            _Detection._inside -= 1
            if _Detection._inside == 0:
                watching.end(_look)
                graph.inspector = None


# ---- the user's line -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Place:
    """A line of the user's; for an op that a rule ran, also the rule's name and its op's place."""

    file: str
    line: int
    function: str
    rule: tuple[str, Place | None] | None

    def __str__(self) -> str:
        linecache.checkcache(self.file)
        text = linecache.getline(self.file, self.line).strip()  # nothing where code has no file
        here = f"{self.file}:{self.line}, in {self.function}{text and ': '}{text}"
        if self.rule is None:
            return here
        name, place = self.rule
        return f"{here} (in the rule of {name}" + (f", which ran at {place})" if place else ")")


def users_place() -> Place | None:
    """The innermost line outside the package that is running now."""
    frame = sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        if not code.co_filename.startswith((PACKAGE, "<op ")):  # an op's text is generated
            # no frame is kept: it would keep the user's variables alive
            return Place(code.co_filename, frame.f_lineno, code.co_name, _rule.get())
        frame = frame.f_back  # type: ignore[assignment]
    return None


# ---- the forward ---------------------------------------------------------------------------------

_prints: weakref.WeakKeyDictionary[Node, list[int]] = weakref.WeakKeyDictionary()


def _look(op: Op, inputs: tuple[Any, ...], result: Any, seconds: float) -> None:
    """Look at an op that has run, and remember where its node was made and of what."""
    if not detecting.get():
        return
    node = watching.node_of(result)
    if node is not None:
        graph.places[node] = users_place()
        _prints[node] = [_fingerprint(array) for _, array in graph.saved_arrays(node)]
    if _rule.get() is None and _has_nan(result) and not _has_nan(inputs):
        infinite = any(_any(array, "isinf") for array in _floating(inputs))
        raise GraphError(
            f"{op.name}({describe(inputs)}) made NaN in {_share(result)}, and no input had any"
            f"{' (one has infinities)' if infinite else ''}; it ran at {users_place()}"
        )


def _fingerprint(array: Any) -> int:
    host = backend.of(array).to_numpy(array)
    return zlib.crc32(repr((host.shape, host.dtype.str)).encode() + host.tobytes())


# ---- the sweep -----------------------------------------------------------------------------------


class _Inspector:
    """What the sweep asks while anybody is inside."""

    def pull(
        self, pull: Pull, node: Node, g: Any, parents: Sequence[Node | None], create_graph: bool
    ) -> Any:
        """The sweep's `pull`, with a look at what the node saved and at what its rule gave."""
        if not detecting.get():
            return pull(node, g, parents, create_graph)
        if graph.last_write > node.id:
            graph.check_unwritten(node)  # a write that the clock saw has the better message
        _check_prints(node)
        token = _rule.set((node.op.name, graph.places.get(node)))
        try:
            gs = pull(node, g, parents, create_graph)
        finally:
            _rule.reset(token)
        if not _has_nan(g):
            _check_gradients(node, parents, gs)
        return gs

    @placed
    def meet(self, node: Node, a: Any, b: Any, source: Node) -> None:
        """Raise if two gradients of a node are infinities of unlike sign somewhere."""
        a, b = _bare(a), _bare(b)
        isinf = backend.of(a).xp.isinf
        if detecting.get() and bool((isinf(a) & isinf(b) & (a != b)).any()):
            whose, at = "a result", node
            if node.op is None:  # it has no line of its own, but who used it last has one
                whose, at = "a leaf", source
            raise GraphError(
                f"the gradients that meet at {whose} of shape {node.shape} add up to NaN, being "
                f"infinities of both signs; {graph.ran_at(at)}"
            )


def _check_prints(node: Node) -> None:
    known = _prints.get(node)
    if known is None or node.saved is None:
        return  # it ran outside; or was swept, which the sweep itself will say
    for (name, array), before in zip(graph.saved_arrays(node), known, strict=True):
        if _fingerprint(array) != before:
            raise GraphError(
                f"{node.op.name}: its saved {name!r}, {describe([array])}, was written to between "
                "forward and backward through a bare array, so its gradient would be wrong: write "
                "after backward(), and so that it is seen, as in `with mg.no_grad(): t[0] = 1`; "
                f"{graph.ran_at(node)}"
            )


def _check_gradients(node: Node, parents: Sequence[Node | None], gs: Sequence[Any]) -> None:
    for i, (parent, g) in enumerate(zip(parents, gs, strict=True)):
        if parent is not None and _has_nan(g):
            op = node.op
            name = f"input {i}" if op.variadic else op.inputs[i]
            saved = [repr(kept) for kept, array in graph.saved_arrays(node) if _has_nan(array)]
            hint = f" (its saved {', '.join(saved)} had)" if saved else ""
            raise GraphError(
                f"the rule of {op.name} made NaN in the gradient of {name}, in {_share(g)}, and "
                f"its cotangent had none{hint}; {graph.circumstances(node, parents)}; "
                f"{graph.ran_at(node)}"
            )


# ---- looking at values ---------------------------------------------------------------------------


def _bare(value: Any) -> Any:
    """The array of a Tensor; a 0-d one of a NumPy scalar."""
    return backend.as_array(getattr(value, "array", value))


def _floating(values: Any) -> Iterable[Any]:
    """The floating arrays and numbers among values, in tuples and lists too."""
    for value in values if isinstance(values, tuple | list) else (values,):
        if isinstance(value, tuple | list):
            yield from _floating(value)
        elif isinstance(value, float) or getattr(value, "dtype", None) is not None:
            array = _bare(value)
            if array.dtype.kind == "f":
                yield array


@placed
def _any(array: Any, test: str) -> bool:
    return bool(getattr(backend.of(array).xp, test)(array).any())


def _has_nan(values: Any) -> bool:
    return any(_any(array, "isnan") for array in _floating(values))


@placed
def _share(values: Any) -> str:
    """How many elements are NaN: "2 of 3 elements"."""
    arrays = list(_floating(values))
    found = sum(int(backend.of(a).xp.isnan(a).sum()) for a in arrays)
    return f"{found} of {sum(a.size for a in arrays)} elements"
