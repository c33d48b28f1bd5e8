"""What the command lines of the examples share: options that are checked, and where pictures go."""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib

import minigrad as mg

matplotlib.use("Agg")  # writes files; no screen is needed
import matplotlib.pyplot as plt  # noqa: F401 (for the examples)

PICTURES = (".png", ".svg", ".pdf", ".jpg")


def options_of(
    doc: str, out: str | None = None, **counts: tuple[int, str]
) -> argparse.ArgumentParser:
    """A parser with --device and --seed; with --out, where the picture goes; and with counts.

    Args:
        doc: what --help says first.
        out: the picture's usual name; None for an example that draws nothing.
        counts: options that take a number of at least 1: (the usual one, what it means).
    """
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.set_defaults(counts=list(counts))
    for name, (usual, meaning) in counts.items():
        parser.add_argument(f"--{name}", type=int, default=usual, help=f"{meaning} (%(default)s)")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:1 (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of all that is random (%(default)s)")
    if out is not None:
        parser.add_argument("--out", default=out, help="where the picture goes (%(default)s)")
    return parser


def parsed(parser: argparse.ArgumentParser, arguments: list[str] | None) -> argparse.Namespace:
    """The options; a wrong one ends the program with what to type instead."""
    options = parser.parse_args(arguments)
    for name in options.counts:
        if getattr(options, name) < 1:
            parser.error(f"--{name} {getattr(options, name)}: give at least 1")
    if options.seed < 0:
        parser.error(f"--seed {options.seed}: give 0 or more")
    if "out" in options:
        if Path(options.out).suffix not in PICTURES:
            parser.error(f"--out {options.out}: give a file name that ends in .png (or .svg, .pdf)")
        if not Path(options.out).absolute().parent.is_dir():
            parser.error(f"--out {options.out}: there is no folder {Path(options.out).parent}")
    try:
        mg.zeros(1, device=options.device)
    except mg.DeviceError as error:
        parser.error(str(error))
    return options
