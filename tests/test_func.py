"""Transforms of functions: laws, against torch.func and against numeric derivatives."""

import importlib.util
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad import func
from minigrad.errors import DTypeError, OutOfRangeError, ShapeError
from minigrad.op import op, registry
from minigrad.testing import assert_close, check_grads

needs_torch = pytest.mark.skipif(not importlib.util.find_spec("torch"), reason="needs PyTorch")
# PyTorch's own: its forward mode compiles its rules with torch.jit.script
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.script:DeprecationWarning")


def values(*shape, seed=1):
    return np.random.default_rng(seed).uniform(0.5, 1.5, shape)


def tensor(*shape, seed=1, requires_grad=False):
    return mg.tensor(values(*shape, seed=seed), requires_grad=requires_grad)


# Written with what both libraries have, so that one function serves as its own oracle.
SCALAR = {
    "cubes": lambda x, w: (x**3 * w).sum(),
    "matmul": lambda x, w: ((x @ w).tanh() ** 2).sum(),
    "exp": lambda x, w: (x.exp() * w.sum()).sum() / (x * x).sum(),
    "linear": lambda x, w: (x * w).sum() + x.sum(),
    "one argument only": lambda x, w: x.sin().sum(),
    "neither": lambda x, w: (x - x).sum() * 0,
}
VECTOR = {
    "elementwise": lambda x, w: x.sin() * w,
    "matmul": lambda x, w: (x @ w).tanh(),
    "pair": lambda x, w: (x * w, (x * x).sum()),
    "dict": lambda x, w: {"a": (x @ w).exp(), "b": [x.sum(0) * 2]},
    "one argument only": lambda x, w: x.exp(),
}
ARGNUMS = [0, 1, -1, (0,), (0, 1), (1, 0)]
SHAPES = [(2, 2), (2, 2)]


def arrays(count=2):
    return [values(*SHAPES[i], seed=i + 1) for i in range(count)]


def assert_same(ours, theirs, what=""):
    """Equal structures of equal tensors."""
    if isinstance(theirs, dict):
        assert ours.keys() == theirs.keys(), what
        for key in theirs:
            assert_same(ours[key], theirs[key], f"{what}[{key!r}]")
    elif isinstance(theirs, tuple | list):
        assert type(ours) is type(theirs), what
        assert len(ours) == len(theirs), what
        for i, pair in enumerate(zip(ours, theirs, strict=True)):
            assert_same(*pair, f"{what}[{i}]")
    else:
        expected = theirs if isinstance(theirs, mg.Tensor) else theirs.detach().numpy()
        assert_close(ours, expected, size=64, what=what)


def in_both(run):
    """run(transforms, make tensors) here and in PyTorch."""
    import torch

    assert_same(run(func, mg.tensor), run(torch.func, torch.tensor))


# ---- against PyTorch -----------------------------------------------------------------------------


@needs_torch
@pytest.mark.parametrize("argnums", ARGNUMS, ids=str)
@pytest.mark.parametrize("f", SCALAR.values(), ids=SCALAR)
def test_grad_equals_torch(f, argnums):
    in_both(lambda lib, tensor: lib.grad(f, argnums)(*map(tensor, arrays())))


@needs_torch
@pytest.mark.parametrize("f", SCALAR.values(), ids=SCALAR)
def test_value_and_grad_equals_torch_in_the_other_order(f):
    import torch

    gradient, value = torch.func.grad_and_value(f, (0, 1))(*map(torch.tensor, arrays()))
    assert_same(func.value_and_grad(f, (0, 1))(*map(mg.tensor, arrays())), (value, gradient))


@needs_torch
@pytest.mark.parametrize("argnums", ARGNUMS, ids=str)
@pytest.mark.parametrize("f", VECTOR.values(), ids=VECTOR)
def test_jacobian_equals_torch(f, argnums):
    import torch

    theirs = torch.func.jacrev(f, argnums)(*map(torch.tensor, arrays()))
    assert_same(func.jacobian(f, argnums)(*map(mg.tensor, arrays())), theirs)


@needs_torch
@pytest.mark.parametrize("argnums", [0, (0, 1)], ids=str)
@pytest.mark.parametrize("f", [*SCALAR.values(), VECTOR["elementwise"]])
def test_hessian_equals_torch(f, argnums):
    in_both(lambda lib, tensor: lib.hessian(f, argnums)(*map(tensor, arrays())))


@needs_torch
@pytest.mark.parametrize("f", VECTOR.values(), ids=VECTOR)
def test_vjp_and_jvp_equal_torch(f):
    def run(lib, tensor):
        xs = tuple(map(tensor, arrays()))
        output, pullback = lib.vjp(f, *xs)
        pushed = lib.jvp(f, xs, tuple(x.cos() for x in xs))
        return output, pullback(output), pullback(output), *pushed

    in_both(run)


@needs_torch
def test_aux_stands_where_torch_has_it():
    def f(x):
        return (x * x).sum(), {"double": x * 2}

    def run(lib, tensor):
        x = tensor(arrays()[0])
        output, pullback, aux = lib.vjp(f, x, has_aux=True)
        return lib.grad(f, has_aux=True)(x), output, pullback(output), aux

    in_both(run)
    in_both(
        lambda lib, tensor: lib.jvp(
            f, (tensor(arrays()[0]),) * 1, (tensor(arrays()[1]),) * 1, has_aux=True
        )
    )


@needs_torch
@pytest.mark.parametrize("f", SCALAR.values(), ids=SCALAR)
def test_hvp_equals_torch(f):
    import torch

    xs, vs = ([make(a) for a in arrays()] for make in (mg.tensor, lambda a: mg.tensor(a).cos()))
    theirs = torch.autograd.functional.hvp(
        f, tuple(map(torch.tensor, arrays())), tuple(torch.tensor(v.numpy()) for v in vs)
    )
    assert_same(func.hvp(f, tuple(xs), tuple(vs)), theirs)


@needs_torch
def test_arguments_in_structures_equal_torch():
    def f(p, x):
        return (p["layers"][0] @ x * p["layers"][1][0]).tanh().sum() + p["b"] * 2

    def run(lib, tensor):
        a, b = map(tensor, arrays())
        p = {"layers": [a, (b, a)], "b": a.sum()}
        return lib.grad(f)(p, b), lib.grad(f, argnums=(1, 0))(p, b)

    in_both(run)


# ---- against numeric derivatives, nested to any order --------------------------------------------


@pytest.mark.parametrize("f", SCALAR.values(), ids=SCALAR)
def test_grad_is_differentiable_inside_recorded_code(f):
    check_grads(func.grad(f, (0, 1)), [mg.tensor(a) for a in arrays()], order=2)


@pytest.mark.parametrize("f", [VECTOR["elementwise"], VECTOR["matmul"]])
def test_jacobian_and_pushes_are_differentiable_inside_recorded_code(f):
    x, w = map(mg.tensor, arrays())
    check_grads(lambda x, w: func.jacobian(f, (0, 1))(x, w), [x, w], order=2)
    check_grads(lambda x, w, v: func.jvp(f, (x, w), (v, x)), [x, w, tensor(2, 2, seed=5)], order=2)
    check_grads(lambda x, w, u: func.vjp(f, x, w)[1](u), [x, w, tensor(2, 2, seed=6)], order=2)
    loss = lambda x, w: (f(x, w) ** 2).sum()  # noqa: E731
    check_grads(lambda x, w, v: func.hvp(loss, (x, w), (v, w)), [x, w, x], order=2)


def test_a_tower_of_grads_is_the_nth_derivative():
    f, x = mg.sin, mg.tensor(0.7, dtype=mg.float64)
    for order in range(1, 6):
        f = func.grad(f)
        assert_close(f(x), np.sin(0.7 + order * np.pi / 2), size=order)
        assert not f(x).requires_grad


def test_a_tower_of_pushes_is_the_nth_derivative():
    def derivative(f):
        return lambda x: func.jvp(f, (x,), (mg.ones_like(x),))[1]

    f, x = mg.exp, tensor(3)
    for order in range(1, 4):
        f = derivative(f)
        assert_close(f(x), x.exp(), size=order)


def test_mixed_nesting_agrees():
    def f(x):
        return (x.sin() * x.sum()).sum()

    x = tensor(3)
    direct = func.hessian(f)(x)
    assert_close(func.jacobian(func.grad(f))(x), direct, size=9)
    for i, unit in enumerate(mg.eye(3, dtype=mg.float64)):
        assert_close(func.jvp(func.grad(f), (x,), (unit,))[1], direct[i], size=9)
        assert_close(func.grad(lambda x, u=unit: func.jvp(f, (x,), (u,))[1])(x), direct[i], size=9)


def test_perturbations_are_not_confused():
    """d/dx [x · d/dy (x + y)] = 1: the classical trap (Siskind and Pearlmutter, 2005)."""
    d = func.grad
    x = mg.tensor(1.0)
    assert d(lambda x: x * d(lambda y: x + y)(mg.tensor(1.0)))(x).item() == 1
    assert d(lambda x: x * d(lambda y: x * y)(x))(x * 3).item() == 6  # the derivative of x²


# ---- linear algebra of derivatives ---------------------------------------------------------------

seeds = st.integers(0, 2**32 - 1)
maps = st.sampled_from([f for name, f in VECTOR.items() if name not in ("pair", "dict")])


def draws(seed, count):
    rng = np.random.default_rng(seed)
    return [mg.tensor(rng.uniform(-1.5, 1.5, (2, 2))) for _ in range(count)]


@given(maps, seeds)
def test_push_and_pull_are_adjoint(f, seed):
    x, w, v, u, c = draws(seed, 5)
    _, pushed = func.jvp(f, (x, w), (v, u))
    pulled = func.vjp(f, x, w)[1](c)
    inner = (pulled[0] * v).sum() + (pulled[1] * u).sum()
    scale = 1 + abs((c * pushed).numpy()).sum()
    assert_close((c * pushed).sum() / scale + 1, inner / scale + 1, size=64)


@given(maps, seeds, st.floats(-3, 3), st.floats(-3, 3))
def test_the_push_is_linear(f, seed, a, b):
    x, w, v1, u1, v2, u2 = draws(seed, 6)

    def push(v, u):
        return func.jvp(f, (x, w), (v, u))[1]

    sum_of_pushes = a * push(v1, u1) + b * push(v2, u2)
    scale = 1 + abs(sum_of_pushes.numpy()).max()
    difference = push(a * v1 + b * v2, a * u1 + b * u2) - sum_of_pushes
    assert_close(1 + difference / scale, mg.ones(2, 2, dtype=mg.float64), size=64)


@given(st.sampled_from(list(SCALAR.values())), seeds)
def test_the_hessian_is_symmetric_and_hvp_is_its_product(f, seed):
    x, w, v, u = (t.abs() + 0.5 for t in draws(seed, 4))
    (xx, xw), (wx, ww) = (
        [h.reshape(4, 4) for h in row] for row in func.hessian(f, argnums=(0, 1))(x, w)
    )
    h = np.block([[xx.numpy(), xw.numpy()], [wx.numpy(), ww.numpy()]])
    assert_close(h, h.T, size=64)
    value, products = func.hvp(f, (x, w), (v, u))
    flat = np.concatenate([v.numpy().ravel(), u.numpy().ravel()])
    assert_close(value, f(x, w), size=8)
    assert_close(np.concatenate([p.numpy().ravel() for p in products]), h @ flat, size=64)


def test_the_jacobian_has_the_shape_of_output_and_input():
    j = func.jacobian(lambda x: x.sum(0).exp())(tensor(2, 3, 4))
    assert j.shape == (3, 4, 2, 3, 4)
    assert func.jacobian(lambda x: x[:0])(tensor(2, 3)).shape == (0, 3, 2, 3)
    assert func.hessian(lambda x: x[:0] ** 2)(tensor(2)).shape == (0, 2, 2)


@pytest.fixture
def root():
    """√ with a rule that pulls 0 back to 0 where its slope is infinite: E40."""
    before = dict(registry)

    @op(lambda g, y: mg.where((g == 0) & (y == 0), 0.0, g * 0.5 / y), method=False)
    def t_root(xp, x):
        return xp.sqrt(x)

    with np.errstate(divide="ignore", invalid="ignore"):
        yield t_root
    registry.clear()
    registry.update(before)


@pytest.mark.pitfall("E40")
def test_the_push_holds_where_rules_look_at_zeros(root):
    x = mg.tensor([0.0, 4.0], dtype=mg.float64)
    one = mg.ones_like(x)
    assert func.jvp(root, (x,), (one,))[1].tolist() == [np.inf, 0.25]
    assert func.jacobian(root)(x).tolist() == [[np.inf, 0.0], [0.0, 0.25]]


@pytest.mark.pitfall("E40")
def test_cotangents_inside_the_push_do_not_cancel_by_accident(root):
    """The sum of the outputs' cotangents is that of √x, which all alike would be 0 here."""
    x = mg.tensor([0.0, 4.0], dtype=mg.float64)
    signs = mg.tensor([[1.0], [-2.0], [1.0]], dtype=mg.float64)
    pushed = func.jvp(lambda x: root(x) * signs, (x,), (mg.ones_like(x),))[1]
    assert pushed.tolist() == [[np.inf, 0.25], [-np.inf, -0.5], [np.inf, 0.25]]


# ---- who sees the graph --------------------------------------------------------------------------


def everything(f, x):
    """The results of every transform that is given x."""
    value, gradient = func.value_and_grad(f)(x)
    output, pullback = func.vjp(f, x)
    results = [value, gradient, output, *pullback(mg.ones_like(output))]
    results += func.jvp(f, (x,), (mg.ones_like(x),))
    return [*results, func.jacobian(f)(x), func.hessian(f)(x), *func.hvp(f, x, mg.ones_like(x))]


def test_results_carry_no_graph_if_nobody_outside_asks():
    assert not any(t.requires_grad for t in everything(lambda x: (x**3).sum(), tensor(3)))


def test_results_carry_a_graph_if_an_argument_requires_grad():
    x = tensor(3, requires_grad=True)
    assert all(t.requires_grad for t in everything(lambda x: (x**4).sum(), x))
    assert x.grad is None


def test_results_carry_a_graph_if_what_f_closes_over_requires_grad():
    w, x = tensor(3, seed=2, requires_grad=True), tensor(3)
    results = everything(lambda x: (w * x**3).sum(), x)
    assert all(t.requires_grad for t in results)
    (g,) = mg.grad(results[1].sum(), w)
    assert_close(g, 3 * x**2, size=4)


def test_results_carry_a_graph_if_a_tangent_or_a_cotangent_requires_grad():
    x, v = tensor(3), tensor(3, seed=2, requires_grad=True)
    for push in (
        lambda v: func.jvp(mg.exp, (x,), (v,))[1],
        lambda v: func.vjp(mg.exp, x)[1](v)[0],
        lambda v: func.hvp(lambda x: x.exp().sum(), x, v)[1],
    ):
        (g,) = mg.grad(push(v).sum(), v)
        assert_close(g, x.exp())


def test_an_output_from_outside_keeps_its_graph():
    w, x = tensor(3, requires_grad=True), tensor(3)
    h = w.exp()
    (_, passed), _ = func.vjp(lambda x: (x * 2, h), x)
    assert passed.requires_grad
    assert func.grad(lambda x: (x.sum(), w * x), has_aux=True)(x)[1].requires_grad


def test_aux_carries_a_graph_only_if_somebody_asks():
    def f(x):
        return (x * x).sum(), [x * 2, "text"]

    for transform in (func.grad(f, has_aux=True), func.jacobian(f, has_aux=True)):
        assert not transform(tensor(3))[1][0].requires_grad
        assert transform(tensor(3, requires_grad=True))[1][0].requires_grad


def test_transforms_record_inside_no_grad_and_results_carry_no_graph():
    def f(x):
        return (x**3).sum()

    x = tensor(3, requires_grad=True)
    outside = everything(f, x)
    with mg.no_grad():
        inside = everything(f, x)
        assert_close(func.grad(lambda x: func.grad(f)(x).sum())(x), 6 * x, size=8)
        closed_over = everything(lambda y: (x * y**3).sum(), tensor(3))
    assert not any(t.requires_grad for t in [*inside, *closed_over])
    for a, b in zip(inside, outside, strict=True):
        assert a.tolist() == b.tolist()


def test_no_grad_inside_f_is_respected():
    def f(x):
        with mg.no_grad():
            factor = x * 2
        return (factor * x).sum()

    assert_close(func.grad(f)(tensor(3)), 2 * tensor(3))


def test_a_graph_outside_stays_whole_and_nobodys_grad_is_touched():
    w = tensor(3, requires_grad=True)
    hidden = w.exp()
    with mg.no_grad():
        func.grad(lambda x: (hidden * x).sum())(tensor(3))
    func.grad(lambda x: (hidden * x).sum())(tensor(3))
    assert w.grad is None
    hidden.sum().backward()
    assert_close(w.grad, w.exp())


def test_one_tensor_given_twice_is_two_arguments():
    x = tensor(3, requires_grad=True)
    first, second = func.grad(lambda a, b: (a * a * b).sum(), argnums=(0, 1))(x, x)
    assert_close(first, 2 * x * x, size=4)
    assert_close(second, x * x, size=4)


def test_f_may_assign_to_its_argument():
    def f(x):
        x *= x
        return x.sum()

    x = tensor(3, requires_grad=True)
    y = x * 1.0
    assert_close(func.grad(f)(y), 2 * x)
    assert y.tolist() == x.tolist()


def test_named_tuples_stay_and_keywords_are_passed_on():
    class Point(NamedTuple):
        x: mg.Tensor
        y: mg.Tensor

    p = Point(tensor(2), tensor(2, seed=2))
    found = func.grad(lambda p, *, scale: (p.x * p.y * scale).sum())(p, scale=3.0)
    assert isinstance(found, Point)
    assert_close(found.x, 3 * p.y)


def test_an_exception_inside_f_leaves_everything_as_it_was():
    def broken(x):
        raise KeyError("inside")

    with mg.no_grad(), pytest.raises(KeyError):
        func.grad(broken)(tensor(3))
    assert mg.is_grad_enabled()
    assert_close(func.grad(lambda x: (x * x).sum())(tensor(3)), 2 * tensor(3))


# ---- bad input -----------------------------------------------------------------------------------

X = tensor(3)
BAD = {
    "vector to grad": (lambda: func.grad(mg.exp)(X), ShapeError, r"\(3,\).*jacobian"),
    "no tensor": (lambda: func.grad(lambda x: 1.0)(X), DTypeError, "float"),
    "a pair": (lambda: func.grad(lambda x: (x.sum(), x))(X), DTypeError, "has_aux"),
    "no pair": (lambda: func.grad(mg.sum, has_aux=True)(X), DTypeError, r"\(output, anything\)"),
    "integer output": (lambda: func.grad(lambda x: (x > 0).sum())(X), DTypeError, "int64"),
    "no tensor, vjp": (lambda: func.vjp(lambda x: None, X), DTypeError, "NoneType"),
    "argnums too large": (lambda: func.grad(mg.sum, argnums=1)(X), OutOfRangeError, "argnums=1"),
    "argnums too small": (lambda: func.jacobian(mg.exp, argnums=-2)(X), OutOfRangeError, "-2"),
    "argnums of kwargs": (lambda: func.grad(mg.sum)(x=X), OutOfRangeError, "0 positional"),
    "argnums twice": (lambda: func.grad(mg.sum, argnums=(0, -1))(X), ShapeError, "twice"),
    "argnums a list": (lambda: func.grad(mg.sum, argnums=[0])(X), DTypeError, "tuple"),
    "integer primal": (lambda: func.grad(mg.sum)(mg.arange(3)), DTypeError, r"int64.*\.float\(\)"),
    "number primal": (lambda: func.grad(mg.sum)(1.0), DTypeError, r"float.*mg\.tensor"),
    "tensor for f": (lambda: func.grad(X, X), DTypeError, r"mg\.grad"),
    "tensor for f, jvp": (lambda: func.jvp(X, (X,), (X,)), DTypeError, r"mg\.grad"),
    "primals a list": (lambda: func.jvp(mg.exp, [X], [X]), DTypeError, r"\(x,\)"),
    "tangent shape": (lambda: func.jvp(mg.exp, (X,), (X[:2],)), ShapeError, r"\(2,\).*\(3,\)"),
    "tangent count": (lambda: func.jvp(mg.exp, (X,), (X, X)), ShapeError, "length 2.*length 1"),
    "tangent keys": (
        lambda: func.jvp(lambda p: p["a"], ({"a": X},), ({"b": X},)),
        ShapeError,
        r"\['b'\].*\['a'\]",
    ),
    "tangent integers": (lambda: func.hvp(mg.sum, X, mg.arange(3)), DTypeError, "tangent is int"),
    "tangent number": (lambda: func.hvp(mg.sum, X, 1.0), DTypeError, "tangent is a float"),
    "cotangent shape": (lambda: func.vjp(mg.exp, X)[1](X[:2]), ShapeError, r"\(2,\).*\(3,\)"),
    "cotangent count": (lambda: func.vjp(lambda x: (x, x), X)[1]((X,)), ShapeError, "length"),
    "hvp of a vector": (lambda: func.hvp(mg.exp, X, X), ShapeError, "single number"),
}


@pytest.mark.parametrize(("call", "kind", "message"), BAD.values(), ids=BAD)
def test_bad_input_says_what_was_given_and_what_to_type(call, kind, message):
    with pytest.raises(kind, match=f"(?s){message}"):
        call()
