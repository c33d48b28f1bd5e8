"""The contract has a test for every check, in both forms, every layout and on every device."""

import ast
import re
from collections import defaultdict
from pathlib import Path

import pytest
from batch_norm_helpers import CHECKS

FOLDER = Path(__file__).parent
AXES = {"shape", "fused", "device"}

EXCEPTIONS = {  # checks without a test over all three axes: the axes left out, and why
    "B2": ("fused", "It compares the forms."),
    "B63": ("device", "It compares the devices."),
}
OPTIONAL = ("torch", "safetensors", "tqdm", "sklearn")  # without which a test may be skipped
SKIPS = {"skip", "skipif", "importorskip", "xfail"}


def trees():
    """Every file of this folder, parsed."""
    return {path.name: ast.parse(path.read_text()) for path in sorted(FOLDER.glob("*.py"))}


def by_check():
    """The tests test_B<n>_…: {"B1": [(name, its arguments), …], …}."""
    found = defaultdict(list)
    for name, tree in trees().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_B"):
                found[node.name.split("_")[1]].append((f"{name}::{node.name}", arguments_of(node)))
    return found


def arguments_of(function):
    """A test's arguments, but for axes that a decorator of its own gives."""
    own = " ".join(ast.unparse(each) for each in function.decorator_list)
    given = {axis for axis in AXES if re.search(rf"\b{axis}\b", own)}
    return {each.arg for each in function.args.args} - given


TESTS = by_check()


def test_names_are_those_of_checks():
    assert set(TESTS) <= set(CHECKS)


@pytest.mark.parametrize("check", [check for check in CHECKS if check not in EXCEPTIONS])
def test_a_check_is_tested_over_all_layouts_forms_and_devices(check):
    assert TESTS[check], f"no test_{check}_…"
    assert any(arguments == AXES for _, arguments in TESTS[check]), (
        f"none of {[name for name, _ in TESTS[check]]} takes exactly shape, fused and device"
    )


@pytest.mark.parametrize("check", EXCEPTIONS)
def test_an_exception_leaves_out_no_more_than_it_says(check):
    left_out, reason = EXCEPTIONS[check]
    covered = [arguments & AXES for _, arguments in TESTS[check]]
    most = AXES - set(left_out.split())
    assert most < AXES
    assert reason.endswith(".")
    assert most in covered
    assert not any(most < each for each in covered), f"{check} needs no such exception any more"


def test_nothing_is_skipped_on_the_cpu():
    """Not but for a package that is not there."""
    assert [where for name, tree in trees().items() for where in skips_in(name, tree)] == []


def skips_in(name, tree):
    """Where a file skips tests, or expects them to fail."""
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.Call | ast.Attribute)]
    called = {node.func for node in nodes if isinstance(node, ast.Call)}
    for node in nodes:
        if node not in called and getattr(getattr(node, "func", node), "attr", "") in SKIPS:
            text = ast.unparse(node)
            if text.startswith("pytest.") and not any(package in text for package in OPTIONAL):
                yield f"{name}:{node.lineno}: {text}"
