"""Runs calls under AddressSanitizer, which ends the process at the first wrong access.

LD_PRELOAD=$(g++ -print-file-name=libasan.so) python -m cuda_calls.sanitized losses ...
"""

import os
import subprocess
import sys
from pathlib import Path

from cuda_on_cpu import running

from . import FILES, calls_of

TESTS = Path(__file__).parent.parent


def environment():
    """The variables of a process that runs under AddressSanitizer."""
    asked = ["g++", "-print-file-name=libasan.so"]
    libasan = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    return os.environ | {
        "LD_PRELOAD": libasan,
        "ASAN_OPTIONS": "detect_leaks=0:detect_stack_use_after_return=0",
        "PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS.parent)]),
    }


def report(names):
    """What AddressSanitizer says of the calls of some files; nothing if all is well."""
    command = [sys.executable, "-m", "cuda_calls.sanitized", *names]
    ran = subprocess.run(command, env=environment(), capture_output=True, text=True)
    return ran.stderr if ran.returncode else ""


def main():
    """Run the calls of the files named on the command line."""
    for file in FILES:
        if file.stem not in sys.argv[1:]:
            continue
        for name, call in calls_of(file).items():
            print(f"{file.name}: {name}", file=sys.stderr)  # the last one is the guilty one
            with running(sanitize=True):
                call.run()


if __name__ == "__main__":
    main()
