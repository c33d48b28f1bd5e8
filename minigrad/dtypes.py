"""Element types: NumPy's dtypes under PyTorch's names, and what integers become.

float16 has three digits and ends at 65504: beyond it results are infinite, with NumPy's warning,
and gradients below 6e-8 are 0.  Sums and means of it are made in a wider dtype and rounded once.
"""

from __future__ import annotations

from typing import Any, TypeGuard

import numpy as np

from .errors import DTypeError

float16 = np.dtype(np.float16)
float32 = np.dtype(np.float32)
float64 = np.dtype(np.float64)
int32 = np.dtype(np.int32)
int64 = np.dtype(np.int64)
bool_ = np.dtype(np.bool_)

FLOATING = (float16, float32, float64)
# what a static argument may be: isinstance(value, NUMBER)
NUMBER = (int, float, np.integer, np.floating)
WHOLE = (int, np.integer)
_default = float32


def default_dtype() -> np.dtype[Any]:
    """The dtype of tensors made from Python floats: float32, or what was set."""
    return _default


def set_default_dtype(dtype: Any) -> None:
    """Set the dtype of tensors made from Python floats: float16, float32 or float64.

    Raises:
        DTypeError: dtype is not one of these three.
    """
    global _default
    wanted = np.dtype(dtype)
    if wanted not in FLOATING:
        raise DTypeError(
            f"the default dtype was given as {wanted}; it must be mg.float16, mg.float32 or "
            "mg.float64"
        )
    _default = wanted


def checked(dtype: Any) -> np.dtype[Any]:
    """`dtype` as a dtype that a tensor can have: boolean, integer, or float16, float32, float64."""
    try:
        wanted = np.dtype(dtype)
    except TypeError as error:
        raise DTypeError(f"dtype was given as {dtype!r}: give one such as mg.float32") from error
    if wanted.kind not in "biu" and wanted.newbyteorder("=") not in FLOATING:
        hint = " (take x.real and x.imag apart)" if wanted.kind == "c" else ""
        raise DTypeError(
            f"a tensor cannot hold {wanted}{hint}: convert to mg.float32, mg.float64, "
            "mg.float16, an integer dtype or mg.bool"
        )
    native: np.dtype[Any] = np.dtype(wanted.char)  # NumPy's own object: dtypes are compared by `is`
    return native


def is_floating(dtype: np.dtype[Any]) -> bool:
    """Whether numbers of this dtype can carry a gradient."""
    return dtype.kind == "f"


def is_number(value: object) -> TypeGuard[float]:
    """Whether an option is a real number, Python's or NumPy's; True and False are none."""
    return isinstance(value, NUMBER) and not isinstance(value, bool)


def is_whole(value: object) -> TypeGuard[int]:
    """Whether an option is an integer, Python's or NumPy's; True and False are none."""
    return isinstance(value, WHOLE) and not isinstance(value, bool)


def as_floating(array: Any) -> Any:
    """A floating array as it is, integers in the default dtype (int / int is not float64)."""
    return array if array.dtype.kind == "f" else array.astype(_default)
