"""What one fault can be: the changes of one expression of a function's source (see mutate.py)."""

from __future__ import annotations

import ast
import copy

OPPOSITE = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult,
    ast.Lt: ast.Gt, ast.Gt: ast.Lt, ast.LtE: ast.Lt, ast.GtE: ast.Gt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
    ast.And: ast.Or, ast.Or: ast.And, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip
CONVERSIONS = {"tuple", "list", "int", "bool", "float", "dtype", "slice", "range", "zip"}
OPAQUE = {"isinstance", "getattr"}  # whether it is a Tensor, a number, or an array: no arithmetic
SYMMETRIC = {"logical_and", "logical_or", "eq", "ne", "max", "min"}
UNSIGNED = ast.Constant | ast.Compare | ast.BoolOp | ast.ListComp | ast.Starred
SILENT = (ast.Raise, ast.Assert, ast.JoinedStr, ast.arguments, ast.Import, ast.ImportFrom)


def alternatives(node):
    """What a fault may put in the place of an expression or statement."""
    match node:
        case ast.BinOp():
            yield from of_operator(node)
        case ast.AugAssign() if type(node.op) in OPPOSITE:
            yield changed(node, op=OPPOSITE[type(node.op)]())
        case ast.UnaryOp():
            yield node.operand
        case ast.Constant():
            yield from of_constant(node)
        case ast.Compare(ops=[op]):
            yield changed(node, ops=[OPPOSITE[type(op)]()])
            if isinstance(op, ast.Lt | ast.Gt):
                yield changed(node, ops=[ast.LtE() if isinstance(op, ast.Lt) else ast.GtE()])
        case ast.BoolOp():
            yield from node.values
            yield changed(node, op=OPPOSITE[type(node.op)]())
        case ast.IfExp():
            yield from (node.body, node.orelse)
        case ast.If():
            yield from (changed(node, test=ast.Constant(value)) for value in (True, False))
        case ast.comprehension() if node.ifs:
            yield changed(node, ifs=[])
        case ast.Attribute(value=value, attr="T" | "mT"):
            yield value
        case ast.Call():
            yield from of_call(node)
        case ast.Name(id="g", ctx=ast.Load()):
            yield ast.BinOp(ast.Constant(2), ast.Mult(), node)
        case ast.Return() if node.value is not None:
            yield from (changed(node, value=each) for each in of_result(node.value))


def of_operator(node):
    """Without the left or the right operand; the opposite operation; the operands swapped."""
    yield node.left
    drops_sign = isinstance(node.op, ast.Sub)
    yield ast.UnaryOp(ast.USub(), node.right) if drops_sign else node.right
    if type(node.op) in OPPOSITE:
        yield changed(node, op=OPPOSITE[type(node.op)]())
    if isinstance(node.op, ast.Div):
        yield ast.BinOp(ast.Constant(1), ast.Div(), node.right)
    if not isinstance(node.op, ast.Add | ast.Mult):
        yield changed(node, left=node.right, right=node.left)


def of_constant(node):
    """The other truth value; a number that is one more, one less, or twice as large."""
    match node.value:
        case bool(value):
            yield ast.Constant(not value)
        case int(n):
            yield from (ast.Constant(m) for m in (n + 1, n - 1) if m >= 0)
        case float(x):
            yield ast.Constant(2 * x if x else 1.0)


def of_call(node):
    """Arguments swapped or left out; the first argument instead of the call."""
    name, args = name_of(node), node.args
    plain = not any(isinstance(a, ast.Starred) for a in args)
    if name in CONVERSIONS or not plain:
        return
    for i in range(len(args) - 1 if name not in SYMMETRIC else 0):
        yield changed(node, args=[*args[:i], args[i + 1], args[i], *args[i + 2 :]])
    if len(args) > 1:
        yield changed(node, args=args[:-1])
    for keyword in node.keywords:
        if not is_silent(keyword):
            yield changed(node, keywords=[k for k in node.keywords if k is not keyword])
    if args:
        yield args[0]


def of_result(value):
    """Another sign; of several results, one's other sign, and neighbours swapped."""
    if isinstance(value, ast.Tuple | ast.List):
        for i, part in enumerate(value.elts):
            elts = [*value.elts[:i], *of_result(part), *value.elts[i + 1 :]]
            yield from [changed(value, elts=elts)] * (len(elts) == len(value.elts))
        for i in range(len(value.elts) - 1):
            elts = [*value.elts[:i], *value.elts[i : i + 2][::-1], *value.elts[i + 2 :]]
            yield changed(value, elts=elts)
    elif not isinstance(
        value, ast.Constant | ast.Compare | ast.BoolOp | ast.ListComp | ast.Starred
    ):
        yield ast.UnaryOp(ast.USub(), value)


def of_joint(value, inputs):
    """No gradient for one of the inputs; two neighbours' gradients swapped."""
    for i in range(inputs):
        where = f"[None if i == {i} else each for i, each in enumerate(_)]"
        yield filled(where, value)
    for i in range(inputs - 1):
        yield filled(f"(lambda r: [*r[:{i}], r[{i} + 1], r[{i}], *r[{i} + 2:]])(list(_))", value)


def filled(template, value):
    """The template, with an expression in the place of `_`."""
    tree = ast.parse(template, mode="eval").body
    place = next(n for n in ast.walk(tree) if isinstance(n, ast.Name) and n.id == "_")
    return replaced(tree, place, value)


def changed(node, **fields):
    """A copy of a node with other fields."""
    new = copy.copy(node)
    for name, value in fields.items():
        setattr(new, name, value)
    return new


def replaced(tree, old, new):
    """The tree with one node replaced; it shares the others."""
    if tree is old:
        return new
    twin = copy.copy(tree)
    for name, value in ast.iter_fields(tree):
        if isinstance(value, ast.AST):
            setattr(twin, name, replaced(value, old, new))
        elif isinstance(value, list):
            parts = [replaced(v, old, new) if isinstance(v, ast.AST) else v for v in value]
            setattr(twin, name, parts)
    return twin


def spots(tree, around=None):
    """The nodes in which a fault can be planted, each with what it stands in."""
    signed = isinstance(tree, ast.UnaryOp) and isinstance(around, ast.expr)
    around = around if signed else tree  # what a number stands in, not its sign
    for child in ast.iter_child_nodes(tree):
        if not is_silent(child):
            yield child, around
            yield from spots(child, around)


def described(old, new, around):
    """A fault in words: what was, and what is; what is small is shown with what it stands in."""
    if isinstance(old, ast.Constant | ast.Name | ast.UnaryOp) and isinstance(around, ast.expr):
        old, new = around, replaced(around, old, new)
    return " → ".join(ast.unparse(each).splitlines()[0] for each in (old, new))


def is_silent(node):
    """Whether a node only refuses, explains, or asks for a type."""
    match node:
        case ast.Expr(value=ast.Constant()) | ast.keyword(arg="strict"):
            return True
        case ast.Call():
            return name_of(node) in OPAQUE
    return isinstance(node, SILENT)


def name_of(call):
    """The name of the function or method that is called."""
    return getattr(call.func, "id", getattr(call.func, "attr", ""))
