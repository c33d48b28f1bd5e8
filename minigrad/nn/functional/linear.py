"""The fully connected layer as a function."""

from __future__ import annotations

from ...errors import ShapeError
from ...ops import linear as ops
from ...tensor import Tensor
from ..checks import check_affine, check_floating


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x wᵀ + b.

    Args:
        x: (…, in_features).
        weight: (out_features, in_features).
        bias: (out_features,), or None.

    Returns:
        (…, out_features).

    Raises:
        ShapeError: x's last axis is not in_features.
        DTypeError: x holds integers.
    """
    check_floating("linear", x)
    check_affine("linear", weight, 2, bias)
    if x.ndim == 0 or x.shape[-1] != weight.shape[-1]:
        raise ShapeError(
            f"linear got x of shape {x.shape} for {weight.shape[-1]} input features: the last "
            f"axis must have length {weight.shape[-1]} (nn.Flatten() joins axes)"
        )
    if bias is None:
        return ops.matmul(x, ops.mT(weight))
    return ops.linear(x, weight, bias)
