"""Module: a part of a model, with its modes, its place, its state and its hooks."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from .. import dtypes
from ..create import zeros_like
from ..errors import DTypeError
from ..ops.operators import destination
from ..tensor import Tensor
from . import state, walk
from .hooks import ForwardHooks, HookHandle
from .parameter import Buffer, Parameter, in_place_of
from .text import html, text

Self = TypeVar("Self", bound="Module")


class Module:
    """A part of a model.

    Subclasses assign parameters, buffers and modules as attributes and define `forward`.

    Lists, tuples and dicts of them are found too.  `super().__init__()` is not needed.
    """

    training: bool = True
    frozen: bool = False
    _hooks: ForwardHooks | None = None

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        """What the module computes; subclasses define it."""
        raise TypeError(f"{type(self).__name__} has no forward: define `def forward(self, x): ...`")

    def __call__(self, *inputs: Any, **kwargs: Any) -> Any:
        """`forward`, between the hooks if there are any."""
        if self._hooks is None:
            return self.forward(*inputs, **kwargs)
        return self._hooks.run(self, inputs, kwargs)

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute; what it owns is not lost by the way.

        A tensor in a buffer's place becomes a buffer: `self.average = 0.9 * self.average + ...`.

        Raises:
            TypeError: anything but a Parameter or None in a parameter's place, or but a Module or
                None in a module's.
            GraphError: a result with a graph in a buffer's place.
        """
        held, full = vars(self).get(name), f"{type(self).__name__}.{name}"
        if isinstance(held, Parameter | Buffer):
            value = in_place_of(held, full, value)
        elif isinstance(held, Module) and not isinstance(value, Module | None):
            raise TypeError(f"{full} is a module and was given a {type(value).__name__}: give one")
        super().__setattr__(name, value)

    # ---- what it owns

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The modules that it holds directly, with their names."""
        return walk.owned(vars(self).items(), (Module,))

    def children(self) -> Iterator[Module]:
        """The modules that it holds directly."""
        return (child for _, child in self.named_children())

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """Itself and all modules below, each once, with dotted names."""
        return walk.once(walk.tree(self, prefix))

    def modules(self) -> Iterator[Module]:
        """Itself and all modules below, each once."""
        return (module for _, module in self.named_modules())

    def named_parameters(
        self, prefix: str = "", recurse: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """All parameters, each once (also where modules share it), with dotted names.

        recurse=False leaves out those of the modules below.
        """
        return _of_kind(Parameter, walk.state(self, prefix, recurse))

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """All parameters, each once: what an optimiser takes."""
        return (parameter for _, parameter in self.named_parameters(recurse=recurse))

    def named_buffers(self, prefix: str = "", recurse: bool = True) -> Iterator[tuple[str, Buffer]]:
        """All buffers, each once, with dotted names."""
        return _of_kind(Buffer, walk.state(self, prefix, recurse))

    def buffers(self, recurse: bool = True) -> Iterator[Buffer]:
        """All buffers, each once."""
        return (buffer for _, buffer in self.named_buffers(recurse=recurse))

    def get_submodule(self, target: str) -> Module:
        """The module of this dotted name; itself for the empty one.

        Raises:
            AttributeError: there is none.
        """
        found: dict[str, Module] = dict(walk.tree(self))
        if target not in found:
            near = difflib.get_close_matches(target, found, n=1)
            hint = f"did you mean {near[0]!r}?" if near else "see .named_modules()"
            raise AttributeError(f"{type(self).__name__} has no module {target!r}: {hint}")
        return found[target]

    # PyTorch's ways to write `self.name = ...`, for code that comes from there

    def register_buffer(self, name: str, tensor: Any, persistent: bool = True) -> None:
        """`self.name = nn.Buffer(tensor, persistent=persistent)`."""
        buffer = None if tensor is None else Buffer(tensor, persistent=persistent)
        self._register(name, buffer, Buffer)

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """`self.name = param`."""
        self._register(name, param, Parameter)

    def add_module(self, name: str, module: Module | None) -> None:
        """`self.name = module`."""
        self._register(name, module, Module)

    def _register(self, name: str, value: Any, kind: type) -> None:
        if value is not None and not isinstance(value, kind):
            raise TypeError(
                f"{type(self).__name__}.{name} was given a {type(value).__name__}: give an "
                f"nn.{kind.__name__}"
            )
        if not isinstance(name, str) or not name or "." in name:
            raise ValueError(
                f"the name {name!r} cannot stand in a state dict: give one without dot"
            )
        if hasattr(self, name) and not isinstance(getattr(self, name), kind | None):
            raise ValueError(f"{type(self).__name__} has an attribute {name!r}: give another name")
        setattr(self, name, value)

    # ---- hooks

    def register_forward_hook(self, hook: Callable[..., Any]) -> HookHandle:
        """Call `hook(module, inputs, output)` after each `forward`.

        What it returns, if anything, replaces the output.

        Returns:
            A handle whose `.remove()`, or the end of `with`, takes the hook back.
        """
        hooks = self._own_hooks()
        return hooks.add(hooks.after, hook)

    def register_forward_pre_hook(self, hook: Callable[..., Any]) -> HookHandle:
        """Call `hook(module, inputs)` before each `forward`.

        What it returns, if anything, replaces the inputs: one, or a tuple of several.
        """
        hooks = self._own_hooks()
        return hooks.add(hooks.before, hook)

    def _own_hooks(self) -> ForwardHooks:
        if self._hooks is None:
            self._hooks = ForwardHooks()
        return self._hooks

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

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Set every parameter's `.grad` to None, or to zeros."""
        for p in self.parameters():
            p.grad = None if set_to_none or p.grad is None else zeros_like(p)

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
        moved = [(t, *_moved(t, dtype, device)) for t in (*self.parameters(), *self.buffers())]
        for t, value, grad in moved:  # now that nothing can fail any more
            t.rebind(value.array)
            t.grad = grad
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
        """Copies of all parameters and persistent buffers by dotted name.

        In PyTorch's order: own parameters, own buffers, children.
        """
        return {name: value.detach().clone() for name, value in state.named(self)}

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True
    ) -> state.IncompatibleKeys:
        """Copy values of the same names into parameters and buffers.  All or nothing.

        Args:
            state_dict: tensors or arrays by dotted name, such as `mg.load(path)`, `state_dict()`
                or PyTorch's.  Floating numbers are rounded to the module's dtype.
            strict: missing and unexpected names are errors (a BatchNorm counter, which old
                files lack, is a warning).

        Returns:
            The names that were passed over: (missing_keys, unexpected_keys).

        Raises:
            RuntimeError: lists every missing, unexpected and mis-shaped name, and every one with
                another kind of numbers, at once; nothing has changed then.
            TypeError: something else than a dict.
        """
        return state.load(self, state_dict, strict)

    # ---- repr

    def extra_repr(self) -> str:
        """What the repr shows between the parentheses; subclasses say their options."""
        return ""

    def __repr__(self) -> str:
        return text(self)

    def _repr_html_(self) -> str:
        return html(self)


def _of_kind(kind: type, pairs: walk.Named) -> walk.Named:
    return walk.once((name, value) for name, value in pairs if isinstance(value, kind))


def _moved(t: Tensor, dtype: Any, device: str | None) -> tuple[Tensor, Tensor | None]:
    """A parameter or buffer elsewhere, with its gradient."""
    kind = dtype if dtypes.is_floating(t.dtype) else None
    grad = None if t.grad is None else t.grad.detach().to(dtype=kind, device=device)
    return t.detach().to(dtype=kind, device=device), grad
