"""The picture of a Recorder: four panels by step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from .recorder import Recorder

LABELLED = 12  # lines that a legend names; of more, the first and the last


def plot(recorder: Recorder, layer: str | None) -> Any:
    """See `Recorder.plot`."""
    pyplot = _pyplot()
    if not recorder.steps:
        raise ValueError("nothing is recorded yet: call recorder.step() after backward()")
    names = list(recorder.outputs)
    shown = names[max(len(names) - 2, 0)] if layer is None else layer
    outputs = recorder[shown]
    figure, axes = pyplot.subplots(2, 2, figsize=(10, 6.4), layout="constrained", sharex=True)
    (deviations, percentiles), (gradients, last) = axes
    titled = {_title(recorder, n): _one(each.std, 1) for n, each in recorder.outputs.items()}
    _lines(deviations, recorder.steps, titled, "Deviation of each layer's output")
    _percentiles(percentiles, recorder, _one(outputs.percentiles, 2))
    percentiles.set_title(f"Percentiles of the output of {_title(recorder, shown)}")
    weights = {n: norm for n, norm in recorder.gradients.items() if np.isfinite(norm).any()}
    _lines(gradients, recorder.steps, weights, "L2 norm of each parameter's gradient")
    if not weights:
        _say(gradients, "no gradients: call step() after backward()\nand before zero_grad()")
    _last(last, recorder)
    for axis in axes[1]:
        axis.set_xlabel("step")
    return figure


def _one(values: Any, axes: int) -> Any:
    """The median over the channels, where these are the last axis."""
    return values if values.ndim == axes else np.median(values, axis=-1)


def _pyplot() -> Any:
    try:
        from matplotlib import pyplot
    except ModuleNotFoundError as error:
        if error.name != "matplotlib":
            raise
        raise ImportError(
            "Recorder.plot needs matplotlib: pip install matplotlib "
            '(or pip install "minigrad[examples]")'
        ) from None
    return pyplot


def _title(recorder: Recorder, name: str) -> str:
    return f"{name}: {recorder.titles[name]}" if name else recorder.titles[name]


def _colours(count: int) -> Any:
    """From dark to light with depth, which a printer without colours keeps."""
    from matplotlib import colormaps

    return colormaps["viridis"](np.linspace(0, 0.88, count))


def _lines(axis: Any, steps: list[int], curves: Mapping[str, Any], title: str) -> None:
    """One line for each name, on a logarithmic scale."""
    named = set(
        list(curves) if len(curves) <= LABELLED else [*list(curves)[:1], *list(curves)[-1:]]
    )
    for colour, (name, values) in zip(_colours(len(curves)), curves.items(), strict=True):
        positive = np.where(np.asarray(values) > 0, values, np.nan)
        label = name if name in named else None
        axis.plot(steps, positive, color=colour, linewidth=1.2, label=label)
    axis.set_title(title)
    if curves:
        axis.set_yscale("log")
        axis.legend(fontsize=7, loc="best", ncols=1 + (len(named) > 6))


def _percentiles(axis: Any, recorder: Recorder, values: Any) -> None:
    """(steps, percentiles): the middle one thick, those around it as an area."""
    middle = len(recorder.percentiles) // 2
    for i, p in enumerate(recorder.percentiles):
        style = "-" if i == middle else "--"
        axis.plot(recorder.steps, values[:, i], style, color="black", linewidth=1, label=f"{p:g} %")
    axis.fill_between(recorder.steps, values.min(1), values.max(1), color="grey", alpha=0.25)
    axis.legend(fontsize=7, loc="best")


def _last(axis: Any, recorder: Recorder) -> None:
    """Running statistics where there are any, else the values that were given, such as the loss."""
    if recorder.running:
        curves = {f"{name}: variance": _one(each.var, 1) for name, each in recorder.running.items()}
        _lines(axis, recorder.steps, curves, "Running variance: median over the channels")
    elif recorder.values:
        _lines(axis, recorder.steps, recorder.values, ", ".join(recorder.values))
    else:
        axis.set_title("Values given to step()")
        _say(axis, "none: give step(loss=loss)")


def _say(axis: Any, text: str) -> None:
    axis.text(0.5, 0.5, text, transform=axis.transAxes, ha="center", va="center", color="#555555")
