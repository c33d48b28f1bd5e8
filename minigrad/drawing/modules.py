"""Which modules the nodes of a graph ran in: exactly, where the run was watched, else by guess.

A node does not know its module: to note it would cost every op.  But nodes carry the time of one
clock, so a module's call is known by the times at which it began and ended.  Where the call is over
already, parameters tell: see `guessed`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from ..graph import tick
from ..nn import walk
from ..nn.module import Module
from .vertices import Vertex


@dataclass(slots=True)
class Call:
    """A call of a module.

    Attributes:
        name: the module's dotted name, empty for the model itself.
        kind: its type's name.
        number: which of its calls, from 1; 0 where that is not known.
        begin, end: the clock's times.
        is_innermost: whether there are no modules in it; only guesses ask.
    """

    name: str
    kind: str
    number: int = 0
    begin: int = 0
    end: int = 0
    is_innermost: bool = False


Path = tuple[Call, ...]  # from the model inwards
Paths = Mapping[Vertex, Path]


# ---- watched -------------------------------------------------------------------------------------


class Watch:
    """Notes every call of the model's modules while it is open; the model is left as it was."""

    def __init__(self, model: Module) -> None:
        self.model = model
        self.calls: list[Call] = []
        self._running: list[tuple[Module, Call]] = []
        self._often: Counter[str] = Counter()

    @contextmanager
    def open(self) -> Iterator[None]:
        """Watch inside."""
        with ExitStack() as stack:
            for name, module in self.model.named_modules():
                stack.enter_context(module.register_forward_pre_hook(self._begin(name)))
                stack.enter_context(module.register_forward_hook(self._end))
            yield

    def _begin(self, name: str) -> Callable[..., None]:
        def hook(module: Module, inputs: Any) -> None:
            self._often[name] += 1
            call = Call(name, type(module).__name__, self._often[name], tick())
            self.calls.append(call)
            self._running.append((module, call))

        return hook

    def _end(self, module: Module, inputs: Any, output: Any) -> None:
        while self._running:  # one that raised, and was caught, stands there still: it has no end
            running, call = self._running.pop()
            if running is module:
                call.end = tick()
                return

    def paths(self, vertices: Sequence[Vertex]) -> Paths:
        """The calls that were running when each op ran; vertices are sorted by time."""
        found: dict[Vertex, Path] = {}
        running: list[Call] = []
        coming = iter(self.calls)  # in the order of their beginnings
        following = next(coming, None)
        for vertex in vertices:
            while following is not None and following.begin < vertex.time:
                running = [call for call in running if call.end > following.begin]
                running.append(following)
                following = next(coming, None)
            running = [call for call in running if call.end > vertex.time]
            found[vertex] = tuple(running)
        return found


# ---- guessed -------------------------------------------------------------------------------------


def guessed(model: Module, vertices: Sequence[Vertex], leaves: Mapping[int, Vertex]) -> Paths:
    """Where each op probably ran.

    An op that takes parameters, or one transposed or reshaped, ran in the module that has them all.
    Another ran in the innermost module of modules that has ops with parameters both before and
    after it.  So a ReLU stands between the boxes of its neighbours, inside their common one.

    Args:
        model: whose parameters are asked for.
        vertices: sorted by time.
        leaves: some of them, by the id of their tensor.
    """
    owners = _owners(model, leaves)
    for v in vertices:
        if v.inputs == 1 and v.parents and v.parents[0] in owners:
            owners[v] = owners[v.parents[0]]  # a parameter in another form
    taking = {v: _taking([owners[p] for p in v.parents if p in owners]) for v in vertices}
    before: dict[Vertex, Path | None] = {}
    after: dict[Vertex, Path | None] = {}
    for v in vertices:
        before[v] = taking[v] or _common(before[parent] for parent in v.parents)
    for v in reversed(vertices):
        after[v] = taking[v] or after.get(v)
        for parent in v.parents:
            after[parent] = _common((after.get(parent), after[v]))
    found: dict[Vertex, Path] = {}
    for v in vertices:
        around = _common((before[v], after[v])) if before[v] and after[v] else ()
        while around and around[-1].is_innermost:  # a layer that is called again and again
            around = around[:-1]
        found[v] = taking[v] or around or ()
    return found


def _taking(owners: Sequence[list[Path]]) -> Path | None:
    """Where an op ran that takes parameters with these owners; None if it takes none.

    A parameter that several modules share says little: those that have one owner tell.
    """
    alone = [paths[0] for paths in owners if len(paths) == 1]
    return _common(alone or [path for paths in owners for path in paths])


def _owners(model: Module, leaves: Mapping[int, Vertex]) -> dict[Vertex, list[Path]]:
    """The modules that have each parameter, each with those around it."""
    modules = dict(walk.tree(model))
    calls = {
        name: Call(name, type(module).__name__, is_innermost=not any(module.children()))
        for name, module in modules.items()
    }
    found: dict[Vertex, list[Path]] = {}
    for name, module in modules.items():
        around = tuple(calls[each] for each in _prefixes(name) if each in calls)
        for _, value in walk.state(module, recurse=False):
            if id(value) in leaves:
                found.setdefault(leaves[id(value)], []).append(around)
    return found


def _prefixes(name: str) -> list[str]:
    """What a dotted name begins with: "", "a" and "a.b" for "a.b"."""
    parts = name.split(".") if name else []
    return [".".join(parts[:i]) for i in range(len(parts) + 1)]


def _common(paths: Any) -> Path | None:
    """What paths begin with alike; None, of which nothing is known, is passed over."""
    known = [path for path in paths if path is not None]
    if not known:
        return None
    return known[0][: min(shared(known[0], path) for path in known)]


def shared(a: Sequence[Any], b: Sequence[Any]) -> int:
    """How many calls two paths begin with alike."""
    pairs = zip(a, b, strict=False)
    return next((i for i, (x, y) in enumerate(pairs) if x is not y), min(len(a), len(b)))
