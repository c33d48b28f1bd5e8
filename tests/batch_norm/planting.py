"""Plants a fault in minigrad's own source, and calls the contract's checks one by one.

A fault is a changed text in one function.  The function gets the code of the changed text, for
whoever holds it, and then its own code again.
"""

import ast
import importlib
import inspect
import itertools
import warnings
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from types import CodeType, FunctionType

import numpy as np
import pytest
from batch_norm_helpers import FORMS, SHAPES

import minigrad as mg

AXES = {"shape": SHAPES.values(), "fused": FORMS.values(), "device": ["cpu"], "cuda": ["cuda"]}
# files whose checks are not called: one plants, the other trains for seconds
LEFT_OUT = {"test_planted_faults", "test_recompute_stats_lenet"}


@dataclass(frozen=True)
class Fault:
    """What is wrong, where (a module of minigrad, a function in it), and who must see it."""

    name: str
    module: str
    function: str
    old: str
    new: str
    checks: str


def at(module, function, *faults):
    """The faults of one site."""
    return [Fault(name, module, function, old, new, checks) for name, checks, old, new in faults]


# ---- the fault -----------------------------------------------------------------------------------


@contextmanager
def planted(fault):
    """The function with the fault."""
    module = importlib.import_module(f"minigrad.{fault.module}")
    source = inspect.getsource(module)
    text = text_of(source, fault.function)
    if text.count(fault.old) != 1:
        raise LookupError(
            f"{fault.name}: minigrad/{fault.module.replace('.', '/')}.py holds {fault.old!r} "
            f"{text.count(fault.old)} times in {fault.function}, and must once: it has changed"
        )
    name = fault.function.rpartition(".")[2]
    line = 1 + source[: source.index(text)].count("\n")
    changed = compile(
        source.replace(text, text.replace(fault.old, fault.new)), module.__file__, "exec"
    )
    function = next(f for f in functions_of(module) if is_at(f.__code__, name, line))
    right = function.__code__
    function.__code__ = next(code for code in codes_in(changed) if is_at(code, name, line))
    try:
        yield function
    finally:
        function.__code__ = right


def text_of(source, function):
    """The text of a function, from its decorators on, by its dotted name; none if it is gone."""
    node = ast.parse(source)
    for name in function.split("."):
        node = next((each for each in node.body if getattr(each, "name", "") == name), None)
        if node is None:
            return ""
    first = min([node, *node.decorator_list], key=lambda each: each.lineno).lineno
    return "".join(source.splitlines(keepends=True)[first - 1 : node.end_lineno])


def is_at(code, name, line):
    return code.co_name == name and code.co_firstlineno == line


def codes_in(code):
    """All code in a module's."""
    for each in code.co_consts:
        if isinstance(each, CodeType):
            yield each
            yield from codes_in(each)


def functions_of(module):
    """What a module defines: functions, methods, and the forwards and rules of ops."""
    for value in vars(module).values():
        op = getattr(value, "op", None)
        if isinstance(value, type):
            methods = (getattr(each, "fget", each) for each in vars(value).values())
            found = [inspect.unwrap(each) for each in methods if callable(each)]
        elif op is not None:
            found = [op.forward, op.reference, op.joint]
        else:
            found = [inspect.unwrap(value)] if callable(value) else []
        ours = (f for f in found if getattr(f, "__module__", "") == module.__name__)
        yield from (f for f in ours if isinstance(f, FunctionType))


# ---- the checks ----------------------------------------------------------------------------------


@cache
def checks():
    """The functions test_B1_…, test_B2_… of this folder: {"B1": [function, …], …}."""
    found = defaultdict(list)
    for path in sorted(Path(__file__).parent.glob("test_*.py")):
        if path.stem not in LEFT_OUT:
            for name, value in vars(importlib.import_module(path.stem)).items():
                if name.startswith("test_B") and callable(value):
                    found[name.split("_")[1]].append(value)
    return found


def calls_of(check):
    """Every call of a check on the CPU: all its functions in one layout and form, then the next.

    Left out are functions that take other fixtures, or examples that Hypothesis would remember.
    """
    values = [(function, values_for(function)) for function in checks()[check]]
    calls = [calls_to(*each) for each in values if None not in each[1].values()]
    for each in itertools.zip_longest(*calls):
        yield from (call for call in each if call is not None)


def values_for(function):
    """What each argument of a test may be: of an axis, or of its own marks; None if unknown."""
    marks = getattr(function, "pytestmark", [])
    own = {str(mark.args[0]): mark.args[1] for mark in marks if mark.name == "parametrize"}
    drawn = {"examples": None} if hasattr(function, "hypothesis") else {}
    arguments = inspect.signature(function).parameters
    return {name: {**AXES, **own}.get(name) for name in arguments} | drawn


def calls_to(function, values):
    """One function's calls."""
    for each in itertools.product(*values.values()):
        yield partial(function, **dict(zip(values, each, strict=True)))


def rejects(call):
    """Whether a call of a check fails, for the values that it sees and not for warnings."""
    mg.manual_seed(0)
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            call()
    except (AssertionError, pytest.fail.Exception):
        return True
    return False
