"""How a kernel of a `.cu` file is found, and launched with arguments of the right width."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

FOLDER = Path(__file__).parent.parent  # where the .cu files are
OPTIONS = ("-std=c++17", f"-I{FOLDER}")
SLOW = {"norms", "norms_columns", "norms_layers"}  # seconds to compile: one dtype at a time


def source(file: str) -> str:
    """The text of `minigrad/kernels/<file>.cu`, after a line that is new where a header is.

    CuPy keeps what it compiled by the text, and so does not see that a header has changed.
    """
    headers = [path.read_text() for path in sorted(FOLDER.glob("*.cuh"))]
    text = (FOLDER / f"{file}.cu").read_text()
    digest = hashlib.sha256("".join(headers).encode()).hexdigest()
    return f"// headers: {digest}\n{text}"


@functools.cache
def module(xp: ModuleType, file: str, dtype: str = "") -> Any:
    """`minigrad/kernels/<file>.cu`, which CuPy compiles when a kernel is first asked for.

    With a dtype its kernels alone, as in a file with FOR_float32(...) and its kin (numbers.cuh).
    """
    return xp.RawModule(code=source(file), options=options_for(dtype))


def options_for(dtype: str = "") -> tuple[str, ...]:
    """The compiler's options, for kernels of all dtypes or of one."""
    return (f"-DONLY_{dtype}", *OPTIONS) if dtype else OPTIONS


@functools.cache
def kernel(xp: ModuleType, file: str, name: str) -> Any:
    """The kernel `name` of a file, such as ("norms", "batch_norm_sums_float32")."""
    dtype = name.rpartition("_")[2] if file in SLOW else ""
    return module(xp, file, dtype).get_function(name)


def launch(
    run: Any, blocks: tuple[int, ...], threads: tuple[int, ...], *arguments: Any, shared: int = 0
) -> None:
    """Launch on the current stream; nothing happens where there are no blocks.

    Args:
        run: what `kernel` gave.
        blocks: the grid, up to three numbers.
        threads: of a block, up to three numbers.
        arguments: arrays, passed as pointers to their first element; an int is passed as a `long
            long`, a float as a `double`, None as a null pointer.
        shared: bytes of dynamic shared memory.

    Raises:
        ValueError: an array is not C-contiguous: a pointer does not say how it lies.
    """
    if 0 in blocks:
        return
    run(blocks, threads, tuple(map(_passed, arguments)), shared_mem=shared)


def _passed(argument: Any) -> Any:
    if isinstance(argument, int):
        return np.int64(argument)
    if isinstance(argument, float):
        return np.float64(argument)
    if argument is None:
        return np.intp(0)
    if not argument.flags.c_contiguous:
        raise ValueError(f"a kernel was given an array {argument.shape} that is not contiguous")
    return argument
