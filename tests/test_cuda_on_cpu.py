"""What runs CUDA kernels on the CPU: it has what CUDA has, and shows what CUDA leaves undefined."""

import subprocess
import sys
from pathlib import Path

import cuda_on_cpu
import numpy as np
import pytest
from cuda_calls.sanitized import environment
from cuda_on_cpu import ORDERS, compiled, running
from cuda_on_cpu.text import CompileError

pytestmark = pytest.mark.skipif(not cuda_on_cpu.available(), reason="needs g++ 12 or later")

TEXT = Path(__file__).with_name("cuda_trials.cu").read_text()


def launch(name, blocks, threads, *arguments, shared=0):
    compiled(TEXT).launch(name, blocks, threads, arguments, shared)


def zeros(n, dtype=np.int32):
    return np.zeros(n, dtype)


@pytest.mark.parametrize("order", ORDERS)
def test_every_thread_of_a_grid_runs_once_with_its_own_indices(order):
    out = zeros(3 * 2 * 4 * 5 * 3 * 2)
    with running(order=order):
        launch("count_threads", (3, 2, 4), (5, 3, 2), out)
    np.testing.assert_array_equal(out, np.arange(out.size))


def test_threads_run_in_the_order_that_was_asked_for():
    found = {}
    for order in ORDERS:
        at, out = zeros(1, np.uint32), zeros(96, np.uint32)
        with running(order=order):
            launch("note_order", (1,), (96,), at, out)
        found[order] = out.tolist()
    assert found["forward"] == [*range(96)]
    assert found["reverse"] == [*range(95, -1, -1)]
    assert sorted(found["shuffled"]) == found["forward"] != found["shuffled"]


def test_a_seed_tells_how_threads_are_shuffled():
    found = []
    for seed in (0, 0, 1):
        at, out = zeros(1, np.uint32), zeros(96, np.uint32)
        with running(seed=seed):
            launch("note_order", (1,), (96,), at, out)
        found.append(out.tolist())
    assert found[0] == found[1] != found[2]


@pytest.mark.parametrize("order", ORDERS)
def test_lanes_exchange_values_as_cuda_says(order):
    out = zeros((9, 70))
    with running(order=order):
        launch("exchange", (1,), (70,), out, np.int32(70))
    lane = np.arange(70) % 32
    base, live = np.arange(70) - lane, np.where(np.arange(70) < 64, 32, 6)

    def taken(source):
        return np.where(source < live, base + source, -1)  # poison, where there is no such lane

    np.testing.assert_array_equal(out[0], taken(np.where(lane + 3 < 32, lane + 3, lane)))
    np.testing.assert_array_equal(out[1], taken(np.where(lane >= 3, lane - 3, lane)))
    np.testing.assert_array_equal(out[2], taken(lane ^ 5))
    np.testing.assert_array_equal(out[3], taken(np.full(70, 4)))
    eighth = lane // 8 * 8
    np.testing.assert_array_equal(out[4], taken(np.where(lane % 8 + 2 < 8, lane + 2, lane)))
    np.testing.assert_array_equal(out[5], taken(eighth + 1))
    odd = np.where(live == 32, 0xAAAAAAAA, 0b101010).astype(np.uint32).view(np.int32)
    np.testing.assert_array_equal(out[6], odd)
    np.testing.assert_array_equal(out[7], 1)
    np.testing.assert_array_equal(out[8], 0)


def test_lanes_outside_a_mask_need_not_come():
    out = np.full(32, 7, np.int32)
    launch("exchange_among_half", (1,), (32,), out)
    np.testing.assert_array_equal(out, [*range(1, 16), -1] + [7] * 16)


def test_a_mask_that_leaves_out_its_own_thread_is_an_error():
    with pytest.raises(RuntimeError, match="mask 0x1 does not name it"):
        launch("exchange_beside_the_mask", (1,), (2,), zeros(2))


@pytest.mark.parametrize("order", ORDERS)
def test_a_barrier_that_not_all_reach_is_an_error(order):
    for limit in (1, 33, 64, 95):
        with running(order=order), pytest.raises(RuntimeError, match="a divergent barrier"):
            launch("some_at_a_barrier", (1,), (96,), np.int32(limit), np.int32(0))
    with running(order=order):
        launch("some_at_a_barrier", (1,), (96,), np.int32(96), np.int32(0))


def test_two_barriers_are_not_one():
    with pytest.raises(RuntimeError, match="threads wait at two"):
        launch("some_at_a_barrier", (1,), (96,), np.int32(33), np.int32(1))


def test_a_launch_after_an_error_is_like_any_other():
    test_two_barriers_are_not_one()
    test_every_thread_of_a_grid_runs_once_with_its_own_indices("forward")


def test_shared_memory_starts_poisoned_in_every_block():
    out = zeros((4, 3), np.float32)
    launch("read_unwritten", (4,), (1,), out, shared=8)
    assert np.isnan(out).all()


def test_dynamic_shared_memory_is_the_blocks():
    out = zeros(96, np.float64)
    launch("turn_around", (3,), (32,), out, shared=32 * 8)
    np.testing.assert_array_equal(out.reshape(3, 32), np.arange(96.0).reshape(3, 32)[:, ::-1])


@pytest.mark.parametrize(
    ("blocks", "threads", "shared", "why"),
    [
        ((1,), (1025,), 0, "CUDA ends at 1024"),
        ((1,), (32, 32, 2), 0, "CUDA ends at 1024"),
        ((1,), (1, 1, 65), 0, "64 along z"),
        ((1, 65536), (1,), 0, "65535"),
        ((1, 1, 65536), (1,), 0, "65535"),
        ((1 << 31,), (1,), 0, "2\\^31"),
        ((0,), (1,), 0, "an empty launch"),
        ((1,), (1,), 48 * 1024 + 1, "dynamic shared memory"),
        ((1,), (1,), 48 * 1024, "bytes of shared memory in a block"),  # and it has some of its own
    ],
    ids=str,
)
def test_a_launch_beyond_cudas_limits_is_refused(blocks, threads, shared, why):
    with pytest.raises(RuntimeError, match=why):
        launch("read_unwritten", blocks, threads, zeros((4, 3), np.float32), shared=shared)


@pytest.mark.filterwarnings("ignore:overflow")
def test_half_is_numpys_float16():
    every = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    wide, back = zeros(every.size, np.float32), np.zeros_like(every)
    launch("convert_half", (256,), (256,), every, wide, back)
    np.testing.assert_array_equal(wide, every.astype(np.float32))
    np.testing.assert_array_equal(back, every)
    between = np.nextafter(wide, np.float32(0)) * np.float32(1.0004)
    narrow = np.zeros_like(every)
    launch("round_to_half", (256,), (256,), between, narrow)
    np.testing.assert_array_equal(narrow, between.astype(np.float16))


def test_atomic_operations_count_every_thread():
    out = zeros(5)
    launch("count_atomically", (3,), (50,), out)
    assert out.tolist() == [150, 149, -149, 150 % 7, 1]


def test_an_atomic_sum_of_floats_does_not_compile():
    code = 'extern "C" __global__ void f(float* x) { atomicAdd(x, 1.0f); }'
    with pytest.raises(CompileError, match="no atomics"):
        compiled(code).launch("f", (1,), (1,), [zeros(1, np.float32)])


@pytest.mark.parametrize("at", [-1, 4])
def test_a_write_beside_an_array_is_told(at):
    with pytest.raises(IndexError, match="before" if at < 0 else "behind"):
        launch("write", (1,), (1,), zeros(4, np.float32), np.int64(at))


@pytest.mark.parametrize("at", [-1, 4])
def test_a_read_beside_an_array_finds_nan(at):
    x, out = zeros(4, np.float32), zeros(1, np.float32)
    launch("read", (1,), (1,), x, out, np.int64(at))
    assert np.isnan(out[0])


def test_arrays_that_share_memory_do_so_there():
    x = np.arange(6, dtype=np.float32)
    launch("read", (1,), (1,), x[2:], x[:3], np.int64(1))
    assert x.tolist() == [3, 1, 2, 3, 4, 5]


WRONG = {
    "a read behind": "launch('read', (1,), (1,), x, x.copy(), np.int64(4))",
    "a write before": "launch('write', (1,), (1,), x, np.int64(-1))",
    "beyond shared memory": "launch('read_shared', (1,), (1,), x, np.int64(4))",
    "beyond dynamic shared memory": "launch('turn_around', (1,), (32,), y, shared=8 * 31)",
    "a load that is not aligned": "launch('load_four', (1,), (1,), y.view(np.float32)[1:], x)",
}


@pytest.mark.parametrize("code", [*WRONG.values(), None], ids=[*WRONG, "nothing wrong"])
def test_the_sanitizer_ends_the_process_at_a_wrong_access(code):
    right = "launch('read', (1,), (1,), x, x.copy(), np.int64(3))"
    program = (
        "import numpy as np; from test_cuda_on_cpu import launch; from cuda_on_cpu import running\n"
        "x, y = np.zeros(4, np.float32), np.zeros(32)\n"
        f"with running(sanitize=True): {code or right}"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], env=environment(), capture_output=True, text=True
    )
    said = "AddressSanitizer" in ran.stderr or "misaligned" in ran.stderr
    assert (bool(ran.returncode), said) == (code is not None, code is not None), ran.stderr


@pytest.mark.parametrize(
    ("arguments", "kind", "why"),
    [
        ((zeros(4, np.float32),), TypeError, "takes 2 arguments, 1 were given"),
        ((zeros(4, np.float32), 1), TypeError, "CuPy passes a Python int"),
        ((zeros(4, np.float32), np.int32(1)), TypeError, "is int64, and was given int32"),
        ((zeros(4, np.float32), zeros(1, np.int64)), TypeError, "was given an array"),
        ((zeros(4, np.float64), np.int64(1)), TypeError, "is float32, and was given float64"),
        ((zeros(8, np.float32)[::2], np.int64(1)), ValueError, "not contiguous"),
        ((np.float32(1), np.int64(1)), TypeError, "is a pointer"),
    ],
    ids=str,
)
def test_arguments_that_the_text_does_not_take_are_refused(arguments, kind, why):
    with pytest.raises(kind, match=why):
        launch("write", (1,), (1,), *arguments)


def test_a_null_pointer_is_passed():
    out = zeros(1)
    launch("is_null", (1,), (1,), np.intp(0), out)
    assert out[0] == 1
    launch("is_null", (1,), (1,), zeros(0), out)
    assert out[0] == 0  # an array without elements is somewhere


def test_without_a_barrier_some_order_shows_a_fault():
    program, faults = compiled(TEXT), []
    (barrier,) = [i for i, place in enumerate(program.barriers) if "turned" in line_of(place)]
    for order in ORDERS:
        out = zeros(32, np.float64)
        with running(order=order, removed=(program, barrier)):
            launch("turn_around", (1,), (32,), out, shared=32 * 8)
        faults.append((out != np.arange(31.0, -1, -1)).any())
    assert any(faults)


def line_of(place):
    return TEXT.split("\n")[place[1] - 1]


def test_switching_by_the_system_does_the_same(monkeypatch):
    from cuda_on_cpu import building

    flags = (*building.FLAGS, "-DCUDA_ON_CPU_UCONTEXT")
    monkeypatch.setattr(building, "FLAGS", flags)
    program = cuda_on_cpu.Program(TEXT)
    out = zeros(96, np.float64)
    program.launch("turn_around", (3,), (32,), [out], shared=32 * 8)
    np.testing.assert_array_equal(out.reshape(3, 32), np.arange(96.0).reshape(3, 32)[:, ::-1])


def test_what_does_not_compile_is_told():
    for code in ("#include <cmath>", 'extern "C" __global__ void f(wrong* x) {}'):
        with pytest.raises(CompileError, match=r"cmath|wrong"):
            compiled(code)
