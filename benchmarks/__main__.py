"""`./run bench SUBJECT`: the command line that all benchmarks share.

A subject is a module beside this one with `measure(watch, quick)`, which returns a Report, and
perhaps `missing()`, which says why it cannot be measured here.
"""

from __future__ import annotations

import argparse
import importlib
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).parent
# both make NumPy's OpenBLAS choose other kernels than it would for this CPU
SWITCHES = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")


def restart_without_switches() -> None:
    """OpenBLAS reads them when NumPy is loaded: so this comes before, in a new process."""
    found = [name for name in SWITCHES if name in os.environ]
    if found:
        print(f"starting again without {' and '.join(found)}", file=sys.stderr, flush=True)
        kept = {name: value for name, value in os.environ.items() if name not in SWITCHES}
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], kept)


def subjects() -> list[str]:
    """What can be measured, by name."""
    return sorted(file.stem for file in HERE.glob("[!_]*.py"))


def parser() -> argparse.ArgumentParser:
    """The options; the subjects' names are checked here and nothing of theirs is loaded."""
    made = argparse.ArgumentParser(
        prog="./run bench", description="Measure one subject, or all of them one after another."
    )
    made.add_argument("subject", choices=[*subjects(), "all"], metavar="SUBJECT")
    made.add_argument(
        "--rounds", type=int, default=7, help="rounds to take medians of (%(default)s)"
    )
    made.add_argument(
        "--quick", action="store_true", help="the smallest case, one round: does it run?"
    )
    made.add_argument(
        "--save",
        action="store_true",
        help="write benchmarks/results/SUBJECT.md and .png, and README's tables from all results",
    )
    return made


def checked(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options, if they go together."""
    made = parser()
    options = made.parse_args(arguments)
    if options.rounds < 1:
        made.error("--rounds must be 1 or more")
    if options.quick and options.save:
        made.error("--quick measures too little to be saved: leave out one of --quick and --save")
    return options


def all_subjects(options: argparse.Namespace) -> int:
    """Each in a process of its own: what one does to allocator and threads ends with it."""
    rest = ["--rounds", str(options.rounds)]
    rest += [f"--{name}" for name in ("quick", "save") if getattr(options, name)]
    codes = [subprocess.call([sys.executable, str(HERE), name, *rest]) for name in subjects()]
    return int(any(codes))


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and save where that is asked for.  Returns the exit status."""
    options = checked(arguments)
    if options.subject == "all":
        return all_subjects(options)
    import _peers  # here: they load NumPy

    _peers.load()  # before minigrad, see there
    import _report
    from _harness import Stopwatch

    subject = importlib.import_module(options.subject)
    if why := getattr(subject, "missing", lambda: None)():
        print(f"./run bench {options.subject}: left out, for there is nothing to measure on: {why}")
        return 0
    watch = Stopwatch(1 if options.quick else options.rounds)
    report = subject.measure(watch, options.quick)
    text = _report.text_of(report, watch)
    print(text)
    if options.save:
        _report.save(options.subject, report, text)
        import _readme

        _readme.write()
    return 0


if __name__ == "__main__":
    restart_without_switches()
    raise SystemExit(main())
