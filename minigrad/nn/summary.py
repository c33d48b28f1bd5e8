"""A table of what a model consists of, and of what it keeps for the backward pass."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from .. import graph, random
from ..dtypes import default_dtype, is_whole
from ..graph import Node
from ..modes import Switch, enable_grad, recomputing
from ..tensor import Tensor
from ..trees import leaves
from ..watching import node_of, watched
from .module import Module

HEAD = ("layer", "output shape", "parameters", "kept for backward")
UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


@dataclass
class Row:
    """One module of the model."""

    name: str
    kind: str
    depth: int
    parameters: int  # all below, each once
    outputs: list[tuple[int, ...]] = field(default_factory=list)  # shapes, of every call
    kept: int = 0  # bytes


@dataclass
class Summary:
    """What `summary` found; its text is a table.

    `parameters` and `trainable` count numbers; `kept` counts the bytes that one forward keeps for
    the backward, beside parameters, buffers and inputs.
    """

    rows: list[Row]
    parameters: int
    trainable: int
    kept: int

    def __repr__(self) -> str:
        lines = [HEAD, *map(_cells, self.rows)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        table = [
            f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c:>{widths[2]}}  {d:>{widths[3]}}".rstrip()
            for a, b, c, d in lines
        ]
        rule = "─" * max(map(len, table))
        return "\n".join([table[0], rule, *table[1:], rule, self._total()])

    def _repr_html_(self) -> str:
        from ..html import note, table

        return table(HEAD, map(_cells, self.rows), left=2) + note(self._total())

    def _total(self) -> str:
        frozen = self.parameters - self.trainable
        total = f"{self.parameters:,} parameters" + (f", {frozen:,} frozen" if frozen else "")
        return f"{total}; {size_text(self.kept)} kept for backward"


def _cells(row: Row) -> tuple[str, str, str, str]:
    name = "  " * row.depth + (f"{row.name}: " if row.name else "") + row.kind
    shapes = list(dict.fromkeys(row.outputs))
    output = " ".join(map(str, shapes)) if shapes else "not called"
    calls = f" ×{len(row.outputs)}" if len(row.outputs) > 1 else ""
    return name, output + calls, f"{row.parameters:,}", size_text(row.kept)


def size_text(size: float) -> str:
    """Bytes in a unit that leaves a number below 1024."""
    for unit in UNITS[:-1]:
        if size < 1024:
            return f"{size:,.0f} {unit}" if unit == "B" else f"{size:,.1f} {unit}"
        size /= 1024
    return f"{size:,.1f} {UNITS[-1]}"


def summary(model: Module, *inputs: Any) -> Summary:
    """A table of layers, output shapes, parameters, and bytes kept for the backward pass.

    The model runs once, in the modes that it is in, and is left as it was: statistics do not move,
    and no random numbers are used up.

    Args:
        model: any module.
        inputs: for each of its inputs a shape with the batch axis, such as (64, 1, 28, 28), whose
            values will be random; or a tensor, as for a model that takes integers.

    Returns:
        A `Summary`, whose text is the table: `print(nn.summary(model, (64, 1, 28, 28)))`.  An
        array that several layers keep counts for the first.

    Raises:
        TypeError: an input that is neither a shape nor a tensor.
    """
    rows = {
        id(module): Row(name.rpartition(".")[2], type(module).__name__, _depth(name), _size(module))
        for name, module in model.named_modules()
    }
    own = [*model.parameters(), *model.buffers()]
    with ExitStack() as stack:
        for context in (random.undrawn(), Switch(recomputing, True), enable_grad()):
            stack.enter_context(context)
        tensors = [_input(each, own) for each in inputs]
        kept = _Kept({id(graph.owner(t.array)) for t in (*own, *tensors)})
        stack.enter_context(watched(kept.see))
        for module in model.modules():
            row = rows[id(module)]
            stack.enter_context(module.register_forward_pre_hook(kept.begin(row)))
            stack.enter_context(module.register_forward_hook(kept.end(row)))
        model(*tensors)
    sizes = [(p.size, p.requires_grad) for p in model.parameters()]
    trainable = sum(size for size, learns in sizes if learns)
    return Summary(list(rows.values()), sum(s for s, _ in sizes), trainable, kept.total)


class _Kept:
    """Counts the bytes that nodes keep, each array once, for every module that is running."""

    def __init__(self, known: set[int]) -> None:
        self.known = known  # owners of memory that count for nothing
        self.alive: list[Any] = []  # so that no owner's id is used again
        self.running: list[Row] = []
        self.total = 0

    def begin(self, row: Row) -> Any:
        """A hook before `forward`."""
        return lambda module, inputs: self.running.append(row)

    def end(self, row: Row) -> Any:
        """A hook after `forward`."""

        def hook(module: Module, inputs: Any, output: Any) -> None:
            self.running.pop()
            row.outputs += [t.shape for t in leaves(output) if isinstance(t, Tensor)]

        return hook

    def see(self, op: Any, inputs: Any, result: Any, seconds: float) -> None:
        """A watcher of ops."""
        node = node_of(result)
        fresh = 0 if node is None else self._fresh(node)
        self.total += fresh
        for row in self.running:
            row.kept += fresh

    def _fresh(self, node: Node) -> int:
        """Bytes of what this node keeps and no node before."""
        size = 0
        for _, array in graph.saved_arrays(node):
            owner = graph.owner(array)
            if id(owner) not in self.known:
                self.known.add(id(owner))
                self.alive.append(owner)
                size += owner.nbytes
        return size


def _depth(name: str) -> int:
    return name.count(".") + bool(name)


def _size(module: Module) -> int:
    return sum(p.size for p in module.parameters())


def _input(given: Any, own: list[Tensor]) -> Tensor:
    """An input of the model: given, or random numbers of a shape in the dtype of its parameters."""
    if isinstance(given, Tensor):
        return given
    if not isinstance(given, tuple | list) or not all(map(is_whole, given)):
        raise TypeError(
            f"summary got {given!r} as an input: give its shape with the batch axis, such as "
            "(64, 1, 28, 28), or a tensor"
        )
    floating = [t for t in own if t.dtype.kind == "f"]
    like = floating[0] if floating else None
    values = random.draw("normal", tuple(given), 0.0, 1.0)
    dtype, device = (default_dtype(), None) if like is None else (like.dtype, like.device)
    return Tensor(values, dtype, device)
