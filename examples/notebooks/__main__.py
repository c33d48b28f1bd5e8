"""`./run notebooks`: run the notebooks' scripts, and write what they print and draw beside them.

A notebook is a pair: `NN_name.py` is what one edits, a script in jupytext's percent format, which
also runs by itself; `NN_name.ipynb` is made here, the same cells with outputs, for reading and for
Jupyter.  It does not tell when or where it was made, so that only what changed differs.  Figures
that a notebook measures are another machine's tomorrow: its text quotes none.

Each runs in an empty folder, so none needs a file beside it: they work from any folder.
"""

from __future__ import annotations

import argparse
import base64
import importlib.util
import io
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
NEEDS = ("ipykernel", "jupytext", "nbmake")  # the dependency group `notebooks`
SECONDS = 120  # that a cell may take: four times what is meant for a notebook on two cores
COLOURS = 64  # of a picture: few make it small
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


def names() -> list[str]:
    """The notebooks, by name."""
    return sorted(file.stem for file in HERE.glob("[0-9][0-9]_*.py"))


def found(word: str) -> str | None:
    """The notebook of this name or number (03, 3), also with .py or .ipynb; None: there is none."""
    stem = Path(word).name.removesuffix(".py").removesuffix(".ipynb")
    start = f"{int(stem):02}_" if stem.isdecimal() else stem
    return next((name for name in names() if name == stem or name.startswith(start)), None)


def cells_of(name: str) -> Any:
    """The script of a notebook as a notebook without outputs."""
    import jupytext

    notebook = jupytext.read(HERE / f"{name}.py", fmt="py:percent")
    notebook.metadata = {"kernelspec": KERNEL}
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    for i, cell in enumerate(notebook.cells):
        cell.id, cell.metadata = f"cell-{i:02}", {}  # usually random
    return notebook


def executed(name: str) -> Any:
    """The notebook with outputs, and without times and versions."""
    from nbclient import NotebookClient

    notebook = cells_of(name)
    with tempfile.TemporaryDirectory() as folder:
        NotebookClient(
            notebook,
            timeout=SECONDS,
            record_timing=False,
            coalesce_streams=True,  # else the text falls into pieces by chance
            resources={"metadata": {"path": folder}},
        ).execute()
    notebook.metadata = {"kernelspec": KERNEL}
    for cell in notebook.cells:
        cell.metadata = {}
        for each in cell.get("outputs", []):
            if picture := each.get("data", {}).get("image/png"):
                each.data["image/png"], each.metadata = smaller(picture), {}
    return notebook


def smaller(picture: str) -> str:
    """A PNG in base64, with few colours."""
    from PIL import Image  # comes with matplotlib

    found = io.BytesIO()
    with Image.open(io.BytesIO(base64.b64decode(picture))) as image:
        few = image.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    few.save(found, "PNG", optimize=True)
    return base64.b64encode(found.getvalue()).decode()


def complaints(notebook: Any) -> list[str]:
    """What a notebook printed to the error stream: warnings, progress bars, tracebacks."""
    outputs = [each for cell in notebook.cells for each in cell.get("outputs", [])]
    return [each.text for each in outputs if each.get("name") == "stderr"]


def differences(name: str) -> str:
    """How script and notebook differ, in words; empty where they are a pair."""
    import nbformat

    path, wanted = HERE / f"{name}.ipynb", cells_of(name).cells
    if not path.exists():
        return f"there is no {path.name}"
    given = nbformat.read(path, as_version=4).cells
    for i, (cell, other) in enumerate(zip(wanted, given, strict=False)):
        if (cell.cell_type, cell.source) != (other.cell_type, other.source):
            return f"cell {i} of {path.name} is not that of {name}.py"
    if len(wanted) != len(given):
        return f"{path.name} has {len(given)} cells, {name}.py {len(wanted)}"
    return ""


def write(name: str) -> None:
    """Run a script and write its notebook; one that warns is not written."""
    import nbformat

    start = time.perf_counter()
    notebook = executed(name)
    if printed := complaints(notebook):
        sys.exit(f"{name} is not written, for it printed to the error stream:\n{''.join(printed)}")
    path = HERE / f"{name}.ipynb"
    nbformat.write(notebook, path)
    size = path.stat().st_size / 1024
    print(f"{path.name:<24} {time.perf_counter() - start:>5.1f} s {size:>5.0f} KiB")


def check(chosen: Sequence[str]) -> int:
    """Whether the pairs are pairs, and the notebooks run; nothing is written."""
    import pytest

    unlike = [f"{name}: {text}" for name in chosen if (text := differences(name))]
    if unlike:
        print("\n".join([*unlike, "run ./run notebooks"]), file=sys.stderr)
        return 1
    files = [str(HERE / f"{name}.ipynb") for name in chosen]
    options = ["--nbmake", f"--nbmake-timeout={SECONDS}", "--durations=0", "-p", "no:cacheprovider"]
    return int(pytest.main([*options, *files]))


def checked(arguments: Sequence[str] | None) -> tuple[list[str], bool]:
    """The notebooks' names and whether to check; a wrong name ends the program with the right."""
    listed = "\n".join(f"  {name}" for name in names())
    parser = argparse.ArgumentParser(
        prog="./run notebooks",
        description="Run the notebooks' scripts, and write the notebooks with what these print.",
        epilog=f"notebooks:\n{listed}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", nargs="*", metavar="NAME", help="some of them, by name or number")
    parser.add_argument(
        "--check",
        action="store_true",
        help="write nothing: say whether scripts and notebooks are alike, and the notebooks run",
    )
    options = parser.parse_args(arguments)
    for word in options.name:
        if found(word) is None:
            parser.exit(2, f"there is no notebook {word!r}; there are\n{listed}\n")
    if absent := [each for each in NEEDS if importlib.util.find_spec(each) is None]:
        parser.exit(
            1,
            f"notebooks are run with {' and '.join(absent)}: pip install --group notebooks "
            'with pip 25.1 or later, beside pip install -e ".[examples]"\n',
        )
    return [found(word) for word in options.name] or names(), options.check


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the notebooks, or check them.  Returns the exit status."""
    chosen, only_check = checked(arguments)
    if only_check:
        return check(chosen)
    for name in chosen:
        write(name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
