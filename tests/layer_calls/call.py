"""How a layer is made, and what it is given."""

from dataclasses import dataclass, field

import numpy as np


@dataclass
class Call:
    """A layer's arguments and inputs, the same for ours and PyTorch's.

    Floating inputs are trained along with the weights; integers are indices or labels.
    """

    args: tuple = ()
    options: dict = field(default_factory=dict)
    inputs: tuple[np.ndarray, ...] = ()
    training: bool = True

    def make(self, room):
        """The layer of that room: `nn` of minigrad or of PyTorch."""
        return getattr(room, self.name)(*self.args, **self.options).train(self.training)

    name: str = ""  # filled in by the table
