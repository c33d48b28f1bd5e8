"""Data: minibatches of anything that has a length and an index, splits, and two sets of digits.

What loads gives NumPy arrays, for scikit-learn and matplotlib too; `batches` makes tensors of them.
Nothing here opens a connection.
"""

from ..synonyms import absent as _absent
from .digits import load_digits
from .idx import load_idx, read_idx
from .minibatches import Batches, batches
from .split import train_test_split

__all__ = ["Batches", "batches", "load_digits", "load_idx", "read_idx", "train_test_split"]


def __getattr__(name: str) -> object:
    raise _absent(__name__, name, __all__)


def __dir__() -> list[str]:
    return __all__
