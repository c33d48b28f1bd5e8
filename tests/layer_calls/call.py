"""How a layer is made, and what it is given."""

from dataclasses import dataclass, field

import numpy as np

import minigrad as mg


@dataclass
class Call:
    """A layer's arguments and inputs, the same for ours and PyTorch's.

    Floating inputs are trained along with the weights; integers are indices or labels.  Arrays
    among the options, such as the weights of classes, become tensors.
    """

    args: tuple = ()
    options: dict = field(default_factory=dict)
    inputs: tuple[np.ndarray, ...] = ()
    training: bool = True
    name: str = ""  # filled in by the table

    def make(self, room):
        """The layer of that room: `nn` of minigrad or of PyTorch."""
        options = {
            name: tensor_of(room, value) if isinstance(value, np.ndarray) else value
            for name, value in self.options.items()
        }
        return getattr(room, self.name)(*self.args, **options).train(self.training)


def tensor_of(room, array):
    """A tensor of the library whose `nn` this is."""
    if room is mg.nn:
        return mg.tensor(array)
    import torch

    return torch.tensor(array)
