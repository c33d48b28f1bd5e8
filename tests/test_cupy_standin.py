"""The stand-in for CuPy catches what NumPy lets pass, and lets pass what CuPy takes.

Each planted mistake runs on NumPy without a word; the stand-in raises, counts, or poisons.
"""

import cuda_on_cpu
import cupy_standin
import numpy as np
import pytest
from cupy_standin import hidden_copies


@pytest.fixture
def cp():
    """The stand-in, imported as a program would, with no copy counted."""
    with cupy_standin.installed():
        import cupy

        hidden_copies.clear()
        yield cupy


def ramp(xp):
    return xp.arange(6.0).reshape(2, 3)


# Twelve planted mistakes: a program in the terms of a namespace, and how CuPy's contract shows it.
RAISING = {
    "a forgotten np.": (lambda xp: ramp(xp) + np.ones(3), TypeError, "Unsupported type"),
    "an implicit copy": (lambda xp: np.asarray(ramp(xp)), TypeError, "Implicit conversion"),
    "an unsupported name": (lambda xp: xp.vecdot(ramp(xp), ramp(xp)), AttributeError, "vecdot"),
    "an unsupported keyword": (
        lambda xp: xp.sum(ramp(xp), where=ramp(xp) > 1),
        TypeError,
        "unexpected keyword",
    ),
    "where= of a ufunc": (
        lambda xp: xp.add(ramp(xp), 1, where=ramp(xp) > 1, out=ramp(xp)),
        TypeError,
        "Wrong arguments",
    ),
    "reduce of another ufunc": (
        lambda xp: xp.maximum.reduce(ramp(xp)),
        NotImplementedError,
        "maximum.reduce",
    ),
    "at of another ufunc": (
        lambda xp: xp.multiply.at(ramp(xp), 0, 2.0),
        NotImplementedError,
        "multiply.at",
    ),
    "the writeable flag": (lambda xp: ramp(xp).flags.writeable, AttributeError, "writeable"),
}


def assign_twice(xp):
    x = xp.zeros(3)
    x[xp.array([0, 0, 1])] = xp.array([1.0, 2.0, 3.0])
    return x


def read_unwritten(xp):
    x = xp.empty(3)
    x[:2] = 1
    return x


POISONED = {"a place written twice": assign_twice, "memory never written": read_unwritten}

COUNTED = {
    "a look at a loss": ("float", lambda xp: float(ramp(xp).sum())),
    "a branch on values": ("bool", lambda xp: 1 if (ramp(xp) > 3).any() else 0),
}


def test_there_are_twelve():
    assert len(RAISING) + len(POISONED) + len(COUNTED) == 12


@pytest.mark.parametrize("mistake", RAISING)
def test_a_mistake_raises(cp, mistake):
    program, kind, message = RAISING[mistake]
    program(np)  # NumPy does not notice
    with pytest.raises(kind, match=message):
        program(cp)


@pytest.mark.parametrize("mistake", POISONED)
def test_a_mistake_gives_nan(cp, mistake):
    assert np.isnan(POISONED[mistake](cp).get()).any()


@pytest.mark.parametrize("mistake", COUNTED)
def test_a_mistake_is_counted(cp, mistake):
    how, program = COUNTED[mistake]
    assert program(cp) == program(np)
    assert hidden_copies == {how: 1}


# ---- the contract in more detail


@pytest.mark.parametrize(
    ("how", "look"),
    [
        ("int", int),
        ("complex", complex),
        ("item", lambda a: a.item()),
        ("tolist", lambda a: a.tolist()),
        ("repr", repr),
        ("str", str),
        ("format", lambda a: f"{a}"),
        ("get", lambda a: a.get()),
        ("mask", lambda a: a.reshape(1)[a.reshape(1) > 0]),
        ("nonzero", lambda a: a.reshape(1).nonzero()),
    ],
)
def test_looks_are_counted(cp, how, look):
    look(cp.ones(()))
    assert hidden_copies == {how: 1}


def test_computing_is_not_counted(cp):
    x = cp.asarray(np.ones((2, 3), np.float32))
    x = cp.where(x > 0, cp.exp(x), x.mean(axis=0)) @ x.T
    x[x > 100] = 0.0
    x /= x.sum() * 0  # no warning either
    assert x.shape == (2, 2)
    assert len(x) == 2
    assert not hidden_copies


def test_results_are_arrays_never_scalars(cp):
    x = ramp(cp)
    for y in (x.sum(), x[0, 1], cp.max(x), cp.add.reduce(x, axis=None), x[0] @ x[1]):
        assert type(y) is cp.ndarray
        assert y.shape == ()


def test_numpy_functions_come_back_to_cupy(cp):
    assert type(np.sqrt(ramp(cp))) is cp.ndarray  # CuPy allows this one
    assert type(np.concatenate([ramp(cp), ramp(cp)])) is cp.ndarray


def test_numpy_scalars_may_meet_arrays(cp):
    x = cp.ones(3, np.float32)
    assert (np.float32(2) * x).dtype == np.float32
    assert (x * np.float64(2)).dtype == np.float64
    assert (x * 2.0).dtype == np.float32


def test_indices_out_of_range_wrap(cp):
    x = cp.arange(3)
    np.testing.assert_array_equal(x[cp.array([4, -4])].get(), [1, 2])
    np.testing.assert_array_equal(x.take(cp.array([3])).get(), [0])
    with pytest.raises(IndexError):
        x[3]  # a plain number is looked at


def test_equal_values_may_be_written_twice(cp):
    x = cp.zeros(3)
    x[cp.array([0, 0])] = cp.array([2.0, 2.0])
    x[[1, 1]] = 5.0
    np.testing.assert_array_equal(x.get(), [2, 5, 0])


def test_a_numpy_array_is_not_assigned(cp):
    x = cp.zeros(3)
    with pytest.raises(ValueError, match="non-scalar"):
        x[:] = np.ones(3)


def test_views_know_their_owner(cp):
    x = cp.arange(6)
    view = x.reshape(2, 3).T[1:]
    assert view.base is x
    assert (x.base, x.flags.owndata, view.flags.owndata) == (None, True, False)
    view[0, 0] = 7
    assert int(x[1]) == 7
    assert (x + 1).base is None
    windows = cp.lib.stride_tricks.sliding_window_view(x, (2,), (0,))
    assert windows.base is x


def test_host_memory_is_never_shared(cp):
    host = np.zeros(3)
    x = cp.asarray(host)
    host[0] = 1
    assert float(x[0]) == 0
    x.get()[1] = 1
    assert float(x[1]) == 0


def test_add_at_takes_what_atomics_take(cp):
    x = cp.zeros(3, np.float32)
    cp.add.at(x, cp.array([0, 0, 5]), cp.ones(3, np.float32))
    np.testing.assert_array_equal(x.get(), [2, 0, 1])
    with pytest.raises(TypeError, match="float16"):
        cp.add.at(cp.zeros(3, np.float16), 0, 1)


def test_out_is_written_and_checked(cp):
    x = cp.ones(3)
    assert cp.exp(x, out=x) is x
    with pytest.raises(TypeError, match="out="):
        cp.exp(x, out=np.ones(3))


def test_numbers_and_lists_are_no_arrays(cp):
    for call in (
        lambda xp: xp.where(False, xp.ones(2), 0),
        lambda xp: xp.sum([1, 2]),
        lambda xp: xp.stack([xp.ones(()), 1.0]),
        lambda xp: xp.exp([1.0]),
    ):
        call(np)
        with pytest.raises(TypeError, match=r"cupy.ndarray|Unsupported type"):
            call(cp)


def test_singular_matrices_are_not_noticed(cp):
    singular = cp.zeros((2, 3, 3))
    for found in (cp.linalg.inv(singular), cp.linalg.solve(singular, cp.ones((2, 3, 1)))):
        assert np.isnan(found.get()).all()
    assert np.isnan(cp.linalg.cholesky(-cp.eye(2)).get()).all()
    with pytest.raises(np.linalg.LinAlgError):
        cp.linalg.inv(cp.ones((2, 3)))


def test_one_mask_in_an_index(cp):
    mask = cp.ones(2, bool)
    with pytest.raises(NotImplementedError, match="one boolean array"):
        cp.ones((2, 2))[mask, mask]


def test_dtypes_that_no_gpu_has(cp):
    for data in (["a"], [object()], np.zeros(2, np.longdouble)):
        with pytest.raises(ValueError, match="Unsupported dtype"):
            cp.array(data)


def test_a_generator_draws_fewer_distributions(cp):
    draws = cp.random.default_rng(0)
    assert draws.uniform(size=3).shape == (3,)
    with pytest.raises(AttributeError, match="permutation"):
        draws.permutation(3)


def test_an_array_stays_on_its_device(cp):
    with cp.cuda.Device(1):
        x = cp.ones(3)
        assert (x + x).device.id == 1
    with pytest.raises(ValueError, match="current device"):
        x + 1
    with pytest.raises(cp.cuda.runtime.CUDARuntimeError):
        cp.cuda.Device(2).use()


def test_other_modules_are_put_back():
    import sys

    before = sys.modules.get("cupy")
    with cupy_standin.installed() as cupy:
        assert sys.modules["cupy"] is cupy
        assert type(cupy.ones(1)).__module__ == "cupy"
    assert sys.modules.get("cupy") is before


# ---- raw kernels

runs_kernels = pytest.mark.skipif(not cuda_on_cpu.available(), reason="needs g++ 12 or later")

SCALE = """
template <class T> __device__ void scale(const T* x, T* y, long long n, double by) {
  for (long long i = threadIdx.x; i < n; i += blockDim.x) y[i] = x[i] * T(by);
}
#define ENTRY(T, name)                                                                \
  extern "C" __global__ void scale_##name(const T* __restrict__ x, T* __restrict__ y, \
                                          const long long n, double by) {             \
    scale(x, y, n, by);                                                               \
  }
ENTRY(float, float32)
ENTRY(double, float64)
"""


def launch(cp, args=None, grid=(1,), block=(32,), **options):
    x, y = cp.arange(5, dtype=np.float32), cp.empty(5, np.float32)
    kernel = cp.RawModule(code=SCALE, options=("-std=c++17",)).get_function("scale_float32")
    arguments = (x, y, np.int64(5), np.float64(2)) if args is None else args(x, y)
    kernel(grid, block, arguments, **options)
    return y


@runs_kernels
def test_a_raw_kernel_runs_and_looks_at_nothing(cp):
    y = launch(cp)
    assert not hidden_copies
    assert y.tolist() == [0, 2, 4, 6, 8]


# what CuPy takes without a word: it would compute nonsense, or by chance what was meant
MISTAKEN = {
    "a Python int": (lambda x, y: (x, y, 5, np.float64(2)), TypeError, "as int64"),
    "a Python float": (lambda x, y: (x, y, np.int64(5), 2.0), TypeError, "as int64"),
    "a narrow int": (lambda x, y: (x, y, np.int32(5), np.float64(2)), TypeError, "int64"),
    "an argument too few": (lambda x, y: (x, y, np.int64(5)), TypeError, "takes 4 arguments"),
    "another dtype": (
        lambda x, y: (x.astype(float), y, np.int64(5), np.float64(2)),
        TypeError,
        "float32, and was given float64",
    ),
    "a view with gaps": (
        lambda x, y: (x[::2], y, np.int64(3), np.float64(2)),
        ValueError,
        "not contiguous",
    ),
    "a NumPy array": (
        lambda x, y: (np.ones(5, np.float32), y, np.int64(5), np.float64(2)),
        TypeError,
        "NumPy array",
    ),
    "a write behind an array": (
        lambda x, y: (x, y[:4], np.int64(5), np.float64(2)),
        IndexError,
        "behind an array of 16 bytes",
    ),
}


@runs_kernels
@pytest.mark.parametrize("mistake", MISTAKEN)
def test_a_mistaken_argument_is_refused(cp, mistake):
    args, error, match = MISTAKEN[mistake]
    with pytest.raises(error, match=match):
        launch(cp, args)


@runs_kernels
def test_a_launch_is_as_cupys(cp):
    with pytest.raises(TypeError, match="tuples"):
        launch(cp, grid=1)
    with pytest.raises(TypeError, match="positional"):
        cp.RawModule(SCALE)
    with pytest.raises(TypeError, match="Exactly one"):
        cp.RawModule()
    with pytest.raises(TypeError, match="unexpected"):
        launch(cp, shared=5)
    with pytest.raises(AttributeError, match="CUDA_ERROR_NOT_FOUND"):
        cp.RawModule(code=SCALE).get_function("scale")
    with pytest.raises(RuntimeError, match="an empty launch"):
        launch(cp, grid=(0,))
    with cp.cuda.Device(1):
        there = cp.ones(5, np.float32)
    with pytest.raises(ValueError, match="current device"):
        launch(cp, lambda x, y: (there, y, np.int64(5), np.float64(2)))


def test_without_a_compiler_there_are_no_raw_kernels(monkeypatch):
    monkeypatch.setattr(cuda_on_cpu, "available", lambda: False)
    with pytest.raises(AttributeError, match="RawModule"):
        cupy_standin._make_modules()["cupy"].RawModule  # noqa: B018
