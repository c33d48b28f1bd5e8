"""Compiles C++ into a library, once for each text: what was built lies in a folder of the system's.

Two processes that want the same one wait for each other.
"""

import fcntl
import functools
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path

from .text import SHIM, CompileError

LEAST_VERSION = 12  # the first g++ with _Float16
FLAGS = (
    "-std=c++17", "-O1", "-g1", "-fPIC", "-fvisibility=hidden", "-fno-gnu-unique", "-w",
    f"-I{SHIM}",
)  # fmt: skip
# the alignment that loads of several numbers need
SANITIZED = ("-fsanitize=address,alignment", "-fno-sanitize-recover=all")


@functools.cache
def available():
    """Whether there is a g++ that compiles kernels."""
    if os.name != "posix" or shutil.which("g++") is None:
        return False
    ran = subprocess.run(["g++", "-dumpversion"], capture_output=True, text=True)
    major = ran.stdout.strip().partition(".")[0]
    return major.isdecimal() and int(major) >= LEAST_VERSION


def library(cpp, sanitize):
    """The path of a shared library with the kernels of C++ text."""
    flags = (*FLAGS, *SANITIZED) if sanitize else FLAGS
    runtime = _built((SHIM / "threads.cpp").read_text(), ".o", ("-c", *flags))
    return _built(cpp, ".so", ("-shared", *flags), [str(runtime)])


@functools.cache
def folder():
    """Where what was built lies: of this user, and nobody else's."""
    path = Path(tempfile.gettempdir()) / f"minigrad-cuda-on-cpu-{os.getuid()}"
    path.mkdir(mode=0o700, exist_ok=True)
    if path.stat().st_uid != os.getuid():
        raise PermissionError(f"{path} belongs to somebody else: remove it")
    return path


@functools.cache
def _headers():
    return "".join(path.read_text() for path in sorted(SHIM.glob("*.*")))


def _built(text, suffix, flags, objects=()):
    key = "\0".join([text, _headers(), *flags, platform.machine()])
    path = folder() / (hashlib.sha256(key.encode()).hexdigest()[:24] + suffix)
    if not path.exists():
        with _lock(path.with_suffix(".lock")):
            if not path.exists():
                _compile(text, path, flags, objects)
    return path


def _compile(text, path, flags, objects):
    source, unfinished = path.with_suffix(".cpp"), path.with_suffix(f".{os.getpid()}")
    source.write_text(text)
    command = ["g++", *flags, str(source), *objects, "-o", str(unfinished)]
    ran = subprocess.run(command, capture_output=True, text=True)
    if ran.returncode:
        raise CompileError(ran.stderr)
    unfinished.rename(path)


@contextmanager
def _lock(path):
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
