"""Plants faults in the rules, one at a time, and counts how many the laws alone notice.

    python tests/mutate.py [--op NAME ...] [--calls N] [--jobs N]

A rule, a reference, or a helper that only these use loses a term, a factor or an argument, or gets
another sign, number, order or comparison.  Then every law tries sample calls of the ops that use
it, until one objects that does not object to the rule as it is written.  pytest does not collect
this file; CONTRIBUTING.md has its last result.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy comes: every job has one thread

import argparse
import ast
import contextlib
import copy
import functools
import inspect
import multiprocessing
import signal
import sys
import warnings
from collections import Counter
from dataclasses import dataclass, field
from types import CodeType, FunctionType

from equivalent_faults import EQUIVALENT
from faults import alternatives, changed, described, of_joint, replaced, spots

import minigrad  # noqa: F401  (fills the registry)
from minigrad.laws import LAWS, Sample
from minigrad.op import registry
from minigrad.samples import Draw

ENOUGH = 95.0  # percent
PATIENCE = 60  # seconds for one fault; a fault that hangs is noticed
TELLING = [
    "derivatives_are_the_numeric_ones",
    "the_pullback_is_linear",
    "a_fused_op_is_its_reference",
]
ORDER = [*TELLING, *[name for name in LAWS if name not in TELLING]]


@dataclass
class Site:
    """A function in which faults are planted, and the ops that use it."""

    name: str
    function: FunctionType
    joint: bool = False  # a rule that returns the gradients of all inputs
    users: list[str] = field(default_factory=list)


@dataclass
class Fault:
    """A site's code with one fault."""

    site: Site
    label: str
    line: int
    code: CodeType


# ---- where: rules, references, and what only they use --------------------------------------------


def sites() -> list[Site]:
    """Every function that says what a derivative is, each once."""
    ours = [op for op in registry.values() if op.forward.__module__.startswith("minigrad")]
    bodies = [body for op in ours for each in op.kernels.values() for body in each]
    shared = set()  # what forwards and samplers use too is no rule's own
    for function in [*[f for op in ours for f in (op.forward, op.samples)], *bodies]:
        shared |= reached(function)
    found: dict[FunctionType, Site] = {}
    for op in ours:
        for name, function, joint in said_by(op):
            site = found.setdefault(function, Site(name, function, joint))
            site.users.append(op.name)
            for helper in reached(function) - shared:
                if helper.__module__ == op.forward.__module__:
                    name = f"{helper.__module__.rpartition('.')[2]}.{helper.__name__}"
                    found.setdefault(helper, Site(name, helper)).users.append(op.name)
    callers = calling(ours)
    for site in found.values():
        further = [name for user in site.users for name in callers.get(user, ())]
        site.users = list(dict.fromkeys([*site.users, *further]))
    return list(found.values())


def calling(ours) -> dict[str, list[str]]:
    """By the name of an op that is no method: the ops whose rules or references call it."""
    found: dict[str, list[str]] = {}
    for op in ours:
        for _, function, _ in said_by(op):
            for each in [function, *reached(function)]:
                for name in names_in(each.__code__):
                    other = getattr(each.__globals__.get(name), "op", op)
                    if other is not op and not other.method:
                        found.setdefault(other.name, []).append(op.name)
    return found


def said_by(op):
    """The op's rules and its reference: name, function, whether it is a joint rule."""
    if op.joint is not None and op.joint.__module__ != "minigrad.reference":
        yield f"{op.name}.vjp", op.joint, True
    elif op.joint is None:
        for name, rule in zip(op.inputs, op.rules, strict=True):
            if rule is not None and op.differentiable:
                own = rule.__name__ == "<lambda>"
                room = rule.__module__.rpartition(".")[2]
                yield f"{op.name}.d{name}" if own else f"{room}.{rule.__name__}", rule, False
    if op.reference is not None:
        yield f"{op.name}.reference", op.reference, False


def reached(function) -> set[FunctionType]:
    """The functions that a function calls by name, and those that they call; ops excepted."""
    found, todo = set(), [function]
    while todo:
        each = todo.pop()
        cells = [cell.cell_contents for cell in getattr(each, "__closure__", None) or ()]
        names = names_in(each.__code__) if isinstance(each, FunctionType) else ()
        for other in [*cells, *[each.__globals__.get(name) for name in names]]:
            known = not isinstance(other, FunctionType) or hasattr(other, "op") or other in found
            if not known and other.__module__.startswith("minigrad.ops"):
                found.add(other)
                todo.append(other)
    return found


def names_in(code: CodeType) -> set[str]:
    """The global names in a function's code and in what is written inside it."""
    inner = [names_in(each) for each in code.co_consts if isinstance(each, CodeType)]
    return set(code.co_names).union(*inner)


# ---- what: faults.py says what a fault can be ----------------------------------------------------


def faults_in(site: Site) -> list[Fault]:
    """Every fault of a site that compiles to other code, each once."""
    tree = definition(site.function)
    known, found = {shape_of(compiled(tree, site.function))}, []
    inputs = len(registry[site.users[0]].inputs) * (site.joint and 1)
    for old, around in spots(tree):
        changes = list(alternatives(old))
        if isinstance(old, ast.Return) and old.value is not None:
            changes += [changed(old, value=each) for each in of_joint(old.value, inputs)]
        for new in changes:
            code = compiled(replaced(tree, old, new), site.function)
            if shape_of(code) not in known:
                known.add(shape_of(code))
                line = getattr(old, "lineno", getattr(around, "lineno", tree.lineno))
                found.append(Fault(site, described(old, new, around), line, code))
    return found


def definition(function) -> ast.FunctionDef:
    """The source of a function or lambda, as a plain `def` of one name and the same lines."""
    code = function.__code__
    names = code.co_varnames[: code.co_argcount]
    places = [(line, column) for line, _, column, _ in code.co_positions() if column]
    for node in ast.walk(tree_of(inspect.getmodule(function))):
        if isinstance(node, ast.Lambda | ast.FunctionDef):
            first = min([node, *getattr(node, "decorator_list", [])], key=lambda n: n.lineno)
            start, end = (node.lineno, node.col_offset), (node.end_lineno, node.end_col_offset)
            if first.lineno != code.co_firstlineno or tuple(a.arg for a in node.args.args) != names:
                continue
            if all(start <= place <= end for place in places):
                body = [ast.Return(node.body)] if isinstance(node, ast.Lambda) else node.body
                return ast.copy_location(ast.FunctionDef("fault", node.args, body, []), node)
    raise LookupError(f"the source of {function} is not in its file")


@functools.cache
def tree_of(module) -> ast.Module:
    return ast.parse(inspect.getsource(module))


def compiled(tree, function) -> CodeType:
    module = ast.fix_missing_locations(ast.Module([copy.deepcopy(tree)], []))
    code = compile(module, function.__code__.co_filename, "exec", dont_inherit=True)
    return next(each for each in code.co_consts if getattr(each, "co_name", "") == "fault")


def shape_of(code: CodeType):
    """What makes two codes the same, wherever they are written."""
    consts = [shape_of(c) if isinstance(c, CodeType) else repr(c) for c in code.co_consts]
    return code.co_code, code.co_names, code.co_varnames, tuple(consts)


# ---- whether a law notices -----------------------------------------------------------------------


class Late(BaseException):
    """The fault has had its time."""


def verdict(fault: Fault, calls: int) -> str:
    """The law that objects to a fault, "hangs", or nothing."""
    signal.signal(signal.SIGALRM, _late)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE, 1)
    try:
        for law in ORDER:
            for name in fault.site.users:
                for seed in range(tries(law, calls)):
                    with planted(fault):
                        caught = objects(name, law, seed)
                    if caught and not objects_anyway(name, law, seed):
                        return law
    except Late:
        return "hangs"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return ""


def _late(*_):
    raise Late


def tries(law: str, calls: int) -> int:
    """How many sample calls a law gets: most where most is noticed, one for the docstring."""
    return calls if law in TELLING else 1 if "docstring" in law else -(-calls // 5)


@contextlib.contextmanager
def planted(fault: Fault):
    """The function with the fault, for whoever holds it."""
    function, code = fault.site.function, fault.site.function.__code__
    function.__code__ = fault.code
    try:
        yield
    finally:
        function.__code__ = code


def objects(name: str, law: str, seed: int) -> bool:
    """Whether a law objects to an op's sample call; an error inside a law is an objection."""
    try:
        LAWS[law](Sample.of(registry[name], Draw.seeded(seed)))
    except Exception:
        return True
    return False


objects_anyway = functools.cache(
    objects
)  # to the rules as they are written: then it proves nothing


# ---- the run -------------------------------------------------------------------------------------


def judged(task):
    """A fault's verdict, in a process that was forked after the faults were made."""
    number, calls = task
    warnings.simplefilter("ignore")  # of overflow and the like, which faults give in plenty
    return number, verdict(FAULTS[number], calls)


FAULTS: list[Fault] = []


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--op", nargs="+", default=[], help="only faults that these ops use")
    parser.add_argument("--calls", type=int, default=50, help="sample calls (most laws: a fifth)")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    options = parser.parse_args()
    chosen = [s for s in sites() if not options.op or set(options.op) & set(s.users)]
    FAULTS.extend(fault for site in chosen for fault in faults_in(site))
    tasks = [(number, options.calls) for number in range(len(FAULTS))]
    with multiprocessing.get_context("fork").Pool(options.jobs) as pool:
        laws = dict(pool.imap_unordered(judged, tasks, chunksize=4))
    return report([laws[number] for number in range(len(FAULTS))])


def report(laws: list[str]) -> int:
    """Print what was caught, op by op, and what was not; 1 if that is too much."""
    excuses, wrong, counted = Counter(), [], []
    for fault, law in zip(FAULTS, laws, strict=True):
        excuse = EQUIVALENT.get((fault.site.name, fault.label))
        if excuse is None:
            counted.append((fault, law))
        else:
            excuses[excuse] += 1
            wrong += [f"{fault.site.name}: {fault.label} is no equivalent: {law}"] * bool(law)
    print_table(counted)
    noticed = ", ".join(f"{law or 'nothing'} {n}" for law, n in Counter(laws).most_common())
    print(f"\nfirst noticed by: {noticed}")
    caught = sum(bool(law) for _, law in counted)
    share = 100 * caught / max(len(counted), 1)
    print(f"{len(counted)} faults, {caught} caught: {share:.1f} %")
    print(f"{excuses.total()} more are not counted:")
    known, names = {(f.site.name, f.label) for f in FAULTS}, {f.site.name for f in FAULTS}
    stale = [key for key in EQUIVALENT if key not in known and key[0] in names]
    wrong += [f"{site}: {label} is no fault, so needs no excuse" for site, label in stale]
    print(*[f"{n:4}  {why}" for why, n in excuses.most_common()], *wrong, sep="\n")
    return int(share < ENOUGH or bool(wrong))


def print_table(counted: list[tuple[Fault, str]]) -> None:
    """Each op with its faults and how many were caught; below it, those that were not."""
    ops = sorted({fault.site.users[0] for fault, _ in counted})
    print(f"{'op (' + str(len(ops)) + ')':24} faults caught")
    for name in ops:
        own = [(fault, law) for fault, law in counted if fault.site.users[0] == name]
        print(f"{name:24} {len(own):6} {sum(bool(law) for _, law in own):6}")
        for fault, law in own:
            if not law:
                print(f"    {fault.site.name}, line {fault.line}: {fault.label}")


if __name__ == "__main__":
    sys.exit(main())
