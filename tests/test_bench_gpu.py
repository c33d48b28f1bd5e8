"""`./run bench gpu`: what it says without a GPU, and that all of it runs, on the stand-in."""

import _peers
import gpu
import numpy as np
import pytest
from cupy_replaced import cupy_replaced
from test_bench import alone as alone
from test_bench import bench

import minigrad as mg


def test_without_a_gpu_it_says_so_and_ends_well(alone, capsys):
    with cupy_replaced({"cupy": None}):
        assert bench.main(["gpu", "--quick"]) == 0
    told = capsys.readouterr().out
    assert told.startswith("./run bench gpu: left out")
    assert "needs CuPy" in told
    assert told.count("\n") == 1
    assert not (alone / "results").exists()


@pytest.fixture
def small(monkeypatch):
    """Cases that the stand-in computes in no time."""
    monkeypatch.setattr(gpu.batch_norm, "TARGETS", {(4, 3, 2, 2): (1.0, 1.0)})
    monkeypatch.setattr(gpu, "LARGE", (6, 3, 2, 2))
    layer = gpu.conv.Layer((2, 3, 6, 6), 4, 3, 2, 1, (1.0, 1.0))
    monkeypatch.setattr(gpu.conv, "LAYERS", {"small": layer})
    monkeypatch.setattr(gpu.step, "TASKS", {"the MLP": gpu.step.TASKS["the MLP"]})
    monkeypatch.setattr(gpu.step, "BATCH", 4)
    monkeypatch.setattr(gpu.step, "STEPS", 2)


def test_all_of_it_runs_there(standin, small, alone, capsys):
    assert bench.main(["gpu", "--quick"]) == 0
    told = capsys.readouterr().out
    assert "GPU: stand-in-2" in told
    assert "PyTorch is not installed, or sees no GPU" in told
    for row in ("minigrad composed", "minigrad forwards", "minigrad kernels, TF32", "limit: copy"):
        assert row in told
    differences = [line.split("|")[-2].strip() for line in told.splitlines() if "minigrad" in line]
    assert max(float(each) for each in differences if each[0].isdigit()) < 1e-4


def test_the_file_is_named_after_the_card(standin, small, alone, monkeypatch):
    monkeypatch.setattr(_peers, "torch", None)
    assert bench.main(["gpu", "--rounds", "1", "--save"]) == 0
    assert "stand-in-2" in (alone / "results" / "gpu-stand-in-2.md").read_text()
    assert not (alone / "results" / "gpu.md").exists()


def test_a_timing_ends_when_the_device_is_done():
    import _harness

    order = []
    watch = _harness.Stopwatch(1, pinned=False, finish=lambda: order.append("finish"))
    watch._once(lambda: order.append("run"), 2, _harness.nullcontext)
    assert order == ["run", "finish", "run", "run", "finish"]


def test_copies_are_those_of_the_gpu(standin):
    x = np.ones(3, np.float32)
    gpu.copying(x)()
    assert mg.cuda.is_available()
