"""What CuPy 14.2 offers: names, and the keywords of each, frozen by `dump_api.py`."""

import json
from pathlib import Path

_FROZEN = json.loads(Path(__file__).with_name("cupy_api.json").read_text())

VERSION = _FROZEN["version"]
METHODS = _FROZEN["api"].pop("ndarray")  # name -> its parameters, None for a property
GENERATOR = _FROZEN["api"].pop("Generator")
NAMES = _FROZEN["api"]  # dotted name -> {"ufunc": ..., "args": ...}


def check_call(name, parameters, positional, keywords):
    """Raise TypeError for what CuPy's function of these parameters does not take."""
    if parameters is None or _takes_anything(parameters):
        return
    unknown = [keyword for keyword in keywords if keyword not in parameters]
    if unknown:
        raise TypeError(f"{name}() got an unexpected keyword argument {unknown[0]!r}")
    if positional > len(parameters):
        raise TypeError(f"{name}() takes {len(parameters)} arguments but {positional} were given")


def _takes_anything(parameters):
    """Whether one of the parameters is `*args` or `**kwargs`."""
    starred = any(name.startswith("*") and len(name) > 1 for name in parameters)
    return starred or bool({"args", "kwargs", "operands"} & set(parameters))
