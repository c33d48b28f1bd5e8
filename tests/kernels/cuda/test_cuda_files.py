"""Every `.cu` file, run on the CPU: what it computes, in any order of threads."""

import pytest
from cuda_calls import FILES, barriers, calls_of, sanitized
from cuda_calls.call import agree, same
from cuda_calls.equivalent_barriers import EQUIVALENT
from cuda_on_cpu import ORDERS, running

CALLS = [
    pytest.param(call, id=f"{file.stem}: {name}")
    for file in FILES
    for name, call in calls_of(file).items()
]


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


def test_no_kernel_leaves_its_arrays():
    assert not sanitized.report([file.stem for file in FILES])


def test_a_barrier_left_out_is_noticed():
    assert not barriers.unnoticed()


def test_each_barrier_that_may_be_left_out_is_one():
    there = barriers.there()
    assert {place: there[place] for place in EQUIVALENT} == dict.fromkeys(EQUIVALENT, 1)
