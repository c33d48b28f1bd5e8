"""Calls that put each `.cu` file through its paces: a module for each file, named like it.

`minigrad/kernels/losses.cu` has `tests/cuda_calls/losses.py`, whose `CALLS` are by name what to
compute and on which arrays.  Of each the tests show that the kernels give what the op's forward
gives, in any order of threads the same bits, and touch no memory but their own; and of each
barrier that some call fails without it.  So keep them small, and let some cross the borders of
warps and of blocks.

Kernels that stand beside this file are tried as well: `reduce.cu` for the header `reduce.cuh`.
"""

import importlib
from pathlib import Path

from minigrad.kernels.cuda.launching import FOLDER

from .call import Call

FILES = sorted([*FOLDER.glob("*.cu"), *Path(__file__).parent.glob("*.cu")], key=lambda p: p.stem)


def calls_of(file):
    """The calls of a `.cu` file, by name.

    Raises:
        ModuleNotFoundError: there is no module of them.
    """
    return importlib.import_module(f"{__name__}.{file.stem}").CALLS
