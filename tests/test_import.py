"""What `import minigrad` brings along."""

import subprocess
import sys

SCRIPT = """
import sys
before = set(sys.modules)
import minigrad
new = {name.partition(".")[0] for name in set(sys.modules) - before}
print(*sorted(new - sys.stdlib_module_names))
print(*sorted({name for name in sys.modules if name.startswith("minigrad.")}))
"""


def imported():
    run = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    packages, rooms = run.stdout.splitlines()
    return packages.split(), rooms.split()


def test_it_imports_numpy_and_the_standard_library_alone():
    assert imported()[0] == ["minigrad", "numpy"]


def test_rooms_that_few_programs_need_wait_until_they_are_named():
    rooms = imported()[1]
    waiting = {"laws", "func", "backend.cupy", "drawing", "html"}
    assert not {f"minigrad.{room}" for room in waiting} & set(rooms)
    assert "minigrad.ops.elementwise" in rooms
