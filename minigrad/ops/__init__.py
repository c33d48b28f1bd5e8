"""The ops, one paragraph each.  Importing this package fills the registry and gives Tensor its methods and operators."""

from . import batch_norm, conv, elementwise, index, linear, loss, pool, reduce, shape  # noqa: F401
from . import assign, operators  # noqa: F401  isort: skip  (they put the ops behind Python's operators)
