"""Saving and loading state dicts as safetensors files: numbers by name, and nothing that runs.

A file is never half written: `save` writes beside it and renames.  Nor is it half believed: `load`
takes a whole file or raises.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from types import ModuleType
from typing import Any

import numpy as np

from . import backend
from .dtypes import NUMBER, checked
from .errors import DTypeError
from .file_kinds import kind_of
from .tensor import Tensor, on_host

Array = np.ndarray[Any, Any]
Path = str | os.PathLike[str]

RESERVED = "__metadata__"  # where the format keeps notes
SAVED = (Tensor, *NUMBER, np.generic, np.ndarray)  # and the arrays of every backend
# the format's names for what a tensor can hold; it knows little-endian numbers only
DTYPES = {
    "BOOL": "?",
    **{f"{kind.upper()}{8 * size}": f"<{kind}{size}" for kind in "iu" for size in (1, 2, 4, 8)},
    **{f"F{8 * size}": f"<f{size}" for size in (2, 4, 8)},
}


def save(state_dict: Mapping[str, Any], path: Path) -> None:
    """Write tensors by name to a file in safetensors format.

    `mg.save(model.state_dict(), "model.safetensors")`.  They are written to another file in the
    same folder, which is brought to the disk and renamed: whatever happens, `path` is the old file
    or the new one.  A link stays one, and what it points to is replaced; a file that is replaced
    hands on its permissions.  The same state gives the same bytes.

    Args:
        state_dict: flat; tensors on any device, arrays, and numbers, which become 0-d arrays.
            Tensors that share memory are written each in full.
        path: by custom it ends in .safetensors.

    Raises:
        TypeError: no dict, a name that is no text, or a value that is no tensor, array or number.
        DTypeError: an array of complex numbers, text or objects.
        ValueError: the name "__metadata__".
        OSError: the file cannot be written.  The old file is as it was after any error.
    """
    arrays = _arrays(state_dict)
    _write(os.path.realpath(os.fsdecode(path)), _safetensors().numpy.save(arrays))


def load(path: Path, device: str | None = None) -> dict[str, Tensor]:
    """The tensors of a safetensors file by name, in the file's order.

    `model.load_state_dict(mg.load("model.safetensors"))`.  bfloat16, which NumPy lacks, becomes
    float32 without loss.  The format has no checksum: a bit that changed among the numbers goes
    unnoticed.

    Args:
        path: a file of `mg.save`, or one that safetensors wrote for PyTorch, JAX or others.
        device: where the tensors go; the CPU unless it is given.

    Raises:
        ValueError: a file that is cut off, broken or of another format.
        DTypeError: a tensor of a dtype that minigrad does not have, such as float8.
        OSError: it cannot be read.
    """
    library = _safetensors()
    with open(path, "rb") as file:
        content = file.read()
    try:
        parts = dict(library.deserialize(content))
    except library.SafetensorError as error:
        raise ValueError(_refusal(path, content, error)) from error
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    del content  # pop frees each part too, once it is a tensor
    names = [name for name in header if name != RESERVED]
    return {name: Tensor(_array(path, name, parts.pop(name)), device=device) for name in names}


def _safetensors() -> ModuleType:
    """The library, once it is needed."""
    try:
        import safetensors.numpy
    except ModuleNotFoundError as error:
        if error.name != "safetensors":
            raise
        raise ImportError(
            "saving and loading needs safetensors: pip install safetensors "
            '(or pip install "minigrad[files]")'
        ) from None
    return safetensors


# ---- saving


def _arrays(state: Mapping[str, Any]) -> dict[str, Array]:
    """What is to be saved, as arrays on the host, each in one piece and in native byte order."""
    if not isinstance(state, Mapping):
        hint = "its .state_dict()" if hasattr(state, "state_dict") else "a dict of tensors by name"
        raise TypeError(f"save got a {type(state).__name__}: give {hint}")
    for name in state:
        if not isinstance(name, str):
            raise TypeError(f"save got the name {name!r}: names are text, such as {str(name)!r}")
        if name == RESERVED:
            raise ValueError(f"save got the name {name!r}, which the format keeps for itself")
    return {name: _host(name, value) for name, value in state.items()}


def _host(name: str, value: Any) -> Array:
    if not isinstance(value, SAVED) and backend.find(value) is None:
        raise TypeError(
            f"{name!r} is a {type(value).__name__}: save takes tensors, arrays and numbers"
            + _hint(name, value)
        )
    array = on_host(value)
    try:
        return np.asarray(array, checked(array.dtype), order="C")
    except DTypeError as error:
        raise DTypeError(f"{name!r} cannot be saved: {error}") from None


def _hint(name: str, value: Any) -> str:
    if isinstance(value, Mapping):
        inner = next(iter(value), "key")
        return f"; flatten the dict that it is, to names such as {f'{name}.{inner}'!r}"
    if isinstance(value, list | tuple):
        return "; make one of it, by mg.tensor(value)"
    if type(value).__module__.partition(".")[0] == "torch":
        return "; convert it, by value.detach().numpy()"
    return "; leave it out, or write it to another file, such as JSON"


def _write(target: str, content: bytes) -> None:
    """Replace a file by another that is whole and on the disk."""
    mode = _mode(target)
    temporary = os.path.join(os.path.dirname(target), f".minigrad-{os.urandom(8).hex()}.tmp")
    try:
        with open(temporary, "xb") as file:
            if mode is not None:
                os.chmod(temporary, mode)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise


def _mode(target: str) -> int | None:
    """The permissions of a file that is to be replaced, None if there is none.

    Raises:
        OSError: it may not be replaced, or there is no such folder.
    """
    folder = os.path.dirname(target)
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"there is no folder {folder}: make it first, by os.makedirs")
    if not os.path.lexists(target):
        return None
    if os.path.isdir(target):
        raise IsADirectoryError(f"{target} is a folder: give the name of a file")
    if not os.path.isfile(target):
        raise OSError(f"{target} is no ordinary file: give the name of one")
    if not os.access(target, os.W_OK):
        raise PermissionError(f"{target} is write-protected: give another name")
    return stat.S_IMODE(os.stat(target).st_mode)


# ---- loading


def _array(path: Path, name: str, part: Mapping[str, Any]) -> Array:
    """An array on the memory of a part."""
    dtype, shape, data = part["dtype"], part["shape"], part["data"]
    if dtype == "BF16":  # the upper half of a float32
        wide = np.ndarray(shape, "<u2", data).astype(np.uint32) << np.uint32(16)
        return np.asarray(wide).view(np.float32)
    if dtype not in DTYPES:
        raise DTypeError(
            f"{name!r} in {os.fspath(path)} is {dtype}, which minigrad does not have: convert it "
            "with the library that wrote it, to float32 for instance"
        )
    if dtype == "BOOL" and data and max(data) > 1:
        raise ValueError(f"{name!r} in {os.fspath(path)} is broken: a boolean is neither 0 nor 1")
    return np.ndarray(shape, DTYPES[dtype], data)


def _refusal(path: Path, content: bytes, error: Exception) -> str:
    why = f"{os.fspath(path)} is no whole safetensors file"
    if len(content) < 9 or content[8:9] == b"{":  # a length of 8 bytes, then a header of JSON
        return f"{why}: it is cut off or broken ({error}); save it again, or take an older one"
    return (
        f"{why} but {kind_of(content[:16])}: load what PyTorch saved with torch.load, and save "
        "it with safetensors.torch.save_file or give its arrays to load_state_dict"
    )
