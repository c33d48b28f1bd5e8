"""Derivatives of functions, as functions: `torch.func`'s names and conventions.

    from minigrad import func
    second_derivative = func.grad(func.grad(mg.sin))

A transform runs its function, recorded, on handles of its own for the arguments that it
differentiates to, so nobody's `.grad` and nobody's graph is touched, whatever the modes outside.
Transforms nest to any order.  Where the arguments, or tensors that the function closes over,
require grad, so do the results; else these carry no graph.

Arguments to differentiate to are tensors, or tuples, lists and dicts of them, nested: a derivative
has the same structure.  Outputs may have one too.  Where an output does not depend on an argument,
the derivative is zeros.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from .checkpoint import checkpoint as checkpoint
from .derive import (
    Run,
    as_arguments,
    check_function,
    fitting,
    generic_like,
    jacobians,
    pulled_back,
)
from .errors import DTypeError, ShapeError
from .tensor import Tensor
from .trees import filled, leaves, mapped

Function = Callable[..., Any]


def grad(f: Function, argnums: int | tuple[int, ...] = 0, has_aux: bool = False) -> Function:
    """The function that gives ∇f where f gives a single number.

    Args:
        f: gives a tensor of shape (); with `has_aux` a tuple (that, anything).
        argnums: the position of the argument to differentiate to, or a tuple of positions.
        has_aux: return (gradient, the second that f gave).

    Returns:
        A function with f's arguments that gives the gradient, in the structure of the argument;
        for a tuple of positions a tuple of gradients.

    Raises:
        ShapeError: f gives more than a single number.
        OutOfRangeError: there is no argument at one of the positions.
        DTypeError: f is no function, does not give a tensor (a pair with `has_aux`), or an argument
            to differentiate to, or what f gives, is not of floating tensors.

    Example:
        >>> import minigrad as mg
        >>> cube = lambda x: x**3
        >>> mg.func.grad(mg.func.grad(cube))(mg.tensor(2.0))
        tensor(12.)
        >>> loss = lambda p, x: (p["w"] * x + p["b"]).sum()
        >>> mg.func.grad(loss)({"w": mg.tensor(1.0), "b": mg.tensor(0.0)}, mg.tensor([2.0, 3.0]))
        {'w': tensor(5.), 'b': tensor(2.)}
    """
    both = _value_and_grad("grad", f, argnums, has_aux)

    @functools.wraps(f)
    def gradient_of_f(*args: Any, **kwargs: Any) -> Any:
        value, found = both(*args, **kwargs)
        return (found, value[1]) if has_aux else found

    return gradient_of_f


def value_and_grad(
    f: Function, argnums: int | tuple[int, ...] = 0, has_aux: bool = False
) -> Function:
    """The function that gives (f, ∇f), or ((f, anything), ∇f) with `has_aux`; else as `grad`.

    The name and the order are JAX's; `torch.func.grad_and_value` gives the gradient first.

    Example:
        >>> import minigrad as mg
        >>> mg.func.value_and_grad(lambda x: (x * x).sum())(mg.tensor([1.0, 2.0]))
        (tensor(5.), tensor([2., 4.]))
    """
    return _value_and_grad("value_and_grad", f, argnums, has_aux)


def _value_and_grad(name: str, f: Function, argnums: Any, has_aux: bool) -> Function:
    check_function(name, f)

    @functools.wraps(f)
    def value_and_gradient(*args: Any, **kwargs: Any) -> Any:
        run = Run(name, f, args, kwargs, argnums, has_aux)
        y = run.output
        if not isinstance(y, Tensor):
            raise DTypeError(
                f"{name}: f gave a {type(y).__name__}, which must be one tensor: return the loss "
                "alone, or (loss, anything) with has_aux=True"
            )
        if y.shape:
            raise ShapeError(
                f"{name}: f gave shape {y.shape}, which must be a single number: return "
                "y.sum() or y.mean(), or use jacobian or vjp"
            )
        found = pulled_back([y], run.xs, [None], run.asked(), retain_graph=run.asked())
        value, aux = run.released((y, run.aux))
        return (value, aux) if has_aux else value, run.like_arguments(found)

    return value_and_gradient


def vjp(f: Function, *primals: Any, has_aux: bool = False) -> tuple[Any, ...]:
    """f's output at the primals, and the pull-back u ↦ Jᵀu there.

    Args:
        f: gives a tensor, or tuples, lists and dicts of them; with `has_aux` a tuple (that,
            anything).
        primals: f's arguments; it is differentiated to all of them.
        has_aux: return (output, pullback, the second that f gave).

    Returns:
        (output, pullback).  `pullback(u)` takes a cotangent of the output's structure and shapes,
        gives a tuple with a gradient for each primal, and may be called again.

    Raises:
        ShapeError: a cotangent's structure or shape is not the output's.
        DTypeError: as for `grad`, or a cotangent that is not of floating tensors.

    Example:
        >>> import minigrad as mg
        >>> y, pullback = mg.func.vjp(lambda a, b: a * b, mg.tensor([1.0, 2.0]), mg.tensor(3.0))
        >>> y, pullback(mg.tensor([1.0, 1.0]))
        (tensor([3., 6.]), (tensor([3., 3.]), tensor(3.)))
    """
    check_function("vjp", f)
    run = Run("vjp", f, primals, {}, tuple(range(len(primals))), has_aux)

    def pullback(cotangent: Any) -> Any:
        us = fitting("vjp: a cotangent", cotangent, "its output", run.output)
        return run.like_arguments(pulled_back(run.ys, run.xs, us, run.asked(*us)))

    output, aux = run.released((run.output, run.aux))
    return (output, pullback, aux) if has_aux else (output, pullback)


def jvp(f: Function, primals: Any, tangents: Any, has_aux: bool = False) -> tuple[Any, ...]:
    """f's output at the primals, and J v, its derivative in the direction of the tangents.

    Jᵀu is linear in u, so the pull-back of u ↦ Jᵀu is v ↦ J v: a push-forward from two pull-backs
    (Griewank and Walther, "Evaluating Derivatives", 2008; Townsend, "A new trick for calculating
    Jacobian vector products", 2017).

    Args:
        f: as for `vjp`.
        primals: a tuple of f's arguments, or a single tensor.
        tangents: v, of the primals' structure and shapes.
        has_aux: return (output, J v, the second that f gave).

    Returns:
        (output, J v), of one structure.

    Raises:
        ShapeError: the tangents' structure or a shape is not the primals'.
        DTypeError: as for `grad`, or tangents that are not of floating tensors.

    Example:
        >>> import minigrad as mg
        >>> mg.func.jvp(lambda x: x * x, (mg.tensor([1.0, 2.0]),), (mg.tensor([1.0, 0.5]),))
        (tensor([1., 4.]), tensor([2., 2.]))
    """
    check_function("jvp", f)
    args = as_arguments("jvp", primals)
    vs = fitting("jvp: a tangent", tangents, "its primal", primals)
    run = Run("jvp", f, args, {}, tuple(range(len(args))), has_aux)
    us = [generic_like(y).requires_grad_() for y in run.ys]
    pulled = pulled_back(run.ys, run.xs, us, create_graph=True)
    pushed = pulled_back(pulled, us, vs, run.asked(*vs))
    output, aux = run.released((run.output, run.aux))
    tangent = filled(run.output, pushed)
    return (output, tangent, aux) if has_aux else (output, tangent)


def jacobian(f: Function, argnums: int | tuple[int, ...] = 0, has_aux: bool = False) -> Function:
    """The function that gives J, all partial derivatives of f: `torch.func.jacrev`.

    It takes one pull-back for each element of the output.

    Args:
        f, argnums, has_aux: as for `grad`, but f may give tensors of any shape, in tuples, lists
            and dicts too.

    Returns:
        A function with f's arguments.  Its result has the output's structure, in each place the
        structure of the argument (for a tuple of positions a tuple of these), and in each place of
        that a tensor of shape output.shape + argument.shape.

    Raises:
        OutOfRangeError, DTypeError: as for `grad`.

    Example:
        >>> import minigrad as mg
        >>> mg.func.jacobian(lambda x: x * x)(mg.tensor([1.0, 2.0]))
        tensor([[2., 0.],
                [0., 4.]])
    """
    check_function("jacobian", f)

    @functools.wraps(f)
    def jacobian_of_f(*args: Any, **kwargs: Any) -> Any:
        run = Run("jacobian", f, args, kwargs, argnums, has_aux)
        found = mapped(lambda y: run.like_arguments(jacobians(y, run)), run.output)
        return (found, run.released(run.aux)) if has_aux else found

    return jacobian_of_f


def hessian(f: Function, argnums: int | tuple[int, ...] = 0) -> Function:
    """The function that gives H, all second derivatives of f: the jacobian of the jacobian.

    A single number and one tensor x give shape x.shape + x.shape; two positions a tuple of two
    tuples of two, of which [i][j] is ∂²f / ∂xᵢ ∂xⱼ.

    Example:
        >>> import minigrad as mg
        >>> mg.func.hessian(lambda x: (x**3).sum())(mg.tensor([1.0, 2.0]))
        tensor([[ 6.,  0.],
                [ 0., 12.]])
    """
    return jacobian(jacobian(f, argnums), argnums)


def hvp(f: Function, primals: Any, tangents: Any) -> tuple[Any, Any]:
    """f's value and H v, without H: the pull-back of ∇f, since H is symmetric.

    It costs a small multiple of f (Christianson, "Automatic Hessians by reverse accumulation",
    1992).  Values and structure are those of `torch.autograd.functional.hvp`; the arguments are
    called as for `jvp`.

    Args:
        f: gives a tensor of shape ().
        primals: a tuple of f's arguments, or a single tensor.
        tangents: v, of the primals' structure and shapes.

    Returns:
        (value, H v), H v in the structure of the primals.

    Raises:
        ShapeError, DTypeError: as for `grad` and `jvp`.

    Example:
        >>> import minigrad as mg
        >>> mg.func.hvp(lambda x: (x**3).sum(), mg.tensor([1.0, 2.0]), mg.tensor([1.0, 0.0]))
        (tensor(9.), tensor([6., 0.]))
    """
    args = as_arguments("hvp", primals)
    vs = fitting("hvp: a tangent", tangents, "its primal", primals)
    both = _value_and_grad("hvp", f, tuple(range(len(args))), False)
    _, pullback, value = vjp(lambda *xs: both(*xs)[::-1], *args, has_aux=True)
    return value, filled(primals, leaves(pullback(filled(args, vs))))
