"""README's tables, made from the committed results: `--save` writes them, a test compares them."""

from __future__ import annotations

from pathlib import Path

README = Path(__file__).parent.parent / "README.md"
RESULTS = Path(__file__).parent / "results"
BEGIN, END = "<!-- made by ./run bench: begin -->", "<!-- made by ./run bench: end -->"

WORDS = {
    "batch_norm": "BatchNorm, training, {}",
    "linear": "Linear, {}",
    "conv": "Conv2d {}",
    "step": "step of {}",
}
FORMS = {
    "minigrad composed": "composed",
    "minigrad NumPy": "NumPy",
    "minigrad kernels": "kernels",
    "JAX": "JAX",
    "MyGrad": "MyGrad",
    "autograd": "autograd",
}
SPEED = """
Forward and backward as ratios to PyTorch's time (below 1 is faster): medians over rounds in which
all alternate in one process, with an allocator that keeps its memory, PyTorch's best case. minigrad
is there composed of primitives, fused in pure NumPy, and with kernels.
"""
MEMORY = """
Memory that a training step takes at its peak, without data, parameters and code:
"""
ACCURACY = """
BatchNorm's largest absolute errors against float64, where the mean is 10,000 and the standard
deviation 1, and where a channel is constant:
"""
SHOWN_DATA = ("mean 1e4", "constant 100.1")

Row = dict[str, str]


def tables_in(text: str) -> list[list[Row]]:
    """The rows of each Markdown table, by the names of their columns."""
    found: list[list[Row]] = []
    columns: list[str] = []
    for line in text.splitlines():
        if not line.startswith("|"):
            columns = []
            continue
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not columns:
            columns = cells
            found.append([])
        elif set(cells[0]) - set("-:"):
            found[-1].append(dict(zip(columns, cells, strict=True)))
    return found


def result(subject: str) -> str:
    """What was saved of it, or nothing."""
    file = RESULTS / f"{subject}.md"
    return file.read_text() if file.exists() else ""


def machine() -> str:
    """The settings of the first result that there is: the machine and the versions."""
    for subject in WORDS:
        lines = [line[2:] for line in result(subject).splitlines() if line.startswith("- ")]
        if lines:
            return f"{lines[0]}; {lines[1]}."
    return ""


def lines_of(columns: list[str], rows: list[list[str]], words: int) -> list[str]:
    """A Markdown table whose first columns are words and the others figures."""
    marks = ["---" if i < words else "--:" for i in range(len(columns))]
    return [f"| {' | '.join(cells)} |" for cells in (columns, marks, *rows)]


def speed() -> list[str]:
    """One row for each case of the timed subjects: ratios to PyTorch's best."""
    rows = []
    for subject, words in WORDS.items():
        for row_of in cases_of(subject).values():
            peer = row_of.get("PyTorch", {})
            kept = next((value for name, value in peer.items() if "memory kept" in name), "–")
            name = words.format(next(iter(row_of.values()))["case"])
            rows.append([name, kept, *(row_of.get(form, {}).get("×best", "–") for form in FORMS)])
    return lines_of(["", "PyTorch ms", *FORMS.values()], rows, 1) if rows else []


def memory() -> list[str]:
    """One row for each case."""
    names = ["PyTorch", *FORMS]
    cases = cases_of("memory")
    shown = [name for name in names if any(name in row_of for row_of in cases.values())]
    rows = [
        [case, *(row_of.get(name, {}).get("peak MiB", "–") for name in shown)]
        for case, row_of in cases.items()
    ]
    titles = [FORMS.get(name, name) for name in shown]
    return lines_of(["peak MiB", *titles], rows, 1) if rows else []


def cases_of(subject: str) -> dict[str, dict[str, Row]]:
    """The rows of a subject's first table by case and form."""
    found: dict[str, dict[str, Row]] = {}
    for row in (tables_in(result(subject)) or [[]])[0]:
        found.setdefault(row["case"], {})[row["form"]] = row
    return found


def accuracy() -> list[str]:
    """The hard rows of BatchNorm."""
    rows = (tables_in(result("accuracy")) or [[]])[0]
    shown = [r for r in rows if r["layer"] == "BatchNorm" and r["data"] in SHOWN_DATA]
    if not shown:
        return []
    columns = [name for name in shown[0] if name != "layer"]
    return lines_of(columns, [[row[name] for name in columns] for row in shown], 2)


def block() -> str:
    """What stands between the marks."""
    parts = []
    if table := speed():
        parts += [
            SPEED.strip(),
            machine(),
            "\n".join(table),
        ]
    if table := memory():
        parts += [MEMORY.strip(), "\n".join(table)]
    if table := accuracy():
        parts += [
            ACCURACY.strip(),
            "\n".join(table),
        ]
    return "\n\n".join([BEGIN, *parts, END])


def written(text: str) -> str:
    """README's text with the block as the results have it."""
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise ValueError(f"README.md needs one line {BEGIN!r} and, below, one line {END!r}")
    before, rest = text.split(BEGIN)
    return before + block() + rest.split(END)[1]


def write() -> None:
    """Bring README up to date."""
    README.write_text(written(README.read_text()))
