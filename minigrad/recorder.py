"""Looking inside training: `mg.record(model)` keeps what layers give and what gradients they get.

Only numbers are kept, on the host: no array of the model, no node of a graph.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Any

import numpy as np

from .dtypes import is_floating, is_whole
from .modes import recomputing
from .nn.module import Module
from .nn.norm_base import check_model
from .recorded import Numbers, Outputs, Running, described, host, length, other_axes
from .tensor import Tensor


def record(
    model: Module,
    layers: Iterable[str] | None = None,
    percentiles: Sequence[float] = (15, 50, 85),
    every: int = 1,
    channels: bool = False,
) -> Recorder:
    """Keep, by step, what the layers of a model give, their gradients and running statistics.

    For when a net does not train: a layer whose output has a deviation near 0 is dead, one whose
    gradients are far below those of the layer after it learns nothing, and percentiles that wander
    are what Ioffe and Szegedy (2015, arXiv 1502.03167) call internal covariate shift, and draw.

    Call `.step()` once a step, between `backward()` and the next `zero_grad()`.  Training is the
    same bit for bit with and without.

    Args:
        model: recorded while it is in training mode: a test in evaluation mode leaves no trace.
        layers: names as `model.named_modules()` gives them; usually all that hold no other module.
        percentiles: of the outputs, from 0 to 100.
        every: record the first of so many steps; the others cost nothing.
        channels: describe each channel of the outputs, axis 1, by itself.

    Returns:
        A `Recorder`.  Its hooks go with the end of `with`, or with `.close()`.

    Raises:
        TypeError: the model is no module.
        AttributeError: it has no layer of a given name.
        ValueError: a percentile beyond 0 to 100, or every below 1.
        ShapeError: with channels, when a layer's output has no axis 1.

    Example:
        >>> from minigrad import nn, optim
        >>> model = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Sigmoid(), nn.Linear(4, 1))
        >>> optimizer = optim.SGD(model.parameters(), lr=0.1)
        >>> with mg.record(model) as recorder:
        ...     for step in range(20):
        ...         loss = (model(mg.randn(8, 2)) ** 2).mean()
        ...         optimizer.zero_grad()
        ...         loss.backward()
        ...         optimizer.step()
        ...         recorder.step(loss=loss)
        >>> recorder
        Recorder(20 steps of 4 layers, 6 gradients, 1 pair of running statistics; loss)
        >>> recorder["2"].percentiles.shape, recorder["2"].mean.shape
        ((20, 3), (20,))
        >>> recorder.gradients["3.weight"].shape, recorder.running["1"].mean.shape
        ((20,), (20, 4))

    `recorder.plot().savefig("training.png")` draws it, with matplotlib.
    """
    check_model("record", model)
    wanted = _checked_percentiles(percentiles)
    if not is_whole(every) or every < 1:
        raise ValueError(f"record got every={every!r}: give an integer of at least 1")
    return Recorder(model, _named(model, layers), wanted, int(every), channels)


class Recorder:
    """What `mg.record` returns.

    - `recorder[name]`: a layer's `Outputs`, by its name; also in the dict `outputs`
    - `gradients[name]`: the L2 norm of a parameter's gradient, (steps,), NaN where it had none
    - `running[name]`: a norm's `Running` statistics
    - `values[name]`: what `.step(name=...)` was given, (steps,)
    - `steps`: the numbers of the recorded steps, from 1
    - `plot()`: a matplotlib Figure of all that
    """

    def __init__(
        self,
        model: Module,
        layers: dict[str, Module],
        percentiles: tuple[float, ...],
        every: int,
        channels: bool,
    ) -> None:
        self.model, self.percentiles = model, percentiles
        self.every, self.channels = every, channels
        self.titles = {name: type(layer).__name__ for name, layer in layers.items()}
        self.outputs = {name: Outputs() for name in layers}
        self.running = {name: Running() for name, _ in _norms(model)}
        self.steps: list[int] = []
        self._norms: dict[str, list[float]] = {name: [] for name, _ in model.named_parameters()}
        self._values: dict[str, list[float]] = {}
        self._seen: dict[str, Numbers] = {}  # in this step
        self._count = 0
        self._handles = [
            layer.register_forward_hook(self._hook(name)) for name, layer in layers.items()
        ]

    def __getitem__(self, name: str) -> Outputs:
        if name not in self.outputs:
            raise KeyError(f"no layer {name!r} is recorded; there are {', '.join(self.outputs)}")
        return self.outputs[name]

    @property
    def gradients(self) -> dict[str, Numbers]:
        """The L2 norm of each parameter's gradient by the parameter's name, (steps,)."""
        return {name: np.array(norms) for name, norms in self._norms.items()}

    @property
    def values(self) -> dict[str, Numbers]:
        """What `step` was given by name, (steps,); NaN where it was not."""
        return {name: np.array(values) for name, values in self._values.items()}

    # ---- recording

    def _hook(self, name: str) -> Callable[..., None]:
        def hook(module: Module, inputs: Any, output: Any) -> None:
            if not self._due() or not self.model.training or recomputing.get():
                return
            if isinstance(output, Tensor) and is_floating(output.dtype) and output.size:
                axes = other_axes(name, output) if self.channels else None
                self._seen[name] = described(output.array, self.percentiles, axes)

        return hook

    def _due(self) -> bool:
        return self._count % self.every == 0

    def step(self, **values: Any) -> None:
        """End a step: take what the layers gave last, the gradients, and the running statistics.

        Args:
            values: numbers to keep by name, such as loss=loss.

        Raises:
            RuntimeError: no recorded layer ran in training mode since the last step.
        """
        if self._due():
            if not self._seen:
                raise RuntimeError(
                    "Recorder.step: no recorded layer ran in training mode since the last step; "
                    "call the model between two steps, after model.train()"
                    + ("" if self._handles else ", and before the recorder is closed")
                )
            self._keep({name: float(value) for name, value in values.items()})
        self._count += 1

    def _keep(self, values: dict[str, float]) -> None:
        for name, outputs in self.outputs.items():
            outputs.rows.append(self._seen.get(name))
        for name, p in self.model.named_parameters():
            self._norms[name].append(np.nan if p.grad is None else length(p.grad.array))
        for name, norm in _norms(self.model):
            self.running[name].rows.append(
                (host(norm.running_mean.array), host(norm.running_var.array))
            )
        for name in {**self._values, **values}:
            known = self._values.setdefault(name, [np.nan] * len(self.steps))
            known.append(values.get(name, np.nan))
        self.steps.append(self._count + 1)
        self._seen = {}

    def close(self) -> None:
        """Take the hooks back; what was recorded stays."""
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def __enter__(self) -> Recorder:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # ---- looking

    def plot(self, layer: str | None = None) -> Any:
        """A matplotlib Figure: deviations, percentiles, gradients, and running statistics by step.

        Args:
            layer: whose percentiles to draw; usually the last but one.

        Raises:
            ImportError: matplotlib is not installed.
            ValueError: nothing is recorded yet.
            KeyError: no such layer is recorded.
        """
        from .recorder_plot import plot

        return plot(self, layer)

    def __repr__(self) -> str:
        parts = [
            f"{_counted(len(self.steps), 'step')} of {_counted(len(self.outputs), 'layer')}",
            _counted(len(self._norms), "gradient"),
        ]
        if self.running:
            parts.append(f"{_counted(len(self.running), 'pair')} of running statistics")
        values = f"; {', '.join(self._values)}" if self._values else ""
        return f"Recorder({', '.join(parts)}{values})"


def _norms(model: Module) -> list[tuple[str, Any]]:
    """The modules that keep running statistics."""
    return [
        (name, module)
        for name, module in model.named_modules()
        if getattr(module, "running_mean", None) is not None
    ]


# ---- what was asked for --------------------------------------------------------------------------


def _named(model: Module, layers: Iterable[str] | None) -> dict[str, Module]:
    """The layers to record, by name."""
    if layers is None:
        return {
            name: module for name, module in model.named_modules() if not any(module.children())
        }
    if isinstance(layers, str):
        raise TypeError(f"record got layers={layers!r}: give a list, such as [{layers!r}]")
    return {name: model.get_submodule(name) for name in layers}


def _checked_percentiles(percentiles: Sequence[float]) -> tuple[float, ...]:
    wanted = tuple([float(each) for each in percentiles])
    if not wanted or any(not 0 <= each <= 100 for each in wanted):
        raise ValueError(
            f"record got percentiles={percentiles!r}: give some from 0 to 100, such as (15, 50, 85)"
        )
    return wanted


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
