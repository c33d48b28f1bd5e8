"""`./run bench`: every subject runs, what it prints and saves, and README's tables from that."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import _cases
import _harness
import _machine
import _models
import _peers
import _readme
import _report
import numpy as np
import pytest
from _cases import Candidate, Subject
from _harness import Stopwatch
from _report import Chart, Report, Table

from minigrad import nn

BENCHMARKS = Path(_report.__file__).parent


def command_line():
    """benchmarks/__main__.py, under another name: pytest has a __main__ already."""
    spec = importlib.util.spec_from_file_location("bench_main", BENCHMARKS / "__main__.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


bench = command_line()


@pytest.fixture
def alone(monkeypatch, tmp_path):
    """No other library, and the results go elsewhere."""
    monkeypatch.setattr(_peers, "load", lambda *names: None)
    for name in _peers.NAMES:
        monkeypatch.setattr(_peers, name, None)
    monkeypatch.setattr(_harness, "come_to_rest", lambda: None)
    monkeypatch.setattr(_harness, "BLOCK", 0.0)  # one call for each timing
    for module in (_report, _readme):
        monkeypatch.setattr(module, "RESULTS", tmp_path / "results")
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n\n{_readme.BEGIN}\n{_readme.END}\n\nafter\n")
    monkeypatch.setattr(_readme, "README", readme)
    return tmp_path


@pytest.fixture
def beside_torch(alone, monkeypatch):
    """PyTorch alone, and the process's allocator as it was."""
    monkeypatch.setattr(_peers, "torch", pytest.importorskip("torch"))
    monkeypatch.setattr(_machine, "keep_memory", lambda: True)
    return alone


def rows_of(text):
    (first, *_) = _readme.tables_in(text)
    assert first
    return first


# ---- every subject


@pytest.mark.parametrize("subject", [name for name in bench.subjects() if name != "gpu"])
def test_every_subject_runs_without_other_libraries(subject, alone, capsys):
    assert bench.main([subject, "--quick"]) == 0
    text = capsys.readouterr().out
    rows = rows_of(text)
    assert "not installed, so left out: PyTorch, JAX, MyGrad, autograd" in text
    assert not any("PyTorch" in cell for row in rows for cell in row.values())
    for row in rows:
        assert float(row.get("largest difference", "–").replace("–", "0")) < 1e-4
    assert not (alone / "results").exists()


@pytest.mark.parametrize("subject", ["batch_norm", "linear", "conv", "step"])
def test_beside_pytorch_ratios_are_to_both_of_its_baselines(subject, beside_torch, capsys):
    assert bench.main([subject, "--quick"]) == 0
    rows = rows_of(capsys.readouterr().out)
    by_form = {row["form"]: row for row in rows}
    assert (by_form["PyTorch"]["×default"], by_form["PyTorch"]["×best"]) == ("1.00", "1.00")
    for name in ("×default", "×best"):
        assert float(by_form["minigrad NumPy"][name]) > 0
    for row in rows:
        assert float(row.get("largest difference", "–").replace("–", "0")) < 1e-4


def test_small_arrays_have_one_ratio(beside_torch, capsys, monkeypatch):
    monkeypatch.setattr(_machine, "keep_memory", lambda: 1 / 0)
    assert bench.main(["overhead", "--quick"]) == 0
    by_form = {row["form"]: row for row in rows_of(capsys.readouterr().out)}
    assert by_form["PyTorch"]["×PyTorch"] == "1.00"
    assert float(by_form["minigrad NumPy"]["×PyTorch"]) > 0
    assert not any("kept" in column for column in by_form["PyTorch"])


def test_the_graph_s_size_is_told_of_both_libraries(beside_torch, capsys):
    bench.main(["batch_norm", "--quick"])
    by_form = {row["form"]: row for row in rows_of(capsys.readouterr().out)}
    assert by_form["minigrad NumPy"]["nodes"] == by_form["PyTorch"]["nodes"] == "1"
    assert int(by_form["minigrad composed"]["nodes"]) > 5
    assert float(by_form["minigrad composed"]["kept MiB"]) >= 1.0  # two arrays of x's size
    assert float(by_form["minigrad NumPy"]["kept MiB"]) < 0.1


def test_the_cnn_is_that_of_the_example(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS.parent / "examples")
    digits = pytest.importorskip("digits")
    ours, theirs = (m.state_dict() for m in (_models.cnn(nn), digits.make_model("fused")))
    assert {k: v.shape for k, v in ours.items()} == {k: v.shape for k, v in theirs.items()}


@pytest.mark.parametrize("name", ["MLP", "CNN"])
def test_a_model_by_hand_has_the_layers_of_its_modules(name):
    made = {"MLP": _models.mlp, "CNN": _models.cnn}[name](nn)
    words = {"linear": "Linear", "norm": "BatchNorm", "relu": "ReLU", "conv": "Conv", "pool": "Max"}
    expected = [words.get(layer, "Flatten") for layer in getattr(_models, name)]
    kinds = [type(layer).__name__ for layer in made]
    assert len(kinds) == len(expected)
    assert all(kind.startswith(word) for kind, word in zip(kinds, expected, strict=True))


def test_what_cannot_be_compiled_is_noted_once(beside_torch, monkeypatch):
    import step

    monkeypatch.setattr(_peers.torch, "compile", lambda model: 1 / 0)
    notes = []
    for _ in range(2):
        assert step.compiled(step.TASKS["the MLP"], notes) == {}
    assert notes == ["torch.compile does not work here (ZeroDivisionError): left out"]


# ---- cases


def test_results_that_differ_are_told_relative_to_their_scale(alone):
    exact = np.array([2.0, -4.0])
    case = {
        "one": Candidate({"run": lambda: None}, lambda: [exact]),
        "other": Candidate({"run": lambda: None}, lambda: [exact + 0.5]),
        "neither": Candidate({"run": lambda: None}),
    }
    table, chart = Subject({"c": lambda: case}, ["run"]).measure(Stopwatch(1))
    shown = {row[1]: row[table.columns.index("largest difference")] for row in table.rows}
    assert shown == {"one": "0.0e+00", "other": "1.2e-01", "neither": "–"}
    assert set(chart.bars["c"]) == set(case)
    with pytest.raises(ValueError, match="not the same case"):
        _cases.difference(exact, exact[:1])


def test_a_phase_that_a_candidate_cannot_do_alone_is_left_out(alone):
    case = {
        "all": Candidate({"part": lambda: None, "whole": lambda: None}, target=0.5),
        "whole only": Candidate({"whole": lambda: None}, cells={"own": "x"}),
    }
    subject = Subject({"c": lambda: case}, ["part", "whole"], columns=["own"])
    table, _ = subject.measure(Stopwatch(1))
    rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    assert [row["part ms"] == "–" for row in rows] == [False, True]
    assert [row["whole ms"] == "–" for row in rows] == [False, False]
    assert [(row["target"], row["own"]) for row in rows] == [("0.50", "–"), ("–", "x")]


# ---- tables, files, README


def test_a_table_is_aligned_and_reads_back():
    table = Table(["case", "form", "ms"])
    table.add("a", "NumPy", 1.25)
    table.add("longer", "x", "–")
    text = table.markdown()
    assert text.splitlines() == [
        "| case   | form  |   ms |",
        "| ------ | ----- | ---: |",
        "| a      | NumPy | 1.25 |",
        "| longer | x     |    – |",
    ]
    (rows,) = _readme.tables_in(f"words\n\n{text}\n\nmore")
    assert rows == [
        {"case": "a", "form": "NumPy", "ms": "1.25"},
        {"case": "longer", "form": "x", "ms": "–"},
    ]
    with pytest.raises(ValueError, match="2 cells for the 3 columns"):
        table.add("a", "b")


def test_a_report_tells_machine_settings_and_rounds(monkeypatch):
    for name in bench.SWITCHES:
        monkeypatch.delenv(name, raising=False)
    watch = Stopwatch(5, counted=15, dropped=2)
    text = _report.text_of(Report("About.\n", [Table(["a"])], notes=["a note"]), watch)
    assert text.startswith("About.\n\n- ")
    for part in ("CPUs", "NumPy 2", "threads: ", "(15 rounds, 2 more dropped)", "- a note"):
        assert part in text
    assert "OPENBLAS_CORETYPE unset, OPENBLAS_L2_SIZE unset" in text


def test_saving_writes_text_picture_and_readme(alone, capsys, monkeypatch):
    pytest.importorskip("matplotlib")
    import linear

    monkeypatch.setattr(linear, "SIZES", linear.SIZES[:1])
    assert bench.main(["linear", "--rounds", "1", "--save"]) == 0
    printed = capsys.readouterr().out
    saved = (alone / "results" / "linear.md").read_text()
    assert printed.strip() in saved
    assert "(linear.png)" in saved
    assert (alone / "results" / "linear.png").read_bytes()[:4] == b"\x89PNG"
    readme = (alone / "README.md").read_text()
    assert readme.startswith(f"before\n\n{_readme.BEGIN}\n\n")
    assert readme.endswith(f"{_readme.END}\n\nafter\n")
    assert "| Linear, 64×128 → 128 |" in readme
    assert _readme.written(readme) == readme


def test_a_picture_leaves_out_what_a_logarithm_cannot_show(tmp_path, monkeypatch):
    axes = pytest.importorskip("matplotlib.axes")
    drawn = []

    def barh(self, place, width, left=0.0, **style):
        drawn.append((place, left, left + width))

    monkeypatch.setattr(axes.Axes, "barh", barh)
    bars = {"a case": {"one": 0.5, "none": 0.0, "nan": float("nan")}, "another": {"one": 2.0}}
    _report.draw(Chart("ratio", bars, line=1.0), "title", tmp_path / "x.png")
    assert drawn == [(0, 1.0, 0.5), (2, 1.0, 2.0)]
    assert (tmp_path / "x.png").read_bytes()[:4] == b"\x89PNG"


def test_readme_has_the_tables_that_the_committed_results_make():
    text = _readme.README.read_text()
    assert _readme.written(text) == text, "./run bench SUBJECT --save writes both"


def test_readme_shows_each_case_of_speed_and_memory_in_a_row(alone):
    columns = ["case", "form", "step ms", "×default", "step ms, memory kept", "×best"]
    steps, peaks = Table(columns), Table(["case", "form", "peak MiB", "×PyTorch", "kept MiB"])
    steps.add("the MLP", "minigrad kernels", "1", "0.4", "2", "0.3")
    steps.add("the MLP", "PyTorch", "3", "1.00", "4", "1.00")
    peaks.add("the MLP", "PyTorch", "50", "1.00", "5")
    peaks.add("the MLP", "minigrad composed", "70", "1.40", "5")
    (alone / "results").mkdir()
    for name, table in (("step", steps), ("memory", peaks)):
        report = Report("About.", [table])
        _report.save(name, report, _report.text_of(report, Stopwatch()))
    lines = _readme.block().splitlines()
    assert "|  | PyTorch ms | composed | NumPy | kernels | JAX | MyGrad | autograd |" in lines
    assert "| step of the MLP | 4 | – | – | 0.3 | – | – | – |" in lines
    assert "| peak MiB | PyTorch | composed |" in lines
    assert "| the MLP | 50 | 70 |" in lines
    assert any("CPUs; " in line and "NumPy 2" in line for line in lines)


def test_readme_without_its_marks_is_an_error():
    with pytest.raises(ValueError, match="needs one line"):
        _readme.written("# minigrad\n")


# ---- the command line


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["bacth_norm"], "invalid choice: 'bacth_norm'"),
        ([], "the following arguments are required: SUBJECT"),
        (["linear", "--rounds", "0"], "--rounds must be 1 or more"),
        (["linear", "--quick", "--save"], "leave out one of --quick and --save"),
    ],
)
def test_what_makes_no_sense_is_refused(words, told, capsys):
    with pytest.raises(SystemExit) as stopped:
        bench.main(words)
    assert stopped.value.code == 2
    assert told in capsys.readouterr().err


def test_all_are_run_in_processes_of_their_own(monkeypatch):
    called = []

    def call(words):
        called.append(words[2:])
        return -9 if "conv" in words else 0

    monkeypatch.setattr(bench, "subprocess", SimpleNamespace(call=call))
    assert bench.main(["all", "--rounds", "2", "--save"]) == 1
    assert called == [[name, "--rounds", "2", "--save"] for name in bench.subjects()]
    assert {"batch_norm", "conv", "linear", "step", "overhead", "accuracy"} <= set(bench.subjects())


@pytest.mark.parametrize("found", [{}, {"OPENBLAS_CORETYPE": "Haswell", "OPENBLAS_L2_SIZE": "512"}])
def test_it_starts_again_without_what_would_slow_numpy(found):
    environment = {k: v for k, v in os.environ.items() if k not in bench.SWITCHES} | found
    script = [sys.executable, str(BENCHMARKS), "--help"]
    done = subprocess.run(script, env=environment, capture_output=True, text=True)
    assert done.returncode == 0
    assert "usage: ./run bench" in done.stdout
    told = "starting again without OPENBLAS_CORETYPE and OPENBLAS_L2_SIZE\n"
    assert done.stderr == (told if found else "")
