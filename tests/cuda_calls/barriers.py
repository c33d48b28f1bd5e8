"""Leaves barriers out, one at a time: which of them does no call notice?"""

import functools
import time
from collections import Counter, defaultdict
from pathlib import Path

from cuda_on_cpu import compiled, running

from minigrad.kernels.cuda.launching import FOLDER, SLOW, options_for, source

from . import FILES, calls_of
from .call import same
from .equivalent_barriers import EQUIVALENT

TRIED = [("forward", 0), ("reverse", 0), ("shuffled", 0), ("shuffled", 1)]


def program_of(file):
    """The program that the kernels of a file are launched from, those of float32 at least."""
    text = source(file.stem) if file.parent == FOLDER else file.read_text()
    return compiled(text, options_for("float32" if file.stem in SLOW else ""))


@functools.cache
def noticed(file):
    """By place whether a call notices that its barrier is gone.

    A place is a file's name, the line's number and its text.
    """
    program = program_of(file)
    results = _results(file)
    found = defaultdict(bool)
    for number, place in enumerate(program.barriers):
        key = _named(place, file, program)
        found[key] = found[key] or any(
            _notices(call, right, (program, number)) for call, right in results
        )
    return dict(found)


def there():
    """The barriers of all files, each as its file and its text."""
    return Counter((file, text) for file, _, text in {p for f in FILES for p in noticed(f)})


def unnoticed():
    """The barriers that no call of any file notices, without those that are said to be so."""
    found = defaultdict(bool)
    for file in FILES:
        for place, seen in noticed(file).items():
            found[place] |= seen
    left = [place for place, seen in found.items() if not seen]
    return [(file, line, text) for file, line, text in left if (file, text) not in EQUIVALENT]


def _results(file):
    """Calls with their results, the fastest first."""
    timed = []
    for call in calls_of(file).values():
        start = time.perf_counter()
        with running(order="forward"):
            results, *_ = call.run()
        timed.append((time.perf_counter() - start, call, results))
    return [(call, results) for _, call, results in sorted(timed, key=lambda each: each[0])]


def _notices(call, right, removed):
    for order, seed in TRIED:
        with running(order=order, seed=seed, removed=removed):
            try:
                found, *_ = call.run()
            except (RuntimeError, IndexError):
                return True
        if not same(found, right):
            return True
    return False


def _named(place, file, program):
    """A barrier's file, the line's number and its text."""
    path, number = place
    own = path == "<stdin>"
    text = program.code if own else Path(path).read_text()
    return file.name if own else Path(path).name, number, text.split("\n")[number - 1].strip()
