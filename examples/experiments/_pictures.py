"""How the experiments' pictures look: one line style and lightness for each form, in every one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

matplotlib.use("Agg")  # writes files; no screen is needed
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

WIDTH, HEIGHT, DPI = 9.0, 3.6, 100  # inches; 900 pixels wide, legible at 800
COLOURS = 64  # of the file: few make it small
# told apart by lightness and by line, so that they survive a printer without colours
STYLES: dict[str, dict[str, Any]] = {
    "BatchNorm": {"color": "#0b3c6f", "linestyle": "-", "marker": "o"},
    "none": {"color": "#e07b00", "linestyle": "--", "marker": "s"},
    "third": {"color": "#5aa469", "linestyle": "-.", "marker": "^"},
    "fourth": {"color": "#a66fb5", "linestyle": (0, (1, 1)), "marker": "D"},
    "fifth": {"color": "#8c8c8c", "linestyle": (0, (5, 1, 1, 1, 1, 1)), "marker": "v"},
}


def new_figure(size: tuple[float, float] = (WIDTH, HEIGHT)) -> Figure:
    """An empty figure; an experiment's SIZE is in inches."""
    settings = {"font.size": 9.5, "axes.titlesize": 10, "axes.spines.top": False}
    plt.rcParams.update({**settings, "axes.spines.right": False, "lines.markersize": 4})
    return plt.figure(figsize=size, layout="constrained")


def band(axis: Axes, x: Sequence[float], curves: Any, label: str, style: str, **more: Any) -> None:
    """The median over the seeds, and their range in a lighter tone.

    Args:
        axis: where to draw.
        x: (points,).
        curves: for each seed its values; one that ended early (it diverged) is not drawn beyond.
        label: for the legend.
        style: a key of STYLES.
        more: goes to `plot`; markers are only drawn with marker=True.
    """
    values = np.full((len(curves), len(x)), np.nan)
    for row, curve in zip(values, curves, strict=True):
        row[: len(curve)] = curve[: len(x)]
    look = {**STYLES[style]}
    if more.pop("marker", False) is not True:
        look.pop("marker")
    some = np.isfinite(values).any(0)  # at other points there is nothing to draw
    at, values = np.asarray(x)[some], values[:, some]
    axis.plot(at, np.nanmedian(values, 0), label=label, **{**look, **more})
    low, high = np.nanmin(values, 0), np.nanmax(values, 0)
    axis.fill_between(at, low, high, color=look["color"], alpha=0.18, linewidth=0)


def diverged(axis: Axes, x: Sequence[float], y: Any, label: str | None = "diverged") -> None:
    """A cross at each point where training gave no number any more."""
    where = np.broadcast_to(y, len(x))
    axis.scatter(x, where, marker="x", s=42, color="black", zorder=5, label=label, clip_on=False)


def level(axis: Axes, y: float, text: str = "chance", side: str = "right") -> None:
    """A thin line across, named at its right or left end: chance, or the loss ln 10."""
    axis.axhline(y, color="#555555", linestyle=":", linewidth=1)
    look = {"ha": side, "va": "bottom", "fontsize": 8, "color": "#555555"}
    x = 0.995 if side == "right" else 0.005
    axis.text(x, y, text, transform=axis.get_yaxis_transform(), **look)


def save(figure: Figure, path: Path) -> None:
    """Write a PNG with few colours."""
    from PIL import Image  # comes with matplotlib

    figure.savefig(path, dpi=DPI)
    plt.close(figure)
    with Image.open(path) as image:
        few = image.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    few.save(path, optimize=True)
