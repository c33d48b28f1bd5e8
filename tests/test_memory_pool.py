"""The pool of large arrays: what it gives, when memory comes back, its bounds, `mg.memory()`."""

import copy
import gc
import os
import pickle
import subprocess
import sys
import threading
import time
import weakref

import numpy as np
import pytest

import minigrad as mg
from minigrad import graph
from minigrad.errors import DeviceError, GraphError
from minigrad.gradient import _owned
from minigrad.memory import ALIGNMENT, SMALLEST, Lease, Pool, block_size, empty
from minigrad.memory_report import Memory

MIB = 1 << 20
SHAPE = (3, 512, 256)  # 1.5 MiB of float32


@pytest.fixture(autouse=True)
def as_it_was():
    """Other tests find the pool's limit as they left it, and nothing kept from here."""
    limit = mg.memory().limit
    yield
    mg.memory().set_limit(limit)
    mg.memory().empty_cache()


@pytest.fixture
def pool():
    return Pool(limit=64 * MIB)


def array_of(pool, nbytes=4 * MIB):
    return pool.array((nbytes,), np.dtype(np.uint8), nbytes)


# ---- what it hands out ---------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float16, np.float32, "float64", np.int64, bool, ">f4"])
def test_a_large_array_is_an_ordinary_array(dtype):
    array = empty((1024, 1040), dtype)
    assert type(array) is np.ndarray
    assert (array.shape, array.dtype) == ((1024, 1040), np.dtype(dtype))
    assert array.flags.c_contiguous
    assert array.flags.writeable
    assert array.flags.aligned
    assert array.ctypes.data % ALIGNMENT == 0
    assert isinstance(array.base, Lease)
    array[...] = 1
    assert (array == 1).all()


def test_a_dtype_of_the_machine_is_the_one_that_the_sweep_compares_by_identity():
    for dtype in (np.float16, np.float32, np.float64, np.int64, np.bool_):
        assert empty((1 << 21,), dtype).dtype is np.dtype(dtype)


@pytest.mark.parametrize("shape", [(), (0,), (5, 0, 3), (1,), (SMALLEST // 4 - 1,)])
def test_a_small_array_is_numpys(shape):
    array = empty(shape, np.float32)
    assert array.shape == shape
    assert array.base is None


@pytest.mark.parametrize("dtype", [object, "datetime64[s]", "S8", [("a", "f8"), ("b", "i4")]])
def test_a_dtype_that_is_no_plain_number_is_numpys(dtype):
    array = empty((1 << 18,), dtype)
    assert array.base is None
    assert array.dtype == np.dtype(dtype)


def test_negative_lengths_are_refused_as_numpy_refuses_them(pool):
    with pytest.raises(ValueError, match="negative dimensions"):
        pool.array((-1024, -1024), np.dtype(np.float32), 4 * MIB)
    assert pool.used == 0


def test_arrays_that_live_at_once_share_no_memory(pool):
    arrays = [array_of(pool) for _ in range(8)]
    for i, array in enumerate(arrays):
        array[...] = i
    assert [(int(a.min()), int(a.max())) for a in arrays] == [(i, i) for i in range(8)]


@pytest.mark.parametrize(
    "nbytes", [MIB, MIB + 1, 2 * MIB - 1, 2 * MIB, 36 * MIB + 4, 10**9, (1 << 40) + 1]
)
def test_a_block_is_at_most_an_eighth_too_large(nbytes):
    assert nbytes <= block_size(nbytes) <= nbytes * 9 / 8
    assert block_size(block_size(nbytes)) == block_size(nbytes)


def test_few_sizes_serve_all():
    sizes = {block_size(n) for n in range(MIB + 1, 2 * MIB + 1, 999)}
    assert len(sizes) == 8


# ---- when memory comes back ----------------------------------------------------------------------


def test_the_memory_of_a_dead_array_is_used_again(pool):
    first = array_of(pool)
    address = first.ctypes.data
    del first
    assert array_of(pool, 4 * MIB - 100).ctypes.data == address
    assert (pool.hits, pool.misses) == (1, 1)


VIEWS = {
    "slice": lambda x: x[1:],
    "element": lambda x: x[1, 2, 3:4],
    "reshape": lambda x: x.reshape(-1),
    "transpose": lambda x: x.T,
    "dtype": lambda x: x.view(np.int32),
    "subclass": lambda x: x.view(np.matrix) if x.ndim == 2 else x.view(np.ma.MaskedArray),
    "broadcast": lambda x: np.broadcast_to(x, (2, *x.shape)),
    "windows": lambda x: np.lib.stride_tricks.sliding_window_view(x, 2, axis=2),
    "memoryview": memoryview,
    "iterator": lambda x: x.flat,
    "frombuffer": lambda x: np.frombuffer(x, np.float32),
    "dlpack": np.from_dlpack,
    "view of a view of a view": lambda x: x[1:].T[2:].T[..., ::3],
}


@pytest.mark.parametrize("name", VIEWS)
def test_memory_is_in_use_until_the_last_view_is_gone(name):
    before = mg.memory().used
    array = empty(SHAPE, np.float32)
    array[...] = 7
    held = mg.memory().used
    view = VIEWS[name](array)
    del array
    assert mg.memory().used == held > before
    others = [empty(SHAPE, np.float32) for _ in range(3)]
    for each in others:
        each[...] = 0
    values = view if not isinstance(view, memoryview) else np.asarray(view)
    expected = np.float32(7).view(np.int32) if name == "dtype" else 7
    assert all(v == expected for v in np.unique(np.asarray(values)))
    del view, values, others, each
    gc.collect()
    assert mg.memory().used == before


def test_torch_keeps_the_memory_of_an_array_that_it_was_given():
    torch = pytest.importorskip("torch")
    before = mg.memory().used
    tensors = [torch.from_numpy(empty(SHAPE, np.float32)), torch.from_dlpack(empty(SHAPE, "f4"))]
    assert mg.memory().used >= before + 2 * 3 * MIB // 2
    del tensors
    assert mg.memory().used == before


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))]
)
def test_a_copy_has_memory_of_its_own(copied):
    array = empty(SHAPE, np.float32)
    array[...] = 3
    other = copied(array)
    assert not np.shares_memory(array, other)
    assert (other == array).all()
    del array
    empty(SHAPE, np.float32)[...] = 0
    assert (other == 3).all()


def test_an_array_in_a_cycle_comes_back_with_the_collector():
    before = mg.memory().used
    cycle = [empty(SHAPE, np.float32)]
    cycle.append(cycle)
    del cycle
    gc.collect()
    assert mg.memory().used == before


def test_a_block_that_comes_back_inside_the_pool_waits_for_nobody(pool):
    array, start = array_of(pool), time.perf_counter()
    with pool._lock:  # as if garbage were collected between two lines of the pool
        del array
        assert (pool.used, pool.kept) == (4 * MIB, 0)
        assert array_of(pool).base is None  # and whoever needs memory there gets NumPy's
    assert time.perf_counter() - start < 1
    array_of(pool)
    assert (pool.used, pool.kept, pool.hits) == (0, 4 * MIB, 1)


def test_threads_may_share_the_pool(pool):
    wrong = []

    def work(number):
        held = []
        for i in range(300):
            nbytes = (1 + (i * number) % 3) * MIB
            array = array_of(pool, nbytes)
            array[:: nbytes // 16] = number
            held.append(array)
            if len(held) > 3:
                old = held.pop(0)
                if not (old[:: old.nbytes // 16] == number).all():
                    wrong.append(number)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(1, 7)]
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    finally:
        sys.setswitchinterval(before)
    assert not any(thread.is_alive() for thread in threads)
    assert not wrong
    assert pool.used == 0
    assert pool.kept == sum(b.nbytes for blocks in pool._free.values() for b in blocks)
    assert pool.kept <= pool.limit


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_a_fork_finds_a_pool_that_works():
    code = """
import os, threading
import numpy as np
from minigrad.memory import empty, pool
kept = empty((1 << 20,), np.float32)
kept[...] = 5
pool._lock.acquire()  # by a thread that the child will not have
child = os.fork()
if child == 0:
    array = empty((1 << 20,), np.float32)
    array[...] = 1
    kept[...] = 2
    del array
    os._exit(0 if (pool.hits, pool.misses, pool.kept) == (0, 2, 4 << 20) else 1)
pool._lock.release()
assert os.waitpid(child, 0)[1] == 0
assert (kept == 5).all()
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stderr) == (0, "")


def test_arrays_that_outlive_the_interpreter_say_nothing():
    code = """
import builtins, sys
import numpy as np
from minigrad.memory import empty
builtins.kept = empty((1 << 20,), np.float32)[3:]
sys.modules["somewhere"] = [empty((1 << 20,), np.float32) for _ in range(3)]
cycle = [empty((1 << 20,), np.float32)]
cycle.append(cycle)
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (ran.returncode, ran.stderr) == (0, "")


# ---- bounds --------------------------------------------------------------------------------------


def test_no_more_is_kept_than_the_limit(pool):
    arrays = [array_of(pool) for _ in range(20)]
    assert (pool.used, pool.kept) == (80 * MIB, 0)
    del arrays
    assert (pool.used, pool.kept) == (0, 64 * MIB)


def test_what_has_been_free_for_longest_goes_first(pool):
    old = array_of(pool, 8 * MIB)
    del old
    young = [array_of(pool, 4 * MIB) for _ in range(15)]  # 68 MiB in all
    del young
    array_of(pool, 4 * MIB)
    assert pool.kept == 60 * MIB
    misses = pool.misses
    array_of(pool, 8 * MIB)
    assert pool.misses == misses + 1


def test_of_blocks_of_one_size_the_last_to_come_back_stays(pool):
    old, young = array_of(pool), array_of(pool)
    address = young.ctypes.data
    del old, young  # in this order
    pool.set_limit(4 * MIB)
    assert array_of(pool).ctypes.data == address


def test_a_block_beyond_the_limit_is_not_kept(pool):
    small = array_of(pool)
    big = array_of(pool, 80 * MIB)
    del small, big
    assert pool.used == 0
    assert pool.kept <= 4 * MIB


def test_a_limit_of_0_keeps_nothing(pool):
    pool.set_limit(0)
    array_of(pool)
    assert (pool.used, pool.kept) == (0, 0)
    assert array_of(pool)[:3].shape == (3,)


def test_a_smaller_limit_holds_at_once(pool):
    arrays = [array_of(pool) for _ in range(5)]
    del arrays
    pool.set_limit(9 * MIB)
    assert pool.kept == 8 * MIB


def test_freed_blocks_are_given_back_to_the_allocator(pool):
    arrays = [array_of(pool) for _ in range(3)]
    memory = [weakref.ref(a.base.block.memory) for a in arrays]
    del arrays
    assert all(each() is not None for each in memory)
    pool.empty()
    assert [each() for each in memory] == [None] * 3


def test_out_of_memory_the_pool_lets_go_before_it_gives_up(pool, monkeypatch):
    array_of(pool)
    kept = []

    def full(shape, dtype):
        kept.append(pool.kept)
        if pool.kept:
            raise MemoryError
        return numpys(shape, dtype)

    numpys = np.empty
    monkeypatch.setattr(np, "empty", full)
    assert array_of(pool, 8 * MIB).nbytes == 8 * MIB
    assert kept == [4 * MIB, 0]


# ---- together with the graph ---------------------------------------------------------------------


def large_leaf():
    values = empty(SHAPE, np.float64)
    values[...] = 2
    x = mg.tensor(values, requires_grad=True)
    x.array = values  # as an op's result would have it
    return x


def test_a_write_to_an_array_of_the_pool_is_noticed():
    x = large_leaf()
    y = (x * x).sum()
    with mg.no_grad():
        x[0] = 1
    with pytest.raises(GraphError, match="overwritten"):
        y.backward()


def test_a_write_through_one_view_is_noticed_through_another():
    array = empty(SHAPE, np.float64)
    assert graph.owner(array[1:].T) is graph.owner(array.reshape(-1)[5:]) is array.base


def test_an_old_write_says_nothing_about_new_arrays_in_the_same_memory():
    array = empty(SHAPE, np.float64)
    address = array.ctypes.data
    graph.wrote("a test", array)
    notes = len(graph._writes)
    del array
    assert len(graph._writes) == notes - 1  # the note went with the array
    x = large_leaf()
    assert x.array.ctypes.data == address
    (x * x).sum().backward()
    assert (x.grad.numpy() == 4).all()


def test_a_gradient_in_memory_of_the_pool_is_handed_over_and_not_copied():
    g = empty(SHAPE, np.float64)
    assert _owned(g, set()).array is g
    assert _owned(g, {id(g)}).array is not g  # of another leaf's `.grad`
    assert not np.shares_memory(_owned(g[1:], set()).array, g)


def test_a_summary_counts_the_bytes_of_the_array_and_not_of_its_block():
    array = empty((1100, 1000), np.float32)
    assert graph.owner(array[3:]).nbytes == array.nbytes < array.base.block.nbytes


# ---- mg.memory() ---------------------------------------------------------------------------------


def test_the_report_follows_the_pool():
    mg.memory().empty_cache()
    before = mg.memory()
    array = empty((1024, 1024), np.float32)
    during = mg.memory()
    del array
    after = mg.memory()
    assert before.device == "cpu"
    assert before.kept == 0
    assert (during.used - before.used, after.used - before.used) == (4 * MIB, 0)
    assert (during.kept, after.kept) == (0, 4 * MIB)
    assert during.misses == before.misses + 1
    empty((1024, 1024), np.float32)
    assert mg.memory().hits == before.hits + 1
    mg.memory().empty_cache()
    assert mg.memory().kept == 0


def test_the_peak_is_the_most_in_use_since_it_was_reset():
    mg.memory().reset_peak()
    start = mg.memory()
    assert start.peak == start.used
    arrays = [empty((MIB,), np.uint8) for _ in range(3)]
    del arrays
    empty((MIB,), np.uint8)
    assert mg.memory().peak == start.used + 3 * MIB
    mg.memory().reset_peak()
    assert mg.memory().peak == start.used


def test_the_limit_is_1_gib_unless_set():
    assert Pool().limit == mg.memory().limit == 1 << 30
    mg.memory().set_limit(10 * MIB)
    assert mg.memory().limit == 10 * MIB


def test_a_negative_limit_says_what_to_give():
    with pytest.raises(ValueError, match=r"limit of -1 bytes: give 0 or more, such as 512"):
        mg.memory().set_limit(-1)


def test_it_reads_as_a_line():
    report = Memory("cpu", 3 * MIB // 2, 64 * MIB, 1 << 30, 80 * MIB, hits=7, misses=2)
    assert repr(report) == (
        "<memory of cpu: 1.5 MiB in use, 64.0 MiB kept, limit 1.00 GiB, peak 80.0 MiB, "
        "7 of 9 arrays reused memory>"
    )


def test_an_unknown_device_is_refused():
    with pytest.raises(DeviceError, match="there is no device 'tpu'"):
        mg.memory("tpu")


def test_a_device_without_a_pool_is_refused(standin):
    with pytest.raises(DeviceError, match="device 'cuda' has no pool that minigrad knows"):
        mg.memory("cuda")


class PoolOfCuPy:
    """What `cupy.get_default_memory_pool()` returns, as far as it is asked."""

    def __init__(self):
        self.limit = self.freed = 0

    def used_bytes(self):
        return 3 * MIB

    def free_bytes(self):
        return 0 if self.freed else 5 * MIB

    def get_limit(self):
        return self.limit

    def set_limit(self, size=None):
        self.limit = size

    def free_all_blocks(self):
        self.freed += 1


def test_on_the_gpu_it_says_what_cupys_pool_says(standin, monkeypatch):
    pool = PoolOfCuPy()
    monkeypatch.setattr(standin, "get_default_memory_pool", lambda: pool, raising=False)
    report = mg.memory("cuda")
    assert report == Memory("cuda", 3 * MIB, 5 * MIB, None)
    assert repr(report) == "<memory of cuda: 3.0 MiB in use, 5.0 MiB kept>"
    report.set_limit(MIB)
    assert mg.memory("cuda").limit == MIB
    report.empty_cache()
    assert mg.memory("cuda").kept == 0
    with pytest.raises(DeviceError, match=r"counts no peak: look at mg.memory\('cuda'\).used"):
        report.reset_peak()


@pytest.mark.gpu
@pytest.mark.pitfall("E81")
def test_E81_on_the_gpu_nothing_is_in_use_after_training(gpu):
    gc.collect()
    before = mg.memory("cuda").used
    model = mg.nn.Sequential(mg.nn.Linear(64, 64), mg.nn.BatchNorm1d(64)).to("cuda")
    optimizer = mg.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for _ in range(3):
        optimizer.zero_grad()
        (model(mg.randn(32, 64, device="cuda")) ** 2).mean().backward()
        optimizer.step()
    assert mg.memory("cuda").used > before
    del model, optimizer
    gc.collect()
    assert mg.memory("cuda").used == before
    mg.memory("cuda").empty_cache()
    assert mg.memory("cuda").kept == 0
