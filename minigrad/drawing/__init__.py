"""`mg.draw`: the graph behind a tensor as a picture, made without any other program.

The way from a tensor to a picture: `vertices.py` takes what is drawn from the graph, `modules.py`
finds which modules it ran in, `boxes.py` puts these around it, `layout.py` and `layers.py` say
where everything stands, `svg.py` and `dot.py` write it down.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..nn.module import Module
from ..tensor import Tensor
from . import checks
from .boxes import Box, boxed, collapsed, height
from .drawing import Drawing
from .modules import Watch, guessed
from .vertices import vertices_of

LIMIT = 1000  # vertices: more than anybody reads

Drawn = Tensor | Sequence[Tensor]


def draw(
    tensor: Drawn | Callable[[], Drawn],
    model: Module | None = None,
    *,
    depth: int | None = None,
    names: Mapping[str, Tensor] | None = None,
    title: str = "",
    limit: int = LIMIT,
) -> Drawing:
    """The graph behind a tensor: leaves, parameters, ops, fused ops, and what each keeps.

    A notebook shows it; `.save("graph.svg")` writes it, `.to_dot()` gives it in Graphviz's
    language.  Each vertex shows its shape, and the bytes that the graph keeps alive for its
    backward; memory that a leaf, a parameter, a buffer or an earlier vertex holds anyway counts for
    nothing.  Constants, such as data that do not require grad, are no part of a graph.

    With a model, parameters have their dotted names, and modules are boxes around what ran in them.
    The engine does not note which module an op ran in, so for a tensor that is there already the
    boxes are guessed: an op that takes parameters ran in the module that has them, another in the
    innermost module of modules that has such ops before and after it.  Given a function instead,
    `mg.draw(lambda: model(x), model)`, the modules' calls are watched while it runs, and the boxes
    are exact.

    Args:
        tensor: the result, several of them, or a function without arguments that computes it (it
            runs once, and running statistics move as ever).
        model: whose parameters and modules are named.
        depth: how many boxes may stand inside each other; a deeper module is drawn as one vertex.
            0 draws the model as one, 1 its children.  By default all are boxes, or as many as keep
            the picture within `limit`.
        names: of leaves that are no parameters: {"x": x}.
        title: what stands above.
        limit: the most vertices to draw.

    Raises:
        TypeError: something else than a tensor, such as the model.
        GraphError: a constant, a graph that backward() has freed, or a name of what is no leaf.
        ValueError: a graph of more vertices than `limit`, a negative depth, or one without a model.

    Example:
        >>> import minigrad as mg
        >>> x = mg.tensor([1.0, 2.0], requires_grad=True)
        >>> mg.draw((x * x).sum(), names={"x": x})
        <drawing of 2 ops and 1 leaf; 0 B kept for backward; .save("graph.svg") writes it>
    """
    checks.options(tensor, model, depth, limit)
    watch = Watch(model) if model is not None and checks.is_function(tensor) else None
    results = checks.results(_run(tensor, watch))
    given = checks.names_by_id(names)
    if model is None:
        vertices, _ = vertices_of(results, given)
        return Drawing(_within(boxed(vertices, {}, set()), limit), title, [])
    parameters = dict(model.named_parameters())
    own = {id(p): name for name, p in parameters.items()}
    held = [t.array for t in (*parameters.values(), *model.buffers())]
    vertices, leaves = vertices_of(results, own | given, held)
    owned = {leaves[id(p)] for p in parameters.values() if id(p) in leaves}
    paths = watch.paths(vertices) if watch else guessed(model, vertices, leaves)
    root = boxed(vertices, paths, owned)
    remarks = [GUESSED] if watch is None and any(paths.values()) else []
    if depth is None:
        root, more = _fitting(root, limit)
        return Drawing(root, title, remarks + more)
    return Drawing(_within(collapsed(root, depth), limit, depth == 0), title, remarks)


GUESSED = "boxes guessed from parameters; mg.draw(lambda: ..., model) has them exact"


def _run(tensor: Any, watch: Watch | None) -> Any:
    """What a function gives, the model's calls watched; a tensor as it is."""
    if not checks.is_function(tensor):
        return tensor
    if watch is None:
        return tensor()
    with watch.open():
        return tensor()


def _within(root: Box, limit: int, collapsed: bool = False) -> Box:
    checks.few_enough(sum(1 for _ in root.vertices()), limit, collapsed)
    return root


def _fitting(root: Box, limit: int) -> tuple[Box, list[str]]:
    """The picture with as many boxes as keep it within the limit, and what was done to it."""
    every = height(root)
    for depth in range(every, -1, -1):
        found = root if depth == every else collapsed(root, depth)
        if sum(1 for _ in found.vertices()) <= limit:
            remark = f"depth={depth}: deeper modules are one vertex each, to stay within {limit:,}"
            return found, [remark] * (depth < every)
    return _within(found, limit, collapsed=every > 0), []
