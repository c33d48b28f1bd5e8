r'''What a differentiable operation is: `@op` for primitives, `@fused` for the rest.

    @op(lambda g, y: g * (1 - y * y))
    def tanh(xp, x):
        """Hyperbolic tangent.        d tanh x = (1 - tanh² x) dx"""
        return xp.tanh(x)

A rule's parameter names say what it needs, and nothing else is kept: `g` (the cotangent of the
output), `y` (the output), an input or a static argument by its name, `in_shapes`, `hint`, and in a
joint rule `needs`.  Rules are written with operators and ops: at first order they see bare arrays,
while derivatives are recorded they see Tensors, so one rule serves every order.  A rule must not
write into what it is given.
'''

from __future__ import annotations

import inspect
import itertools
import linecache
import time
import weakref
from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from types import CodeType
from typing import Any, ClassVar

import numpy as np

from . import backend, calling, codegen
from .arrays import sizes
from .backend import several
from .bodies import body_of
from .errors import GraphError
from .graph import Node, tick
from .hint import Hint as Hint
from .hint import Sealed
from .modes import composed, recording
from .reference import through_reference
from .samples import Sampler, anything, elementwise
from .tensor import Tensor

Rule = Callable[..., Any]
Seen = Callable[["Op", tuple[Any, ...], Any, float], None]
registry: dict[str, Op] = {}
RESERVED = {"g", "y", "hint", "in_shapes", "needs"}


class Op:
    """A differentiable operation: what it computes, and its rules or its reference."""

    # who is told of every run of every op (see watching.py)
    seen: ClassVar[Seen | None] = None
    # the registry's, and those whose name another has taken since
    every: ClassVar[weakref.WeakSet[Op]] = weakref.WeakSet()

    def __init__(
        self,
        forward: Callable[..., Any],
        rules: Sequence[Rule | None],
        reference: Rule | None,
        *,
        samples: Sampler | None = None,
        constant: tuple[int, ...] = (),
        outputs: str = "",
        untracked: tuple[str, ...] = (),
        star: str | None = None,
        order: str = "",
        floating: bool = False,
        view: bool = False,
        aliases: Mapping[str, tuple[str, ...]] | None = None,
    ) -> None:
        self.forward, self.reference, self.samples = forward, reference, samples
        self.constant, self.untracked, self.star = constant, untracked, star
        self.floating, self.view, self.method = floating, view, False
        self.aliases = {**codegen.ALIASES, **(aliases or {})}
        self.name, self.doc = forward.__name__, inspect.getdoc(forward) or ""
        self.outputs = namedtuple(self.name, outputs) if outputs else None
        self.kernels: dict[str, list[Callable[..., Any]]] = {}  # by the name of their backend
        parameters = list(inspect.signature(forward).parameters.values())[1:]
        self.inputs = [p.name for p in parameters if p.kind is not p.KEYWORD_ONLY]
        self.variadic = any(p.kind is p.VAR_POSITIONAL for p in parameters)
        self.statics = {p.name: p for p in parameters if p.kind is p.KEYWORD_ONLY}
        self.order = order.split() or [*self.inputs, *self.statics]
        self._check_names()
        self._space: dict[str, Any] = _names() | {"op": self}
        self.choose_body()
        self.define(rules)
        Op.every.add(self)

    def define(self, rules: Sequence[Rule | None] | Rule) -> None:
        """Take the rules."""
        if not rules and self.reference is not None:
            rules = through_reference(self)
        self.joint: Rule | None = rules if callable(rules) else None
        self.rules: list[Rule | None]
        if callable(rules):
            self.rules = [rules]
        else:
            self.rules = list(rules) or [_no_rule(self.name)] * len(self.inputs)
        if self.joint is None and len(self.rules) != len(self.inputs):
            raise TypeError(
                f"op {self.name}: {len(self.rules)} rules for {len(self.inputs)} inputs "
                f"{self.inputs}; write one for each (None: no gradient)"
            )
        self.asked = [list(inspect.signature(r).parameters) if r else [] for r in self.rules]
        self._check_asked()
        every = dict.fromkeys(itertools.chain(*self.asked))
        self.kept = [name for name in every if name not in ("g", "needs")]
        rules_of = [self.joint] * len(self.inputs) if self.joint else self.rules
        pairs = zip(self.inputs, rules_of, strict=True)
        self.differentiable = [n for n, rule in pairs if rule and n not in self.untracked]
        # indices and masks keep their dtype; comparisons compare like with like
        self.unified = self.differentiable or self.inputs
        self._announce()

    def kernel(self, backend_name: str, needs: str | None = None) -> Callable[[Rule], Rule]:
        """Decorate a faster body for a backend ("cpu" is also called "numpy", "cuda" also "cupy").

        The body has the forward's signature; it may return NotImplemented for what it does not
        serve.

        Args:
            backend_name: the backend whose arrays it takes.
            needs: a package without which the body is left out, such as "numba".
        """
        place = {"numpy": "cpu", "cupy": "cuda"}.get(backend_name, backend_name)

        def add(body: Rule) -> Rule:
            if needs is None or backend.installed(needs):
                self.kernels.setdefault(place, []).append(body)
                self.choose_body()
            return body

        return add

    def choose_body(self) -> None:
        """What computes the op: its forward, or its kernels before it."""
        self._space["forward"] = body_of(self, Op.every)

    def _announce(self) -> None:
        """Give the op its function; what it does is written when it is first called.

        Programs call few of the ops: to write all would treble the time of `import minigrad`.
        """
        self._space.update({f"rule{i}": rule for i, rule in enumerate(self.rules)})
        # what runs, by whether somebody watches, and whether there are several GPUs
        self._codes: dict[tuple[bool, bool], tuple[CodeType, Callable[..., Any]]] = {}
        if not hasattr(self, "call"):
            self.call: Any = self._compiled(codegen.first(self))
            self.call.__doc__, self.call.__module__ = self.doc, self.forward.__module__
            self.call.__defaults__ = codegen.defaults(self)
            self.call.op = self
            self.pull: Callable[..., Any] = self._first_pull
        elif self.pull != self._first_pull:
            self.written()

    def _first_pull(self, *arguments: Any) -> Any:
        """A node may have been made without a call, as checkpoint does."""
        self.written()
        return self.pull(*arguments)

    def written(self) -> Any:
        """The op's function, of which whoever imported it sees the new text too."""
        self._codes.clear()
        self._write(False, several.are_there())
        self.choose_code()
        return self.call

    def choose_code(self) -> None:
        """Which text runs: where nobody watches, one that knows nothing of it, at no cost.

        The same holds of several GPUs: where there is one, the text does not ask.
        """
        watched, divided = Op.seen is not None, several.are_there()
        if not self._codes:
            return  # it chooses when it is first called
        if (watched, divided) not in self._codes:
            self._write(watched, divided)
        if watched:  # and these stay: another thread may still be in the watched text
            self._space.update(seen=Op.seen, clock=time.perf_counter)
        self.call.__code__, self.pull = self._codes[watched, divided]

    def _write(self, watched: bool, divided: bool) -> None:
        function = self._compiled(codegen.source(self, watched, divided))
        self._codes[watched, divided] = function.__code__, self._space["pull"]

    def _compiled(self, text: str) -> Any:
        file, lines = f"<op {self.name}>", text.splitlines(keepends=True)
        linecache.cache[file] = len(text), None, lines, file  # what tracebacks will show
        exec(compile(text, file, "exec"), self._space)
        return self._space[self.name]

    @property
    def body(self) -> Callable[..., Any]:
        """What computes the op now: its forward, or its kernels before it."""
        return self._space["forward"]

    @property
    def source(self) -> str:
        """The text of the op's function and of its `pull`."""
        return codegen.source(self)

    def _check_names(self) -> None:
        clash = RESERVED & set(self.inputs)
        if clash:
            raise NameError(
                f"op {self.name}: an input may not be called {sorted(clash)}, which rules ask "
                "the engine for; rename it (dy is usual for a cotangent)"
            )
        if not self.inputs:
            raise TypeError(
                f"op {self.name}: no array input; write `def {self.name}(xp, x, *, option=...)`: "
                "arrays first, static arguments by keyword"
            )
        if self.variadic and len(self.inputs) > 1:
            raise TypeError(
                f"op {self.name}: *{self.inputs[-1]} must be the only input, not {self.inputs}"
            )

    def _check_asked(self) -> None:
        known = RESERVED | set(self.inputs) | set(self.statics)
        for asked in self.asked:
            if unknown := [n for n in asked if n not in known]:
                raise NameError(
                    f"op {self.name}: a rule asks for {unknown}; it may ask for {sorted(known)}"
                )

    def __repr__(self) -> str:
        return f"<op {self.name}({codegen.signature(self)})>"


def op(
    *rules: Rule | None, method: bool = True, **options: Any
) -> Callable[[Callable[..., Any]], Any]:
    """Define a primitive op from its forward, with a rule for each array input.

    A joint rule, for all inputs at once, is given by `@name.vjp` instead.

    Args:
        rules: pull-backs in the inputs' order; None for an input without a gradient (indices,
            masks).
        method: whether the op becomes a method of Tensor and a name in `mg`.
        samples: calls to try the op with (see samples.py): they put it under every law;
            `@name.samples` gives them too.
        constant: outputs (by position) that carry no gradient.
        outputs: names of several outputs, which make them a named tuple: "values indices".
        star: the static argument that the public function takes as `*args` (shapes, axes).
        order: the public order of arguments, where it is not inputs first.
        floating: integers become the default dtype first.
        untracked: inputs of an op with a joint rule, or none, that carry no gradient (indices,
            labels).
        aliases: other names of static arguments, beside `dim` for `axis` and the like.
        view: whether a result may share memory with its input, read-only.

    Raises:
        NameError: a rule asks for an unknown name, or an input has a reserved one.
        TypeError: the number of rules is not the number of inputs.

    The forward is `forward(xp, *arrays, *, static=...)`: it sees arrays of one backend, `xp` is
    their namespace.  `forward(xp, *xs, static=...)` takes any number of arrays, and has one joint
    rule, given by `@name.vjp`, which returns a gradient for each.
    """
    if len(rules) == 1 and rules[0] and next(iter(inspect.signature(rules[0]).parameters)) == "xp":
        raise TypeError(
            f"@op got the forward {rules[0].__name__}: write @op(rule, ...) above it, or @op(None) "
            "where there is no gradient"
        )
    return lambda forward: _defined(Op(forward, rules, None, **options), method)


def fused(
    *rules: Rule | None, reference: Rule, method: bool = False, **options: Any
) -> Callable[[Callable[..., Any]], Any]:
    """Define a fused op: a reference says what it means, the forward says it faster.

    The forward may return `outputs, Hint(...)`.  Without rules the op is differentiated through its
    reference; a joint rule is added with `@name.vjp`, kernels with `@name.kernel(backend)`.  The
    options are those of `op`.
    """
    return lambda forward: _defined(Op(forward, rules, reference, **options), method)


def _defined(new: Op, method: bool) -> Any:
    old = registry.get(new.name)
    if old is not None and old.forward.__module__ != new.forward.__module__:
        raise NameError(
            f"an op called {new.name!r} exists already in {old.forward.__module__}: give yours "
            "another name"
        )
    if method and not new.variadic:
        if old is None and new.name in vars(Tensor):
            raise NameError(
                f"op {new.name}: Tensor.{new.name} means something else; give the op another "
                "name, or method=False"
            )
        setattr(Tensor, new.name, new.call)
    new.method = method
    registry[new.name] = new

    def vjp(rule: Rule) -> Rule:
        new.define(rule)
        return rule

    def samples(sampler: Sampler) -> Sampler:
        new.samples = sampler
        return sampler

    new.call.vjp, new.call.kernel, new.call.samples = vjp, new.kernel, samples
    new.call.forward, new.call.reference = new.forward, new.reference
    return new.call


def _choose_codes() -> None:
    for each in list(Op.every):
        each.choose_code()


several.when_changed(_choose_codes)


def _no_rule(name: str) -> Rule:
    """The rule of an op whose joint rule has not come yet."""

    def rule(g: Any) -> Any:
        raise GraphError(f"op {name} has no rule: give op() one for each input, or use @{name}.vjp")

    return rule


def _names() -> dict[str, Any]:
    """What the generated text refers to."""
    helpers = [getattr(calling, name) for name in calling.HELPERS]
    helpers += [Hint, Node, Sealed, Tensor, sizes]
    return {each.__name__: each for each in helpers} | {
        "XP": backend.XP,
        "at": several.at,
        "composed": composed,
        "new": object.__new__,
        "recording": recording,
        "tick": tick,
    }


# ---- the ops that the sweep and the engine itself need -------------------------------------------


@op(lambda g: g, samples=elementwise(anything))
def clone(xp: Any, x: Any) -> Any:
    """A copy of x, with x's history.        d clone x = dx

    >>> x = mg.tensor([1.0, 2.0])
    >>> mg.clone(x)
    tensor([1., 2.])
    """
    return x.copy()


@op(  # the sweep gives every gradient its tensor's dtype
    lambda g: g,
    method=False,
    samples=elementwise(anything, options=lambda draw: {"dtype": np.dtype(np.float64)}),
)
def cast(xp: Any, x: Any, *, dtype: Any) -> Any:
    """x in another floating dtype.        d cast x = dx

    >>> mg.tensor([1.0, 2.0]).to(mg.float64).dtype
    dtype('float64')
    """
    return x.astype(dtype)
