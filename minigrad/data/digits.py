"""The digits that come with scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np


def load_digits() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """1,797 handwritten digits of 8×8 pixels, from the installed scikit-learn.

    Returns:
        The images, float32 in [0, 1] of shape (1797, 1, 8, 8), and the labels 0 to 9, int64 of
        shape (1797,): Alpaydin and Kaynak, "Optical Recognition of Handwritten Digits", UCI, 1998.

    Raises:
        ImportError: scikit-learn is not installed.
    """
    try:
        from sklearn import datasets  # type: ignore[import-untyped, unused-ignore]
    except ModuleNotFoundError as error:
        if error.name != "sklearn":
            raise
        raise ImportError(
            "load_digits needs scikit-learn, which the digits come with: pip install scikit-learn "
            '(or pip install "minigrad[examples]")'
        ) from None
    digits = datasets.load_digits()
    images = digits.images[:, None].astype(np.float32) / 16  # 16 shades: exact in binary
    return images, digits.target.astype(np.int64)
