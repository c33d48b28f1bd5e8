"""A sampler of calls for every layer and loss that PyTorch has too: one file a family."""

import importlib
import pkgutil

from layer_calls.call import Call


def collected():
    """The tables of all files here, as one."""
    table = {}
    for found in pkgutil.iter_modules(__path__):
        family = importlib.import_module(f"{__name__}.{found.name}")
        for name, sample in getattr(family, "CALLS", {}).items():
            assert name not in table, f"{name} has calls in two files"
            table[name] = sample
    return table


CALLS = collected()


def draw_call(name, draw):
    """A call of the layer of this name."""
    call: Call = CALLS[name](draw)
    call.name = name
    return call
