"""From the text of a `.cu` file to C++: headers and macros expanded, shared memory, barriers.

Shared memory becomes static, and says so when a block comes by; each barrier gets its number.
"""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np

SHIM = Path(__file__).parent / "shim"

DTYPES = {
    "__half": "float16", "half": "float16", "float": "float32", "double": "float64",
    "bool": "bool", "char": "int8", "signed char": "int8", "unsigned char": "uint8",
    "short": "int16", "unsigned short": "uint16", "int": "int32", "unsigned": "uint32",
    "unsigned int": "uint32", "long long": "int64", "unsigned long long": "uint64",
}  # fmt: skip


class CompileError(Exception):
    """What the compiler says; CuPy's is `cupy.cuda.compiler.CompileException`."""


@dataclass(frozen=True)
class Parameter:
    """One of an entry's: its name, its dtype (None: a struct), and whether it is a pointer."""

    name: str
    dtype: np.dtype | None
    pointer: bool


def expanded(code, options):
    """The text with its headers and macros, as lines with markers of where they come from."""
    given = [option for option in options if option.startswith(("-I", "-D"))]
    command = ["g++", "-E", "-nostdinc", *given, f"-I{SHIM / 'headers'}", "-x", "c++", "-"]
    ran = subprocess.run(command, input=code, capture_output=True, text=True)
    if ran.returncode:
        raise CompileError(ran.stderr)
    return ran.stdout


def as_cpp(text):
    """C++ for expanded text, and where its barriers are: (file, line) by their numbers."""
    text = re.sub(
        r"extern\s+__shared__\s+(?:__align__\s*\(\s*\d+\s*\)\s*)?([\w\s]+?)\s+(\w+)\s*\[\s*\]\s*;",
        r"\1* const \2 = static_cast<\1*>(on_cpu::dynamic_shared());",
        text,
    )
    text = re.sub(r"__shared__\s+([^;]*);", _static, text)
    return _with_numbered_barriers(text)


def _static(found):
    declaration = found[1]
    bare = re.sub(r"\[[^]]*\]", "", re.sub(r"<[^<>]*>", "", declaration))
    names = [re.findall(r"\w+", part)[-1] for part in bare.split(",")]
    tells = "".join(f" on_cpu::shared(&{name}, sizeof {name});" for name in names)
    return f"static {declaration};{tells}"


BARRIER = re.compile(r"__syncthreads\s*\(\s*\)|__syncwarp\s*\(([^()]*)\)")


def _with_numbered_barriers(text):
    barriers, lines, file, number = [], [], "", 0
    for line in text.split("\n"):
        marker = re.match(r'# (\d+) "(.*?)"', line)
        if marker:
            file, number = marker[2], int(marker[1]) - 1
        else:
            number += 1

        def numbered(found, place=(file, number)):
            barriers.append(place)
            at = len(barriers) - 1
            if found[1] is None:
                return f"on_cpu::barrier({at})"
            return f"on_cpu::warp_barrier({at}, {found[1] or '~0u'})"

        lines.append(BARRIER.sub(numbered, line))
    return "\n".join(lines), barriers


BOUNDS = r"(?:__launch_bounds__\s*\([^)]*\)\s*)?"
ENTRY = re.compile(rf'extern\s+"C"\s+__global__\s+{BOUNDS}void\s+{BOUNDS}(\w+)\s*\(([^)]*)\)\s*\{{')


def entries(text):
    """The parameters of each entry of expanded text, by its name."""
    bare = re.sub(r"^#.*$", "", text, flags=re.MULTILINE)  # markers may stand among parameters
    return {name: [*map(_parameter, _split(given))] for name, given in ENTRY.findall(bare)}


def _split(parameters):
    return [each for each in parameters.split(",") if each.strip()]


def _parameter(text):
    words = re.sub(r"\bconst\b|__restrict__|\*", " ", text).split()
    *kind, name = words
    dtype = DTYPES.get(" ".join(kind))
    struct = len(kind) == 1 and kind[0][0].isupper()
    if not (dtype or struct) or text.count("*") > (dtype is not None):
        raise CompileError(f"a kernel's parameter is given as {text.strip()!r}")
    return Parameter(name, dtype and np.dtype(dtype), "*" in text)
