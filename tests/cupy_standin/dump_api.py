"""Freeze CuPy's public surface into `cupy_api.json`, which the stand-in offers and nothing else.

Run once for each version of CuPy, where CuPy is installed; it needs no GPU:

    pip install cupy-cuda13x
    python tests/cupy_standin/dump_api.py
"""

import inspect
import json
import re
from pathlib import Path
from types import ModuleType

SCATTERING = ["add", "subtract", "maximum", "minimum", "bitwise_and", "bitwise_or", "bitwise_xor"]


def public(thing):
    """The names that do not start with an underscore."""
    return [name for name in dir(thing) if not name.startswith("_")]


def parameters(function):
    """The names of a function's parameters, None where they cannot be known."""
    try:
        return list(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return from_docstring(function)


def from_docstring(method):
    """Parameters of a compiled method, whose docstring starts with its signature."""
    found = re.match(r"[\w.]+\((.*?)\)(?: ->|$)", (inspect.getdoc(method) or "").split("\n")[0])
    if found is None:
        return None
    parts = [part.split("=")[0].split() for part in found[1].split(", ")]
    return [words[-1] for words in parts if words and words[-1] != "self"]


def describe(thing, ufunc):
    """What the stand-in must know of a name: a ufunc, a function with parameters, or a value."""
    if isinstance(thing, ufunc):
        name = thing.name.removeprefix("cupy_")
        return {"ufunc": True, "at": name in SCATTERING, "nin": thing.nin}
    if callable(thing) and not inspect.isclass(thing):
        return {"args": parameters(thing)}
    return {}


def surface(module, prefix, ufunc):
    """The names of a module, without the modules in it."""
    found = {prefix + name: getattr(module, name) for name in public(module)}
    return {
        name: describe(thing, ufunc)
        for name, thing in found.items()
        if not isinstance(thing, ModuleType)
    }


def main():
    """Write the file beside this one."""
    import cupy

    strides = cupy.lib.stride_tricks
    modules = {"": cupy, "linalg.": cupy.linalg, "random.": cupy.random}
    api = {}
    for prefix, module in {**modules, "lib.stride_tricks.": strides}.items():
        api |= surface(module, prefix, cupy.ufunc)
    methods = {name: getattr(cupy.ndarray, name) for name in public(cupy.ndarray)}
    api["ndarray"] = {n: from_docstring(m) if callable(m) else None for n, m in methods.items()}
    api["Generator"] = public(cupy.random.Generator)
    frozen = json.dumps({"version": cupy.__version__, "api": api}, separators=(",", ":"))
    Path(__file__).with_name("cupy_api.json").write_text(frozen + "\n")


if __name__ == "__main__":
    main()
