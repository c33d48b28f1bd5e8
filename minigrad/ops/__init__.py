"""The ops, one paragraph each.

Importing this package fills the registry and gives Tensor its methods and operators.
"""

from . import (
    activation,
    adaptive_pool,
    assign,
    batch_norm,
    batch_norm_relu,
    compare,
    conv,
    det,
    einsum,
    elementwise,
    gather,
    index,
    join,
    layer_norm,
    linalg,
    linear,
    loss,
    norm,
    operators,
    order,
    pad,
    piecewise,
    pool,
    reduce,
    repeat,
    scan,
    shape,
)
