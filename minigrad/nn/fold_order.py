"""Which layer comes before each normalisation: read off a Sequential, or seen in a run.

The order of attributes is not the order of use: only a Sequential says what follows what.  For any
other model one run on an example tells, by spies in place of the layers' outputs: a norm may be
folded into a layer if it takes that layer's output itself, and nobody else reads or keeps it.
"""

from __future__ import annotations

import copy
import weakref
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from ..random import undrawn
from ..tensor import Tensor, handle
from .container import Sequential
from .conv import Conv1d, Conv2d, ConvTranspose2d
from .linear import Linear
from .module import Module
from .norm_base import RunningNorm
from .parameter import Parameter

LAYERS = (Linear, Conv1d, Conv2d, ConvTranspose2d)
KINDS = "Linear, Conv1d, Conv2d or ConvTranspose2d"
EXAMPLE = "give an example input, nn.fold_batch_norm(model, x)"
Before = dict[Module, Module | str]  # of each norm: the layer, or why none is known


def as_written(module: Module) -> bool:
    """Whether it computes what the library's class does, in no `forward` of its own."""
    kind: Any = next(k for k in type(module).__mro__ if k.__module__.startswith(f"{__package__}."))
    return (
        type(module).forward is kind.forward
        and type(module).__call__ is Module.__call__
        and "forward" not in vars(module)
    )


def hooked(module: Module) -> bool:
    """Whether it has forward hooks."""
    return module._hooks is not None and bool(module._hooks.before or module._hooks.after)


def channel_ranks(layer: Module, norm: Any) -> tuple[int, ...]:
    """Numbers of axes with which the layer's output channels are the channels of the norm."""
    batched = getattr(layer, "axes", 0) + 2
    if hasattr(norm, "ranks"):
        return (batched,) if batched in norm.ranks else ()
    return (batched - 1, batched) if batched == norm.rank else ()  # InstanceNorm


# ---- in Sequentials ------------------------------------------------------------------------------


def in_sequentials(model: Module, norms: Iterable[Module]) -> Before:
    """The neighbour of each norm, where it is in a Sequential; a Sequential inside counts as one.

    Each Sequential is taken to be called as a whole.
    """
    places = Counter(child for module in model.modules() for child in module.children())
    found: Before = {}
    for module in model.modules():  # the outer ones first: they know what is before an inner one
        if isinstance(module, Sequential) and as_written(module):
            before = None
            for each in _chain(module, places):
                found.setdefault(each, _neighbour(before, each, places))
                before = each
    outside = f"only a run shows what is before it: {EXAMPLE}"
    found.setdefault(model, "nothing is before it")
    return {norm: found.get(norm, outside) for norm in norms}


def _chain(sequential: Sequential, places: Counter[Module]) -> Iterator[Module]:
    """What runs one after the other, through Sequentials inside that stand nowhere else."""
    for child in sequential:
        alone = places[child] == 1 and not hooked(child)
        if isinstance(child, Sequential) and as_written(child) and alone:
            yield from _chain(child, places)
        else:
            yield child


def _neighbour(before: Module | None, module: Module, places: Counter[Module]) -> Module | str:
    """What stands before a module of a chain, if it is a layer that stands there only."""
    if before is None:
        return f"it is the first in its Sequential: {EXAMPLE}"
    if not isinstance(before, LAYERS):
        hint = f": {EXAMPLE}" if any(True for _ in before.children()) else ""
        return f"before it comes a {type(before).__name__}, not a {KINDS}{hint}"
    if places[before] > 1 or places[module] > 1:
        return f"it or the {type(before).__name__} before it is in the model twice: {EXAMPLE}"
    return before


# ---- in a run ------------------------------------------------------------------------------------


def in_a_run(model: Module, norms: Iterable[Module], inputs: tuple[Any, ...]) -> Before:
    """The layer whose output each norm takes, when a copy of the model runs on these inputs."""
    twin = copy.deepcopy(model)
    of_twin = dict(zip(model.modules(), twin.modules(), strict=True))
    originals = {each: module for module, each in of_twin.items()}
    run = _Run(twin)
    for module in twin.modules():
        run.watch(module)
    with undrawn():
        outputs = twin(*inputs)
    run.notice_kept()
    del outputs  # what was still alive, the model returned or holds
    before = {norm: run.before(of_twin[norm]) for norm in norms}
    return {n: found if isinstance(found, str) else originals[found] for n, found in before.items()}


class _Run:
    """Who takes and who reads what, while a model runs."""

    def __init__(self, model: Module) -> None:
        self.names = {module: name for name, module in model.named_modules()}
        self.running: list[Module] = []
        self.taken: dict[Module, list[tuple[Module | None, int]]] = {}  # by norms: whose, axes
        self.outputs: list[tuple[Module, weakref.ref[_Spy]]] = []
        self.seen: dict[Module, str] = {}  # who else sees what is a layer's or a norm's

    def watch(self, module: Module) -> None:
        """Note when it runs; of a layer or a norm, also who reads its tensors."""
        module.register_forward_pre_hook(self.begin)
        module.register_forward_hook(self.end)
        if isinstance(module, (*LAYERS, RunningNorm)):
            for name, value in vars(module).items():
                if isinstance(value, Tensor):
                    vars(module)[name] = _spy(value, self, module, f"the {name} of ", {module})

    def begin(self, module: Module, inputs: Any) -> None:
        """A hook before `forward`."""
        self.running.append(module)
        if isinstance(module, RunningNorm):
            source: tuple[Module | None, int] = (None, 0)
            if inputs and isinstance(inputs[0], _Spy):
                inputs[0].readers.add(module)
                source = (inputs[0].owner, inputs[0].ndim)
            self.taken.setdefault(module, []).append(source)

    def end(self, module: Module, inputs: Any, output: Any) -> Any:
        """A hook after `forward`: a layer's output becomes a spy."""
        self.running.pop()
        if not isinstance(module, LAYERS):
            return None
        spied = _spy(output, self, module, "the output of ", set())
        self.outputs.append((module, weakref.ref(spied)))
        return spied

    def read(self, spied: _Spy) -> None:
        """Somebody reads a spy's values: who may, or another."""
        reader = self.running[-1] if self.running else None
        if reader not in spied.readers:
            who = "a hook" if reader is None else self.titled(reader)
            self.note(spied.owner, f"{spied.what}{self.titled(spied.owner)} is read by {who} too")

    def note(self, owner: Module, why: str) -> None:
        """Keep the first reason not to fold."""
        self.seen.setdefault(owner, why)

    def notice_kept(self) -> None:
        """Look for outputs that are still there when all is done."""
        for layer, output in self.outputs:
            if output() is not None:
                what = f"the output of {self.titled(layer)} is kept"
                self.note(layer, f"{what}: the model returns it, or an attribute or a hook has it")

    def before(self, norm: Module) -> Module | str:
        """The layer whose output this norm alone takes, or why there is none."""
        if norm not in self.taken:
            return "it was not called on this input"
        layers = {layer for layer, _ in self.taken[norm]}
        layer = layers.pop()
        if layer is None or layers:
            return f"its input is not the output itself of one {KINDS}"
        for each in (norm, layer):
            if each in self.seen:
                return self.seen[each]
        for other, taken in self.taken.items():
            if other is not norm and any(source is layer for source, _ in taken):
                return f"{self.titled(layer)} is before {self.titled(other)} too"
        for _, ndim in self.taken[norm]:
            if ndim not in channel_ranks(layer, norm):
                return f"its input of {ndim} axes has other channels than {self.titled(layer)}"
        return layer

    def titled(self, module: Module) -> str:
        """Its name and class."""
        kind, name = type(module).__name__, self.names[module]
        return f"{name} ({kind})" if name else kind


# ---- spies ---------------------------------------------------------------------------------------


class _Spy(Parameter):
    """A tensor that tells a run when its values are read; its shape and the like are free."""

    __slots__ = ("owner", "readers", "run", "what")
    run: _Run
    owner: Module
    what: str
    readers: set[Module]  # who may read them: the owner its parameters, a norm its input

    @property
    def array(self) -> Any:
        """The values: all that computes with a tensor asks for them."""
        self.run.read(self)
        return _array.__get__(self)

    @array.setter
    def array(self, value: Any) -> None:
        _array.__set__(self, value)

    shape = property(lambda self: _array.__get__(self).shape)
    ndim = property(lambda self: _array.__get__(self).ndim)
    size = property(lambda self: _array.__get__(self).size)
    dtype = property(lambda self: _array.__get__(self).dtype)
    device = property(lambda self: handle(_array.__get__(self)).device)


_array: Any = vars(Tensor)["array"]  # the slot itself


def _spy(t: Tensor, run: _Run, owner: Module, what: str, readers: set[Module]) -> _Spy:
    """A spy on the values of a tensor, with its node."""
    spied = object.__new__(_Spy)
    spied.run, spied.owner, spied.what, spied.readers = run, owner, what, readers
    spied.array, spied.node, spied.grad = t.array, t.node, None
    return spied
