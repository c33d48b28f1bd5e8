"""The ops, one paragraph each.

Importing this package fills the registry and gives Tensor its methods and operators.
"""

from . import (
    assign,
    batch_norm,
    conv,
    elementwise,
    index,
    linear,
    loss,
    operators,
    pool,
    reduce,
    shape,
)
