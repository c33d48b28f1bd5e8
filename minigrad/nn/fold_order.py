"""Which layer comes before a normalisation: read off Sequentials, or seen in a run.

The order of attributes is not the order of use; only a Sequential says what follows what.  Any
other model runs once, as a copy, on an example.  In that run some tensors are spies, which tell who
reads their values: the outputs of layers, and what layers and norms own.  A norm may be folded into
a layer if it takes that layer's output itself, nobody else reads the output or what the two own,
and the output is gone when the run is over.

Modules go by their names in the model.
"""

from __future__ import annotations

import copy
import weakref
from collections import Counter
from collections.abc import Iterator
from typing import Any

from ..random import undrawn
from ..tensor import Tensor, handle
from .batch_norm import BatchNorm
from .container import Sequential
from .conv import Conv1d, Conv2d, ConvTranspose2d
from .linear import Linear
from .module import Module
from .norm_base import RunningNorm
from .parameter import Parameter

LAYERS = (Linear, Conv1d, Conv2d, ConvTranspose2d)
MODEL = ""  # the name of the model itself
KINDS = "Linear, Conv1d, Conv2d or ConvTranspose2d"
EXAMPLE = "give an example input, nn.fold_batch_norm(model, x)"


class UnfoldableError(Exception):
    """Why a norm cannot be folded."""


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
    if isinstance(norm, BatchNorm):
        return (batched,) if batched in norm.ranks else ()
    return (batched - 1, batched) if batched == norm.rank else ()  # InstanceNorm


# ---- in Sequentials ------------------------------------------------------------------------------


class Sequentials:
    """What follows what in the Sequentials of a model, each taken to be called as a whole."""

    def __init__(self, model: Module) -> None:
        self.modules = dict(model.named_modules())
        names = {id(module): name for name, module in self.modules.items()}
        children = (child for module in model.modules() for child in module.children())
        self.places = Counter(names[id(child)] for child in children)
        self.previous: dict[str, str | None] = {}
        for module in model.modules():  # an outer one comes first: it knows what is before an inner
            if isinstance(module, Sequential) and as_written(module):
                previous = MODEL if module is model else None
                for each in self._chain(module, names):
                    self.previous.setdefault(each, previous)
                    previous = each

    def _chain(self, sequential: Sequential, names: dict[int, str]) -> Iterator[str]:
        """What runs one after the other, through Sequentials inside that stand nowhere else."""
        for child in sequential:
            name = names[id(child)]
            alone = self.places[name] == 1 and not hooked(child)
            if isinstance(child, Sequential) and as_written(child) and alone:
                yield from self._chain(child, names)
            else:
                yield name

    def before(self, norm: str) -> str:
        """The layer before a norm.

        Raises:
            UnfoldableError: there is none, or they are not in this order everywhere.
        """
        if norm == MODEL or self.previous.get(norm) == MODEL:
            raise UnfoldableError("nothing is before it")
        if norm not in self.previous:
            raise UnfoldableError(f"only a run shows what is before it: {EXAMPLE}")
        layer = self.previous[norm]
        if layer is None:
            raise UnfoldableError(f"it is the first in its Sequential: {EXAMPLE}")
        module = self.modules[layer]
        kind = type(module).__name__
        if not isinstance(module, LAYERS):
            hint = f": {EXAMPLE}" if any(True for _ in module.children()) else ""
            raise UnfoldableError(f"before it comes a {kind}, not a {KINDS}{hint}")
        if self.places[layer] > 1 or self.places[norm] > 1:
            raise UnfoldableError(f"it or the {kind} before it is in the model twice: {EXAMPLE}")
        return layer


# ---- in a run ------------------------------------------------------------------------------------


class Run:
    """Who took and who read what, when a copy of a model ran on these inputs."""

    def __init__(self, model: Module, inputs: tuple[Any, ...]) -> None:
        twin = copy.deepcopy(model)
        self.modules = dict(twin.named_modules())
        self.names = {id(module): name for name, module in self.modules.items()}
        self.running: list[str] = []  # the innermost last
        self.taken: dict[str, list[tuple[str | None, int]]] = {}  # by norms: of which layer, axes
        self.outputs: list[tuple[str, weakref.ref[_Spy]]] = []  # of layers
        self.shared: dict[str, str] = {}  # of layers and norms: who else depends on their tensors
        for module in self.modules.values():
            self._watch(module)
        with undrawn():
            result = twin(*inputs)
        self._notice_kept()
        del result  # it had to live until now: what it holds is kept

    def before(self, norm: str) -> str:
        """The layer whose output this norm took, alone.

        Raises:
            UnfoldableError: there is none.
        """
        if norm not in self.taken:
            raise UnfoldableError("it was not called on this input")
        layer, *others = {layer for layer, _ in self.taken[norm]}
        if layer is None or others:
            raise UnfoldableError(f"its input is not the output itself of one {KINDS}")
        for each in (norm, layer):
            if each in self.shared:
                raise UnfoldableError(self.shared[each])
        for other, taken in self.taken.items():
            if other != norm and any(source == layer for source, _ in taken):
                raise UnfoldableError(f"{self._title(layer)} is before {self._title(other)} too")
        ranks = channel_ranks(self.modules[layer], self.modules[norm])
        for _, ndim in self.taken[norm]:
            if ndim not in ranks:
                raise UnfoldableError(
                    f"its input of {ndim} axes has other channels than {self._title(layer)}"
                )
        return layer

    def read(self, spy: _Spy) -> None:
        """Somebody reads a spy's values: who may, or another."""
        reader = self.running[-1] if self.running else None
        if reader not in spy.readers:
            who = "a hook" if reader is None else self._title(reader)
            why = f"{spy.what} of {self._title(spy.owner)} is read by {who} too"
            self.shared.setdefault(spy.owner, why)

    def _watch(self, module: Module) -> None:
        """Note when it runs; of a layer or a norm, also who reads its tensors."""
        module.register_forward_pre_hook(self._begin)
        module.register_forward_hook(self._end)
        if isinstance(module, (*LAYERS, RunningNorm)):
            owner = self.names[id(module)]
            for name, value in vars(module).items():
                if isinstance(value, Tensor):
                    vars(module)[name] = _Spy.on(value, self, owner, f"the {name}", {owner})

    def _begin(self, module: Module, inputs: Any) -> None:
        """A hook before `forward`."""
        name = self.names[id(module)]
        self.running.append(name)
        if isinstance(module, RunningNorm):
            x = inputs[0] if inputs else None
            if isinstance(x, _Spy):
                x.readers.add(name)
            source = (x.owner, x.ndim) if isinstance(x, _Spy) else (None, 0)
            self.taken.setdefault(name, []).append(source)

    def _end(self, module: Module, inputs: Any, output: Any) -> Any:
        """A hook after `forward`: a layer's output becomes a spy."""
        name = self.running.pop()
        if not isinstance(module, LAYERS) or not isinstance(output, Tensor):
            return None
        spy = _Spy.on(output, self, name, "the output", set())
        self.outputs.append((name, weakref.ref(spy)))
        return spy

    def _notice_kept(self) -> None:
        """Look for outputs that are still there when all is done."""
        for layer, output in self.outputs:
            if output() is not None:
                why = "is kept: the model returns it, or an attribute or a hook has it"
                self.shared.setdefault(layer, f"the output of {self._title(layer)} {why}")

    def _title(self, name: str) -> str:
        """A module's name and class."""
        kind = type(self.modules[name]).__name__
        return f"{name} ({kind})" if name else kind


class _Spy(Parameter):
    """A tensor that tells a run when its values are read; its shape and the like are free."""

    __slots__ = ("owner", "readers", "run", "what")
    run: Run
    owner: str
    what: str  # the owner's "weight", or its "output"
    readers: set[str]  # who may read them: the owner what it owns, a norm its input

    @classmethod
    def on(cls, t: Tensor, run: Run, owner: str, what: str, readers: set[str]) -> _Spy:
        """A spy on the values of a tensor, with its node."""
        spy = object.__new__(cls)
        spy.run, spy.owner, spy.what, spy.readers = run, owner, what, readers
        spy.array, spy.node, spy.grad = t.array, t.node, None
        return spy

    @property
    def array(self) -> Any:
        """The values: all that computes with a tensor asks for them."""
        self.run.read(self)
        return _array.__get__(self)

    @array.setter
    def array(self, value: Any) -> None:
        _array.__set__(self, value)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return handle(self.array.copy())

    shape = property(lambda self: _array.__get__(self).shape)
    ndim = property(lambda self: _array.__get__(self).ndim)
    size = property(lambda self: _array.__get__(self).size)
    dtype = property(lambda self: _array.__get__(self).dtype)
    device = property(lambda self: handle(_array.__get__(self)).device)


_array: Any = vars(Tensor)["array"]  # the slot itself
