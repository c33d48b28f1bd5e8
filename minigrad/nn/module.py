"""Module, Parameter, Buffer.

What a layer owns is found by walking its attributes; nothing is registered.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import numpy as np

from .. import backend, dtypes
from ..errors import DTypeError
from ..modes import no_grad
from ..ops.operators import destination
from ..tensor import Tensor

Self = TypeVar("Self", bound="Module")


class Parameter(Tensor):
    """A Tensor that a module learns: it requires grad unless told otherwise.

    Args:
        data, dtype, device: as for `mg.tensor`; the data is copied.
        requires_grad: second here, as in PyTorch.
    """

    __slots__ = ()

    def __init__(
        self, data: Any, requires_grad: bool = True, dtype: Any = None, device: str | None = None
    ) -> None:
        super().__init__(data, dtype, device, requires_grad)


class Buffer(Tensor):
    """A Tensor that belongs to a module's state but is not learned, such as a running mean."""

    __slots__ = ()


class Module:
    """A part of a model.

    Subclasses assign parameters, buffers and modules as attributes and define `forward`.

    Lists, tuples and dicts of them are found too.  `super().__init__()` is not needed.
    """

    training: bool = True
    frozen: bool = False

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        """What the module computes; subclasses define it."""
        raise TypeError(f"{type(self).__name__} has no forward: define `def forward(self, x): ...`")

    def __call__(self, *inputs: Any, **kwargs: Any) -> Any:
        """`forward`."""
        return self.forward(*inputs, **kwargs)

    # ---- what it owns

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The modules that it holds directly, with their names."""
        return ((name, value) for name, value in _owned(vars(self)) if isinstance(value, Module))

    def children(self) -> Iterator[Module]:
        """The modules that it holds directly."""
        return (child for _, child in self.named_children())

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """Itself and all modules below, each once, with dotted names."""
        return _once(_tree(self, prefix))

    def modules(self) -> Iterator[Module]:
        """Itself and all modules below, each once."""
        return (module for _, module in self.named_modules())

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """All parameters, each once (also where modules share it), with dotted names."""
        return _once((name, value) for name, value in _state(self) if isinstance(value, Parameter))

    def parameters(self) -> Iterator[Parameter]:
        """All parameters, each once: what an optimiser takes."""
        return (parameter for _, parameter in self.named_parameters())

    def named_buffers(self) -> Iterator[tuple[str, Buffer]]:
        """All buffers, each once, with dotted names."""
        return _once((name, value) for name, value in _state(self) if isinstance(value, Buffer))

    def buffers(self) -> Iterator[Buffer]:
        """All buffers, each once."""
        return (buffer for _, buffer in self.named_buffers())

    # ---- modes

    def train(self: Self, mode: bool = True) -> Self:
        """Training mode for it and all below, except what `freeze()` holds in evaluation mode."""
        if not isinstance(mode, bool):
            raise TypeError(f"train() got {mode!r}: give True or False, or call .eval()")
        for module in self.modules():
            module.training = mode and not module.frozen
        return self

    def eval(self: Self) -> Self:
        """Evaluation mode for it and all below: no dropout, running statistics in BatchNorm."""
        return self.train(False)

    def freeze(self: Self) -> Self:
        """Evaluation mode and no gradients, and `model.train()` does not undo it."""
        return self._freeze(True)

    def unfreeze(self: Self) -> Self:
        """Undo `freeze()`: training mode and gradients again."""
        return self._freeze(False)

    def _freeze(self: Self, frozen: bool) -> Self:
        for module in self.modules():
            module.frozen, module.training = frozen, not frozen
        return self.requires_grad_(not frozen)

    def requires_grad_(self: Self, requires_grad: bool = True) -> Self:
        """Set `requires_grad` of all parameters."""
        for parameter in self.parameters():
            parameter.requires_grad = requires_grad
        return self

    def zero_grad(self) -> None:
        """Set every parameter's `.grad` to None."""
        for parameter in self.parameters():
            parameter.grad = None

    def apply(self: Self, function: Callable[[Module], Any]) -> Self:
        """Call `function` on every module below, then on this one."""
        for child in self.children():
            child.apply(function)
        function(self)
        return self

    # ---- dtype and device

    def to(self: Self, *where: Any, dtype: Any = None, device: str | None = None) -> Self:
        """Move to a device, or floating parameters and buffers to a dtype, in place.

        `model.to("cuda")`, `model.to(mg.float64)`.
        """
        dtype, device = destination(where, dtype, device)
        if dtype is not None and not dtypes.is_floating(dtype):
            raise DTypeError(f"a module cannot become {dtype}: give mg.float16, float32 or float64")
        for t in [*self.parameters(), *self.buffers()]:
            kind = dtype if dtypes.is_floating(t.dtype) else None
            grad = t.grad
            t.rebind(t.detach().to(dtype=kind, device=device).array)
            t.grad = None if grad is None else grad.detach().to(dtype=kind, device=device)
        return self

    def float(self: Self) -> Self:
        """Floating parameters and buffers as float32."""
        return self.to(dtypes.float32)

    def double(self: Self) -> Self:
        """Floating parameters and buffers as float64."""
        return self.to(dtypes.float64)

    def half(self: Self) -> Self:
        """Floating parameters and buffers as float16."""
        return self.to(dtypes.float16)

    def cpu(self: Self) -> Self:
        """Everything to the host."""
        return self.to("cpu")

    def cuda(self: Self) -> Self:
        """Everything to the GPU."""
        return self.to("cuda")

    # ---- state

    def state_dict(self) -> dict[str, Tensor]:
        """Copies of all parameters and buffers by dotted name.

        In PyTorch's order: own parameters, own buffers, children.
        """
        return {name: value.detach().clone() for name, value in _state(self)}

    def load_state_dict(self, state: Mapping[str, Any], strict: bool = True) -> None:
        """Copy values of the same names into parameters and buffers.  All or nothing.

        Args:
            state: tensors or arrays by dotted name, such as `state_dict()` or PyTorch's.
            strict: missing and unexpected names are errors (a BatchNorm counter, which old
                files lack, is a warning).

        Raises:
            RuntimeError: lists every missing, unexpected and mis-shaped name at once; nothing
                has changed then.
        """
        own = dict(_state(self))
        values = {name: _host(state[name]) for name in own if name in state}
        counters = [n for n in own if n not in state and n.endswith("num_batches_tracked")]
        problems = [
            f"{name}: shape {value.shape} given, {own[name].shape} wanted"
            for name, value in values.items()
            if value.shape != own[name].shape
        ]
        problems += [
            f"{name}: {value.dtype} given, numbers wanted"
            for name, value in values.items()
            if value.dtype.kind not in "biuf"
        ]
        if strict:
            missing = own.keys() - state.keys() - set(counters)
            problems += [f"{name}: missing" for name in own if name in missing]
            problems += [f"{name}: unexpected" for name in state if name not in own]
        if problems:
            raise RuntimeError(
                "\n  ".join([f"{type(self).__name__}.load_state_dict changed nothing:", *problems])
                + "\nGive the same architecture's state, or strict=False for what fits by name."
            )
        if counters:
            warnings.warn(f"the state has no {', '.join(counters)}: kept as is", stacklevel=2)
        for name, value in values.items():
            _load(own[name], value)

    # ---- repr

    def extra_repr(self) -> str:
        """What the repr shows between the parentheses; subclasses say their options."""
        return ""

    def __repr__(self) -> str:
        lines = [
            f"({name}): " + repr(child).replace("\n", "\n  ")
            for name, child in self.named_children()
        ]
        head = f"{type(self).__name__}({self.extra_repr()}"
        return head + ("\n  " + "\n  ".join(lines) + "\n)" if lines else ")")


def _owned(attributes: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Parameters, buffers and modules among attributes, inside lists, tuples and dicts too."""
    for name, value in attributes.items():
        if isinstance(value, Module | Parameter | Buffer):
            yield name, value
        elif isinstance(value, list | tuple):
            yield from _owned({f"{name}.{i}": each for i, each in enumerate(value)})
        elif isinstance(value, dict):
            yield from _owned({f"{name}.{key}": each for key, each in value.items()})


def _tree(module: Module, prefix: str) -> Iterator[tuple[str, Module]]:
    yield prefix, module
    for name, child in module.named_children():
        yield from _tree(child, f"{prefix}.{name}" if prefix else name)


def _state(module: Module) -> Iterator[tuple[str, Parameter | Buffer]]:
    """Every name of every parameter and buffer, in the order of a state dict."""
    for prefix, each in _tree(module, ""):
        owned = list(_owned(vars(each)))
        for kind in (Parameter, Buffer):
            yield from (
                (f"{prefix}.{name}" if prefix else name, value)
                for name, value in owned
                if isinstance(value, kind)
            )


def _once(pairs: Iterator[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    seen: set[int] = set()
    for name, value in pairs:
        if id(value) not in seen:
            seen.add(id(value))
            yield name, value


def _host(value: Any) -> np.ndarray[Any, Any]:
    if isinstance(value, Tensor):
        return value.numpy()
    home = backend.find(value)
    return np.asarray(value) if home is None else home.to_numpy(value)


def _load(target: Tensor, value: np.ndarray[Any, Any]) -> None:
    place = backend.of(target.array)
    fresh = place.asarray(value, target.dtype, target.device, copy=True)
    if isinstance(target, Parameter):
        with no_grad():
            target.copy_(fresh)  # written, so that a sweep which needs the old value notices
    else:
        target.rebind(fresh)  # statistics are rebound
