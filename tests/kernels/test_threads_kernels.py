"""Threads: OpenBLAS's are the user's, nothing is left in the environment, and forks are safe."""

import os
import subprocess
import sys
import textwrap
import threading

import numpy as np
import pytest

import minigrad as mg
from minigrad.kernels.cpu import blas
from minigrad.ops.linear import dot, linear, linear_grad, matmul

ones = np.ones
CALLS = {
    "a layer": lambda: linear(ones((300, 200)), ones((100, 200)), ones(100)),
    "its gradients": lambda: linear_grad(ones((300, 200)), ones((100, 200)), ones((300, 100))),
    "a small layer": lambda: linear(ones((3, 2)), ones((4, 2)), ones(4)),
    "a product": lambda: matmul(ones((300, 200)), ones((200, 100))),
    "several products": lambda: matmul(ones((4, 300, 200)), ones((4, 200, 100))),
    "broadcast products": lambda: matmul(ones((4, 300, 200)), ones((1, 200, 100))),
    "a matrix and a vector": lambda: matmul(ones((300, 200)), ones(200)),
    "vectors": lambda: dot(ones(20_000), ones(20_000)),
    "shapes that do not fit": lambda: matmul(ones((300, 200)), ones((300, 200))),
}

with_openblas = pytest.mark.skipif(not blas.available, reason="NumPy's OpenBLAS is not here")


@pytest.fixture(params=[1, 2])
def users_threads(request):
    """OpenBLAS's number of threads, as the user has set it."""
    before = blas.functions["threads"]()
    blas.functions["set_threads"](request.param)
    yield request.param
    blas.functions["set_threads"](before)


@with_openblas
@pytest.mark.parametrize("name", CALLS)
def test_after_a_kernel_openblas_has_the_users_threads(name, users_threads):
    try:
        CALLS[name]()
    except mg.ShapeError:
        assert name == "shapes that do not fit"
    assert blas.functions["threads"]() == users_threads


@with_openblas
def test_inside_products_run_on_one_thread_and_an_error_restores_the_users(users_threads):
    def fails():
        with blas.one_thread_each():
            with blas.one_thread_each():
                assert blas.functions["threads"]() == 1
            assert blas.functions["threads"]() == 1
            raise KeyError

    with pytest.raises(KeyError):
        fails()
    assert blas.functions["threads"]() == users_threads


@with_openblas
def test_the_last_thread_to_leave_restores_the_users_number(users_threads):
    first_in, second_in, first_out = (threading.Event() for _ in range(3))

    def first():
        with blas.one_thread_each():
            first_in.set()
            second_in.wait(10)
        first_out.set()

    thread = threading.Thread(target=first)
    thread.start()
    first_in.wait(10)
    with blas.one_thread_each():
        second_in.set()
        first_out.wait(10)
        assert blas.functions["threads"]() == 1
    thread.join()
    assert blas.functions["threads"]() == users_threads


# ---- in processes of their own -------------------------------------------------------------------


def run(code, **environment):
    """What a fresh interpreter prints, on either stream."""
    settings = {k: v for k, v in os.environ.items() if not k.startswith(("GOMP", "OMP", "NUMBA"))}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env=settings | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize(("said", "on"), [("off", False), ("0", False), ("No", False), ("1", True)])
def test_the_environment_turns_kernels_off(said, on):
    code = "import minigrad as mg; mg.relu(mg.ones(3)); print(bool(mg.relu.op.kernels))"
    assert run(code, MINIGRAD_KERNELS=said) == f"{on}\n"


STARTS = """
    import os
    before = dict(os.environ)
    import minigrad.kernels.cpu.compiling
    assert dict(os.environ) == before, "the environment has changed"
"""


@pytest.mark.parametrize(
    ("given", "spins"),
    [
        ({}, "3000"),
        ({"GOMP_SPINCOUNT": "777"}, "777"),
        ({"OMP_WAIT_POLICY": "passive"}, "0"),
    ],
)
def test_openmp_spins_briefly_unless_the_user_says_how_long(given, spins):
    pytest.importorskip("numba.np.ufunc.omppool")
    told = run(STARTS, OMP_DISPLAY_ENV="verbose", **given)
    if "GOMP_SPINCOUNT" not in told:
        pytest.skip("Numba's OpenMP is not GNU's")
    assert f"GOMP_SPINCOUNT = '{spins}'" in told


FORKS = """
    import os, sys, threading
    import numpy as np
    import minigrad as mg

    def step():
        x, w = mg.ones(500, 400), mg.ones(300, 400, requires_grad=True)
        y = mg.nn.functional.linear(x, w, mg.zeros(300)).relu().sum()
        y.backward()
        optimizer = mg.optim.SGD([w], lr=0.1)
        optimizer.step()
        assert y.item() == 500 * 400 * 300 and w.grad.numpy().min() == 500
        return y

    def in_a_child(work):
        child = os.fork()
        if not child:
            try:
                work()
            except BaseException as error:
                print(error, file=sys.stderr)
                os._exit(1)
            os._exit(0)
        status = os.waitpid(child, 0)[1]
        assert status == 0, f"the child ended with {status}"

    def in_a_thread(work):
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.parametrize("layer", ["omp", "workqueue"])
def test_a_child_and_its_child_run_without_the_threads_of_their_parent(layer):
    code = (
        FORKS
        + """
    kernels = sys.modules["minigrad.kernels.cpu"]

    def works():
        assert kernels.forked and not mg.sum.op.kernels
        step()
        in_a_thread(step)

    step()
    assert mg.sum.op.kernels and not kernels.forked
    in_a_child(lambda: (works(), in_a_child(works)))
    step()
    assert mg.sum.op.kernels
    """
    )
    run(code, NUMBA_THREADING_LAYER=layer)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_child_of_a_process_that_ran_no_kernel_has_its_own():
    code = (
        FORKS
        + """
    def works():
        step()
        assert mg.sum.op.kernels

    import minigrad.kernels.cpu.sums
    in_a_child(works)
    """
    )
    run(code)


@pytest.mark.parametrize("layer", ["omp", "workqueue"])
def test_two_python_threads_may_run_kernels_at_once(layer):
    code = """
    import threading
    import numpy as np
    import minigrad as mg

    rng = np.random.default_rng(0)
    x, w = (mg.tensor(rng.normal(size=(400, 400)).astype("float32")) for _ in range(2))
    true = [(x @ w).numpy(), x.sum(0).numpy()]
    wrong = []

    def work():
        for _ in range(200):
            for found, y in zip([x @ w, x.sum(0)], true):
                if not np.array_equal(found.numpy(), y):
                    wrong.append(found)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    """
    run(code, NUMBA_THREADING_LAYER=layer)
