"""Every `.cu` file: what it computes, on the CPU, in any order of threads, and that it compiles."""

import cuda_on_cpu
import pytest
from cuda_calls import FILES, barriers, calls_of, nvrtc, sanitized
from cuda_calls.call import agree, same
from cuda_calls.equivalent_barriers import EQUIVALENT
from cuda_on_cpu import ORDERS, running

from minigrad.kernels.cuda.launching import OPTIONS

on_cpu = pytest.mark.skipif(not cuda_on_cpu.available(), reason="needs g++ 12 or later")
compiling = pytest.mark.skipif(
    not nvrtc.available(), reason="needs nvidia-cuda-nvrtc and nvidia-cuda-runtime"
)

CALLS = [
    pytest.param(call, id=f"{file.stem}: {name}")
    for file in FILES
    for name, call in calls_of(file).items()
]


@on_cpu
@pytest.mark.parametrize("call", CALLS)
def test_a_kernel_gives_what_is_right_in_any_order_of_threads(call):
    found = {}
    for order in ORDERS:
        with running(order=order):
            found[order], copies, launched = call.run()
        assert launched, "no kernel ran"
        assert not copies, "the host looked at the device's values"
    agree(found["forward"], call.right(), call.size)
    for order in ORDERS:
        assert same(found[order], found["forward"]), f"{order} gives other bits"


@on_cpu
def test_no_kernel_leaves_its_arrays():
    assert not sanitized.report([file.stem for file in FILES])


@on_cpu
def test_a_barrier_left_out_is_noticed():
    assert not barriers.unnoticed()


@on_cpu
def test_each_barrier_that_may_be_left_out_is_one():
    there = barriers.there()
    assert {place: there[place] for place in EQUIVALENT} == dict.fromkeys(EQUIVALENT, 1)


@compiling
@pytest.mark.parametrize("architecture", nvrtc.ARCHITECTURES)
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_file_compiles(file, architecture):
    code = nvrtc.compile_to_machine_code(file.read_text(), OPTIONS, architecture)
    assert code.startswith(b"\x7fELF")
