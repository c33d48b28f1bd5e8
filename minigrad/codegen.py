"""Writes an op's `call` and `pull` as straight-line Python.

All that can be known of an op is settled once, here: a loop over inputs and rules at every call
would cost a third of a small training step.  What is written can be read, tracebacks and debuggers
show it too: `print(mg.mul.op.source)`.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .op import Op

REQUIRED = inspect.Parameter.empty
# NumPy's keyword -> PyTorch's, accepted as well
ALIASES = {"axis": ("dim",), "keepdims": ("keepdim",), "axis0": ("dim0",), "axis1": ("dim1",)}
INDENT = "    "


def source(op: Op, watched: bool = False, divided: bool = False) -> str:
    """The text of the two functions.

    Args:
        op: what they are of.
        watched: tell `seen` of every run (see watching.py).
        divided: run on the device of the arrays, of several (see backend/several.py).
    """
    prepare = [*_normalise(op), *_unwrap(op, watched), *_unify(op), *_run(op, watched)]
    pull = _pull(op)
    if divided:
        prepare = [f"with at({', '.join(op.inputs)}):", *_indented(prepare)]
        pull = ["with at(g):", *_indented(pull)]
    given = _tuple(op.inputs)
    statics = ", ".join(f"{name!r}: {name}" for name in op.statics if name != "hint")
    call = ["try:", *_indented(prepare), "except Exception as error:"]
    call += [f"    reraise(op, error, {given}, {{{statics}}})", *_record(op, watched)]
    lines = [f"def {op.name}({signature(op)}):", *_indented(call), ""]
    lines += ["def pull(g, saved, parents):", *_indented(pull), ""]
    return "\n".join(lines)


def first(op: Op) -> str:
    """A function that has the text written when it is called for the first time."""
    given = [f"*{name}" if name == op.star else name for name in op.order]
    given += [f"{alias}={alias}" for _, alias in aliased(op)]
    call = f"return op.written()({', '.join(given)})"
    return f"def {op.name}({signature(op)}):\n    {call}\n"


def with_kernels(op: Op, kernels: dict[str, int]) -> str:
    """A function that tries the kernels for the arrays' backend, then the plain forward.

    Args:
        op: what they compute.
        kernels: by a backend's name, how many there are; in the text they are `cpu_kernel0`, ….
    """
    inputs = f"*{op.inputs[0]}" if op.variadic else ", ".join(op.inputs)
    call = f"(xp, {inputs}{_statics(op)})"
    first = [f"{op.inputs[0]}[0]"] if op.variadic else op.inputs
    place = " or ".join(f"PLACES.get(type({name}))" for name in first)
    lines = ["if kernels_on.get():", f"    place = {place}"]
    for backend, count in kernels.items():
        lines.append(f"    if place == {backend!r}:")
        for i in range(count):
            lines += [f"        y = {backend}_kernel{i}{call}"]
            lines += ["        if y is not NotImplemented:", "            return y"]
    statics = [*["*"] * (not op.variadic), *op.statics] if op.statics else []
    given = ", ".join(["xp", inputs, *statics])
    return "\n".join([f"def run({given}):", *_indented([*lines, f"return plain{call}"]), ""])


def _indented(lines: Iterable[str]) -> list[str]:
    return [INDENT + line for line in lines]


def _tuple(parts: Iterable[str]) -> str:
    items = list(parts)
    return f"({', '.join(items)}{',' * (len(items) == 1)})"


# ---- the public signature ------------------------------------------------------------------------


def parameters(op: Op) -> dict[str, Any]:
    """Positional parameters and their defaults (`REQUIRED` for none), in the op's order.

    An axis may be given under PyTorch's name instead, so it and what follows it need a default to
    be absent.
    """
    found: dict[str, Any] = {}
    for name in op.order:
        default = op.statics[name].default if name in op.statics else REQUIRED
        optional = name in op.aliases or any(d is not REQUIRED for d in found.values())
        found[name] = None if default is REQUIRED and optional else default
    return found


def defaults(op: Op) -> tuple[Any, ...]:
    """The defaults themselves, for those whose repr is not source."""
    found = parameters(op).items()
    return tuple([d for name, d in found if d is not REQUIRED and name != op.star])


def signature(op: Op) -> str:
    """Inputs, then statics (or the op's own order), then PyTorch's spellings as keywords."""
    parts = []
    for name, default in parameters(op).items():
        literal = default if isinstance(default, int | float | str | None) else None
        given = name if default is REQUIRED else f"{name}={literal!r}"
        parts.append(f"*{name}" if name == op.star else given)
    aliases = [f"{alias}=None" for _, alias in aliased(op)]
    return ", ".join([*parts, *["*"] * bool(aliases), *aliases])


def aliased(op: Op) -> list[tuple[str, str]]:
    """The static arguments that may be given under PyTorch's name, each with that name."""
    names = [name for name in op.statics if name != op.star]
    return [(name, alias) for name in names for alias in op.aliases.get(name, ())]


def _statics(op: Op, without: str = "") -> str:
    return "".join(f", {name}={name}" for name in op.statics if name != without)


# ---- call: unwrap the inputs, run the forward, record it if somebody needs the gradient ----------


def _normalise(op: Op) -> list[str]:
    """Bring the arguments into one form."""
    lines = []
    for name, alias in aliased(op):
        default = parameters(op)[name]
        lines += [
            f"if {alias} is not None:",
            f"    {name} = one_of({name!r}, {name}, {default!r}, {alias!r}, {alias})",
        ]
        if op.statics[name].default is REQUIRED:
            lines += [f"elif {name} is None:", f"    missing({name!r}, {alias!r})"]
    if op.star:
        lines.append(f"{op.star} = {'sizes' if op.star in op.statics else 'flat'}({op.star})")
    if "hint" in op.statics:
        lines += ["if type(hint) is Sealed:", "    hint = hint.opened_by_forward"]
    if op.reference is not None:
        named = [f"floated({name})" if op.floating else name for name in op.inputs]
        inputs = f"*{op.inputs[0]}" if op.variadic else ", ".join(named)
        lines += [
            "if composed.get():  # mg.unfused()",
            f"    return without_constants(op, op.reference({inputs}{_statics(op, 'hint')}))",
        ]
    return lines


def _arrays(op: Op) -> str:
    """The inputs' arrays, as arguments."""
    return f"*{op.inputs[0]}_" if op.variadic else ", ".join(f"{name}_" for name in op.inputs)


def _parents(op: Op) -> str:
    return f"tuple({op.inputs[0]}_n)" if op.variadic else _tuple(f"{name}_n" for name in op.inputs)


def _unwrap(op: Op, watched: bool) -> list[str]:
    """`x_` is the array or number of x, `x_n` its node.  Without a Tensor the op is its forward."""
    if op.variadic:
        (xs,) = op.inputs
        lines = [f"{xs}_, {xs}_n = each_operand({xs})", f"if {xs}_n is None:  # no Tensor"]
        return [*lines, *_indented(_bare(op, watched))]
    lines = ["# x_ is the array or number of x, x_n its node (None: no gradient wanted)"]
    for i, name in enumerate(op.inputs):
        node = f"{name}.node" if name in op.differentiable else "None"
        lift = f"    {name}_, {name}_n = {name} if type({name}) is float else operand({name}), None"
        lines += [
            f"if isinstance({name}, Tensor):",
            f"    {name}_, {name}_n = {name}.array, {node}",
        ]
        if i:
            lines += ["else:", lift]
            continue
        if op.inputs[1:]:
            others = " or ".join(f"isinstance({other}, Tensor)" for other in op.inputs[1:])
            lines += [f"elif {others}:", lift]
        lines += ["else:  # arrays in, arrays out", *_indented(_bare(op, watched))]
    return lines


def _bare(op: Op, watched: bool) -> list[str]:
    inputs = _arrays(op) if op.variadic else ", ".join(op.inputs)
    known = "" if op.variadic else "".join(f"XP.get(type({name})) or " for name in op.inputs)
    run = f"forward(xp, {inputs}{_statics(op)})"
    lines = [f"xp = {known}space_of({inputs})"]
    if watched:
        lines += ["start = clock()", f"y = without_hint({run})"]
        return [*lines, f"seen(op, ({inputs},), y, clock() - start)", "return y"]
    return [*lines, f"return without_hint({run})" if op.reference is not None else f"return {run}"]


def _unify(op: Op) -> list[str]:
    """Operands of unlike type or dtype meet by the rules in `unify`; the usual cases skip it."""
    if op.variadic:
        return [f"{op.inputs[0]}_ = unify(*{op.inputs[0]}_)"]
    lines = []
    first, *others = op.unified
    # where another input is the Tensor, these may be numbers all, which have no dtype to compare
    numbers = "" if op.unified == op.inputs else f"XP[type({first}_)] is None or "
    arrays = ", ".join(f"{name}_" for name in op.unified)
    for other in others:
        unlike = (
            f"type({other}_) is not type({first}_) or {numbers}{other}_.dtype is not {first}_.dtype"
        )
        lines += [
            f"if {unlike}:",
            f"    if type({other}_) is not float or {first}_n is None:  # else all is floating",
            f"        {arrays} = unify({arrays})",
        ]
    if op.floating:
        nodes = " and ".join(f"{name}_n is None" for name in op.inputs)
        arrays = _tuple(f"{name}_" for name in op.inputs)
        lines += [f"if {nodes}:", f"    {arrays} = floats{arrays}"]
    return lines


def _run(op: Op, watched: bool) -> list[str]:
    space = " or ".join(f"XP[type({name}_)]" for name in op.inputs)
    lines = [
        f"xp = space_of({_arrays(op)})" if op.variadic else f"xp = {space}",
        *["start = clock()"] * watched,
        f"y = forward(xp, {_arrays(op)}{_statics(op)})",
        *["seconds = clock() - start"] * watched,
    ]
    if op.reference is not None:
        lines += [
            "if type(y) is tuple and type(y[-1]) is Hint:",
            "    y, hint = y",
            "else:",
            "    hint = None",
        ]
    return lines


def _record(op: Op, watched: bool) -> list[str]:
    saved = _tuple(_saved(op, name) for name in op.kept)
    tell = f"seen(op, ({_arrays(op)},), t, seconds)"
    lines = [
        "if XP.get(type(y)) is None:",
        "    if type(y) is tuple:",
        f"        t = several(op, y, {saved if op.differentiable else '()'}, {_parents(op)})",
        *[f"        {tell}"] * watched,
        "        return t",
        "    y = outcome(op, y)",
    ]
    if op.differentiable:
        lines += [
            "node = None",
            f"if ({_needed(op)}) and recording.get():",
            "    node = new(Node)",
            "    node.id, node.op = tick(), op",
            f"    node.parents = {_parents(op)}",
            f"    node.saved = {saved}",
            "    node.shape, node.dtype = y.shape, y.dtype",
        ]
    node = "node" if op.differentiable else "None"
    lines += ["t = new(Tensor)", f"t.array, t.node, t.grad = y, {node}, None"]
    return [*lines, *[tell] * watched, "return t"]


def _needed(op: Op) -> str:
    """Whether somebody wants a gradient."""
    if op.variadic:
        return f"any({op.inputs[0]}_n)"
    return " or ".join(f"{name}_n is not None" for name in op.differentiable)


def _saved(op: Op, name: str) -> str:
    """What is kept for a name: an input only if a rule that asks for it will run."""
    if name == "in_shapes":
        if op.variadic:
            return f"tuple(map(shape_of, {op.inputs[0]}_))"
        return _tuple(f"shape_of({each}_)" for each in op.inputs)
    if name not in op.inputs:
        return name
    if op.variadic:
        return f"tuple({name}_)"
    if op.joint is not None or len(op.inputs) == 1:
        return f"{name}_"
    askers = [each for each, asked in zip(op.inputs, op.asked, strict=True) if name in asked]
    needed = " or ".join(f"{each}_n is not None" for each in askers)
    return f"{name}_ if {needed} else None"


# ---- pull: from the cotangent of the output, those of the inputs that need one -------------------


def _pull(op: Op) -> list[str]:
    lines = [] if op.variadic else [f"{_parents(op)} = parents"]
    if op.kept:
        lines.append(f"{_tuple(op.kept)} = saved")
    if op.joint is not None:
        if "needs" in op.asked[0]:
            lines.append("needs = tuple([parent is not None for parent in parents])")
        return [*lines, f"return rule0({', '.join(op.asked[0])})"]
    calls = []
    for i, (name, asked) in enumerate(zip(op.inputs, op.asked, strict=True)):
        needed = f" if {name}_n is not None else None" if len(op.inputs) > 1 else ""
        run = f"rule{i}({', '.join(asked)}){needed}"
        calls.append(run if name in op.differentiable else "None")
    return [*lines, f"return {_tuple(calls)}"]
