"""Writes an op's `call` and `pull` as straight-line Python: all that can be known of an op is
settled once, here.

A loop over inputs and rules at every call would cost a third of a small training step.  What is
written can be read:
`print(mg.mul.op.source)`; tracebacks and debuggers show it too.

In the text, `x` is the input as it came, `x_` its array (or number), `x_n` its node (None: no
gradient wanted).
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .op import Op

REQUIRED = inspect.Parameter.empty
ALIASES = {"axis": "dim", "keepdims": "keepdim"}  # NumPy's keyword -> PyTorch's, accepted as well


def source(op: Op) -> str:
    """The text of the two functions."""
    return "\n".join([*_call(op), "", *_pull(op), ""])


def _call(op: Op) -> list[str]:
    """`call`: unwrap the inputs, run the forward, record it if somebody needs the gradient."""
    arrays = "".join(f"{name}_, " for name in op.inputs)
    statics = "".join(f", {name}={name}" for name in op.statics)
    run = f"forward(xp, {arrays.rstrip(', ')}{statics})"
    body = [*_normalise(op), *_unwrap(op), *_meet(op)]
    body += [
        "xp = " + " or ".join(f"XP[type({name}_)]" for name in op.inputs),
        "try:",
        f"    y = {run}",
        "except Exception as error:",
        f"    reraise(op, error, ({arrays}))",
    ]
    if op.reference is not None:
        body += ["if type(y) is tuple and type(y[-1]) is Hint: y, hint = y", "else: hint = None"]
    return [f"def {op.name}({signature(op)}):", *("    " + line for line in body + _record(op))]


def parameters(op: Op) -> dict[str, Any]:
    """The public function's positional parameters and their defaults (`REQUIRED` for none), in the
    op's order.

    An axis may be given under PyTorch's name instead, so it and what follows it need a default to
    be absent.
    """
    found: dict[str, Any] = {}
    for name in op.order:
        default = op.statics[name].default if name in op.statics else REQUIRED
        optional = name in ALIASES or any(d is not REQUIRED for d in found.values())
        found[name] = None if default is REQUIRED and optional else default
    return found


def defaults(op: Op) -> tuple[Any, ...]:
    """The defaults of the public function, which may have no source form."""
    found = parameters(op).items()
    return tuple([d for name, d in found if d is not REQUIRED and name != op.star])


def signature(op: Op) -> str:
    """Inputs, then statics (or the op's own order), then PyTorch's spellings as keywords."""
    parts = [
        f"*{n}" if n == op.star else n if default is REQUIRED else f"{n}=None"
        for n, default in parameters(op).items()
    ]
    aliases = [
        f"{ALIASES[name]}=None" for name in op.statics if name in ALIASES and name != op.star
    ]
    return ", ".join(parts + (["*"] if aliases and not op.star else []) + aliases)


def _normalise(op: Op) -> list[str]:
    lines = [
        f"if {ALIASES[n]} is not None: {n} = {ALIASES[n]}"
        for n in op.statics
        if n in ALIASES and n != op.star
    ]
    if op.star:
        lines.append(f"{op.star} = unpacked({op.star})")
    if "hint" in op.statics:
        lines.append("if type(hint) is Sealed: hint = hint.opened_by_forward")
    if op.reference is not None:
        statics = "".join(f", {name}={name}" for name in op.statics if name != "hint")
        lines.append(
            f"if composed.get(): return plain(op, op.reference({', '.join(op.inputs)}{statics}))"
        )
    return lines


def _unwrap(op: Op) -> list[str]:
    """Arrays and nodes of the inputs.  Without any Tensor the op is its forward: arrays in, arrays
    out.
    """
    lines = []
    first, *others = op.inputs
    statics = "".join(f", {name}={name}" for name in op.statics)
    inputs = ", ".join(op.inputs)
    space = " or ".join(f"XP.get(type({name}))" for name in op.inputs)
    run = f"forward({space} or space_of({inputs}), {inputs}{statics})"
    bare = f"return unhinted({run})" if op.reference is not None else f"return {run}"
    for name in op.inputs:
        node = f"{name}.node" if name in op.tracked else "None"
        lines.append(f"if isinstance({name}, Tensor): {name}_ = {name}.array; {name}_n = {node}")
        lift = f"{name}_ = {name} if type({name}) is float else operand({name}); {name}_n = None"
        if name == first and not others:
            lines.append(f"else: {bare}")
        elif name == first:
            lines.append(
                f"elif {' or '.join(f'isinstance({other}, Tensor)' for other in others)}: {lift}"
            )
            lines.append(f"else: {bare}")
        else:
            lines.append(f"else: {lift}")
    return lines


def _meet(op: Op) -> list[str]:
    """Operands of different types or dtypes meet by the rules of dtypes (`unify`); the usual cases
    skip that call.
    """
    lines = []
    first, *others = op.meeting
    if others:
        # else one of them is an array
        numbers = "" if op.meeting == op.inputs else f"XP[type({first}_)] is None or "
        differ = [
            f"(type({o}_) is not type({first}_) or {numbers}{o}_.dtype is not {first}_.dtype) "
            f"and (type({o}_) is not float or {first}_n is None)"
            for o in others
        ]
        arrays = ", ".join(f"{name}_" for name in op.meeting)
        lines.append(f"if {' or '.join(differ)}: {arrays} = unify({arrays})")
    if op.floating:
        untracked = " and ".join(f"{name}_n is None" for name in op.inputs)
        arrays = ", ".join(f"{name}_" for name in op.inputs)
        lines.append(f"if {untracked}: {arrays}, = floats({arrays})")
    return lines


def _record(op: Op) -> list[str]:
    saved = "(" + "".join(f"{_saved(op, name)}, " for name in op.names) + ")"
    parents = "(" + "".join(f"{name}_n, " for name in op.inputs) + ")"
    needed = " or ".join(f"{name}_n is not None" for name in op.inputs if name in op.tracked)
    lines = [
        "if type(y) not in XP:",
        f"    if type(y) is tuple: return several(op, y, {saved if op.tracked else '()'}, "
        f"{parents})",
        "    y = xp.asarray(y)",
    ]
    if op.tracked:
        lines += [
            f"if ({needed}) and recording.get():",
            f"    node = new(Node); node.id = tick(); node.op = op; node.parents = {parents}",
            f"    node.saved = {saved}; node.shape = y.shape; node.dtype = y.dtype",
            "else: node = None",
        ]
    node = "node" if op.tracked else "None"
    return [*lines, f"t = new(Tensor); t.array = y; t.node = {node}; t.grad = None", "return t"]


def _saved(op: Op, name: str) -> str:
    """What is kept for a name: an input only if a rule that asks for it will run."""
    if name == "in_shapes":
        return "(" + "".join(f"shape_of({each}_), " for each in op.inputs) + ")"
    if name not in op.inputs:
        return name
    if op.joint is not None or len(op.inputs) == 1:
        return f"{name}_"
    askers = [
        f"{each}_n is not None"
        for each, asked in zip(op.inputs, op.asks, strict=True)
        if name in asked
    ]
    return f"({name}_ if {' or '.join(askers)} else None)"


def _pull(op: Op) -> list[str]:
    """`pull`: from the cotangent of the output, those of the inputs that need one."""
    lines = [
        "def pull(g, saved, parents):",
        "    " + "".join(f"{n}_n, " for n in op.inputs) + "= parents",
    ]
    if op.names:
        lines.append("    " + "".join(f"{name}, " for name in op.names) + "= saved")
    if op.joint is not None:
        if "needs" in op.asks[0]:
            lines.append("    needs = " + "".join(f"{name}_n is not None, " for name in op.inputs))
        return [*lines, f"    return rule0({', '.join(op.asks[0])})"]
    calls = [
        f"rule{i}({', '.join(asked)})"
        + (f" if {name}_n is not None else None" if len(op.inputs) > 1 else "")
        if name in op.tracked
        else "None"
        for i, (name, asked) in enumerate(zip(op.inputs, op.asks, strict=True))
    ]
    return [*lines, f"    return ({', '.join(calls)},)"]
