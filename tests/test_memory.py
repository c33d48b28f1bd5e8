"""Time and memory: deep and wide graphs, what dies when, flat training: E8, E9, E66, E71 to E74."""

import gc
import sys
import time
import tracemalloc
import weakref

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, optim


@pytest.fixture
def no_collector():
    """Reference counting alone: what only the cycle collector would free stays."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


class ArrayMemory:
    """The bytes that NumPy's arrays hold now and held at most, since the block was entered."""

    def __enter__(self):
        gc.collect()
        tracemalloc.start()
        return self

    def __exit__(self, *exception):
        tracemalloc.stop()

    def now(self):
        snapshot = tracemalloc.take_snapshot().filter_traces(
            [tracemalloc.DomainFilter(inclusive=True, domain=np.lib.tracemalloc_domain)]
        )
        return sum(trace.size for trace in snapshot.traces)


def chain(length, x):
    y = x
    for _ in range(length):
        y = y + 1.0
    return y


# ---- E8: deep graphs -----------------------------------------------------------------------------


@pytest.mark.pitfall("E8")
def test_E8_a_chain_of_100_000_ops_runs_forward_backward_and_is_destroyed():
    assert sys.getrecursionlimit() <= 3000
    x = mg.tensor(1.0, requires_grad=True)
    y = chain(100_000, x)
    y.backward()
    assert x.grad.item() == 1.0
    del y


@pytest.mark.pitfall("E8")
def test_E8_a_chain_that_was_never_swept_is_destroyed():
    y = chain(100_000, mg.tensor(1.0, requires_grad=True))
    node = weakref.ref(y.node)
    del y
    assert node() is None


@pytest.mark.pitfall("E8")
def test_E8_a_chain_that_was_retained_is_destroyed():
    x = mg.tensor(1.0, requires_grad=True)
    y = chain(100_000, x)
    y.backward(retain_graph=True)
    node = weakref.ref(y.node)
    del y
    assert node() is None


@pytest.mark.pitfall("E8")
def test_E8_a_chain_that_saves_arrays_is_destroyed():
    y = x = mg.tensor(1.0, requires_grad=True)
    for _ in range(50_000):
        y = y * x
    y.backward(retain_graph=True)
    del y
    assert x.grad.item() == 50_001.0


@pytest.mark.pitfall("E8")
def test_E8_a_chain_swept_with_create_graph_is_destroyed():
    x = mg.tensor(1.0, requires_grad=True)
    y = chain(20_000, x * x)
    (g,) = mg.grad(y, x, create_graph=True)
    (second,) = mg.grad(g, x)
    assert second.item() == 2.0
    del y, g


@pytest.mark.pitfall("E8")
def test_E8_grad_to_an_input_goes_through_a_long_chain():
    x = mg.tensor(1.0, requires_grad=True)
    assert mg.grad(chain(50_000, x), x)[0].item() == 1.0


@pytest.mark.pitfall("E8")
def test_E8_a_chain_of_item_assignments_is_destroyed():
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    y = x * 1
    for _ in range(20_000):
        y[0] = 3.0
    y.sum().backward()
    assert x.grad.tolist() == [0, 1]


def _seconds(length):
    x = mg.tensor(1.0, requires_grad=True)
    start = time.process_time()  # of this process: the machine is shared
    y = chain(length, x)
    y.backward()
    del y
    return time.process_time() - start


@pytest.mark.pitfall("E8")
def test_E8_time_is_linear(no_collector):
    short = min(_seconds(10_000) for _ in range(3))
    long = min(_seconds(100_000) for _ in range(3))
    assert long <= 15 * short


# ---- E9: wide graphs -----------------------------------------------------------------------------


@pytest.mark.pitfall("E9")
def test_E9_the_gradient_of_a_leaf_used_often_takes_no_more_memory():
    x = mg.tensor(np.ones(1000), requires_grad=True)  # 8 kB

    def peak(uses):
        y = (x + 1.0).sum()
        for _ in range(uses - 1):
            y = y + (x + 1.0).sum()
        with ArrayMemory():
            y.backward()
            top = tracemalloc.get_traced_memory()[1]
        assert x.grad.tolist() == [float(uses)] * 1000
        x.grad = None
        return top

    few, many = peak(20), peak(2000)
    assert many < few + 2000 * 1000  # 1 kB a use pays for the heap; 8 kB a use would be a gradient


@pytest.mark.pitfall("E9")
def test_E9_a_leaf_of_10_000_uses():
    x = mg.tensor(2.0, requires_grad=True)
    total = mg.tensor(0.0)
    for _ in range(10_000):
        total = total + x * 1.0
    total.backward()
    assert x.grad.item() == 10_000.0


# ---- what dies when ------------------------------------------------------------------------------


def small_model():
    return nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 4))


@pytest.mark.pitfall("E71")
def test_E71_activations_die_with_backward(no_collector):
    model, loss_of = small_model(), nn.CrossEntropyLoss()
    arrays, h = [], mg.randn(6, 8)
    for layer in model.children():
        h = layer(h)
        arrays.append(weakref.ref(h.array))
    loss = loss_of(h, mg.tensor([0, 1, 2, 3, 0, 1]))
    del h
    kept = [array() is not None for array in arrays]
    loss.backward()
    assert any(kept)
    assert [array() for array in arrays] == [None] * 4


@pytest.mark.pitfall("E71")
def test_E71_a_retained_graph_keeps_its_activations_until_it_goes(no_collector):
    x = mg.tensor(np.ones(3), requires_grad=True)
    h = x * 2
    array = weakref.ref(h.array)
    y = (h * h).sum()
    del h
    y.backward(retain_graph=True)
    assert array() is not None
    del y
    assert array() is None


@pytest.mark.pitfall("E71")
def test_E71_nodes_die_with_backward_too(no_collector):
    x = mg.tensor(np.ones(3), requires_grad=True)
    h = x * 2
    node = weakref.ref(h.node)
    y = (h * h).sum()
    del h
    assert node() is not None
    y.backward()
    assert node() is None


@pytest.mark.pitfall("E72")
def test_E72_a_forward_that_is_dropped_frees_everything(no_collector):
    model, loss_of = small_model(), nn.CrossEntropyLoss()
    x, labels = mg.randn(6, 8), mg.tensor([0, 1, 2, 3, 0, 1])
    loss_of(model(x), labels)
    with ArrayMemory() as memory:
        loss = loss_of(model(x), labels)
        held = memory.now()
        del loss
        left = memory.now()
    # the running statistics were rebound: their new memory stays
    assert left <= sum(b.array.nbytes for b in model.buffers()) < held


@pytest.mark.pitfall("E72")
def test_E72_a_leaf_dies_with_its_last_handle(no_collector):
    x = mg.tensor(np.ones(3), requires_grad=True)
    y = x + 1
    tensor, array = weakref.ref(x), weakref.ref(x.array)
    del x
    assert tensor() is None
    assert array() is None
    y.sum().backward()


@pytest.mark.pitfall("E73")
def test_E73_an_exception_in_a_forward_frees_everything(no_collector):
    x = mg.tensor(np.ones((2, 3)), requires_grad=True)

    def forward():
        h = x * 2
        seen.append(weakref.ref(h.array))
        return (h * h) @ h

    seen = []
    with pytest.raises(ValueError, match="matmul"):
        forward()
    sys.last_traceback = sys.last_value = sys.last_exc = None
    assert seen[0]() is None


@pytest.mark.parametrize("rounds", [1, 3])
def test_no_cycles_are_left_by_forward_and_backward(no_collector, rounds):
    model, loss_of = small_model(), nn.CrossEntropyLoss()
    step = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    x, labels = mg.randn(6, 8), mg.tensor([0, 1, 2, 3, 0, 1])

    def train():
        step.zero_grad()
        loss_of(model(x), labels).backward()
        step.step()

    train()  # what is imported when it is first needed leaves cycles of its own
    gc.collect()
    for _ in range(rounds):
        train()
    assert gc.collect() == 0


CYCLE_CASES = {
    "create_graph": lambda x: mg.grad((x * x * x).sum(), x, create_graph=True),
    "item assignment": lambda x: (x * 1).__setitem__(0, 2.0),
    "augmented": lambda x: (x * 1).__iadd__(x),
    "detach": lambda x: (x * 1).detach(),
    "fused without a rule": lambda x: x.std().backward(),
    "several outputs": lambda x: mg.grad(
        nn.functional.batch_norm(x, None, None, training=True).sum(), x, create_graph=True
    ),
    "hook": lambda x: (x * 1).register_hook(lambda g: g),
    "retain_grad": lambda x: (x * 1).retain_grad(),
    "write": lambda x: x.detach().clone().fill_(2.0),
    "unfused": lambda x: _unfused(x),
    "watch": lambda x: _watched(x),
}


def _swallow(x):
    y = (x * x).sum()
    y.backward()
    with pytest.raises(RuntimeError):
        y.backward()


def _unfused(x):
    with mg.unfused():
        x.var().backward()


def _watched(x):
    with mg.watch(lambda event: None):
        x.sum().backward()


@pytest.mark.parametrize("name", CYCLE_CASES)
def test_no_cycles_are_left_by(no_collector, name):
    x = mg.tensor(np.arange(8.0).reshape(4, 2), requires_grad=True)
    CYCLE_CASES[name](x)
    x.grad = None
    gc.collect()
    CYCLE_CASES[name](x)
    assert gc.collect() == 0


def test_a_backward_that_raised_frees_its_graph(no_collector):
    x = mg.tensor(np.ones(3), requires_grad=True)
    array = weakref.ref(x.array)
    _swallow(x)
    del x
    gc.collect()  # pytest's own record of the exception is a cycle
    assert array() is None


def test_gradients_of_create_graph_on_grad_can_be_freed(no_collector):
    x = mg.tensor(np.ones(3), requires_grad=True)
    (x * x * x).sum().backward(create_graph=True)
    node = weakref.ref(x.grad.node)
    x.grad = None
    assert node() is None


# ---- E66, E74: what is kept ----------------------------------------------------------------------


@pytest.mark.pitfall("E66")
def test_E66_no_grad_keeps_nothing():
    x = mg.tensor(np.ones(10_000), requires_grad=True)
    with ArrayMemory() as memory:
        with mg.no_grad():
            y = x
            for _ in range(20):
                y = y * x
        assert memory.now() < 2.5 * 80_000


@pytest.mark.pitfall("E74")
def test_E74_fifty_additions_keep_nothing():
    x = mg.tensor(np.ones(10_000), requires_grad=True)  # 80 kB
    with ArrayMemory() as memory:
        y = x
        for _ in range(50):
            y = y + 1.0
        assert memory.now() < 1.1 * 80_000  # y itself


@pytest.mark.pitfall("E74")
def test_E74_fifty_products_keep_their_operands():
    x = mg.tensor(np.ones(10_000), requires_grad=True)
    with ArrayMemory() as memory:
        y = x
        for _ in range(50):
            y = y * x
        assert memory.now() > 49 * 80_000


@pytest.mark.pitfall("E74")
@pytest.mark.parametrize(("name", "arrays"), [("relu", 1), ("exp", 1), ("neg", 1), ("abs", 1)])
def test_E74_a_unary_op_keeps_no_copy_of_its_own(name, arrays):
    x = mg.tensor(np.ones(10_000), requires_grad=True)
    with ArrayMemory() as memory:
        y = getattr(x, name)()
        assert memory.now() < (arrays + 0.1) * 80_000
        assert y.requires_grad


@pytest.mark.pitfall("E74")
def test_E74_fused_batch_norm_keeps_only_its_input_and_channels():
    x = mg.tensor(np.random.default_rng(0).normal(size=(1000, 10)), requires_grad=True)  # 80 kB
    with ArrayMemory() as memory:
        y = nn.functional.batch_norm(x, None, None, training=True)
        assert memory.now() < 1.1 * 80_000  # y itself
        assert y.requires_grad


# ---- E71: training -------------------------------------------------------------------------------


@pytest.mark.pitfall("E71")
def test_E71_200_training_steps_keep_memory_flat(no_collector):
    model, loss_of = small_model(), nn.CrossEntropyLoss()
    step = optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    rng = np.random.default_rng(0)
    x, labels = mg.tensor(rng.normal(size=(32, 8))).float(), mg.tensor(rng.integers(0, 4, 32))
    sizes = []
    with ArrayMemory() as memory:
        for i in range(200):
            step.zero_grad()
            loss_of(model(x), labels).backward()
            step.step()
            if i in (5, 50, 199):
                sizes.append(memory.now())
    assert sizes[0] > 0
    assert max(sizes) - min(sizes) <= 0.01 * sizes[0]
    assert gc.collect() == 0


@pytest.mark.pitfall("E71")
def test_E71_training_keeps_no_objects_either(no_collector):
    model, loss_of = small_model(), nn.CrossEntropyLoss()
    step = optim.Adam(model.parameters(), lr=0.01)
    x, labels = mg.randn(32, 8), mg.tensor(np.arange(32) % 4)
    counts = []
    for i in range(120):
        step.zero_grad()
        loss_of(model(x), labels).backward()
        step.step()
        if i in (20, 119):
            counts.append(len(gc.get_objects()))
    assert counts[1] - counts[0] < 20  # one object kept a step would be 99
