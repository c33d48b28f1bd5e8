"""The optimisers' steps on a GPU: one launch for all parameters, bit for bit those of the rules."""

import copy
import re

import cuda_on_cpu
import numpy as np
import pytest
from cuda_calls.call import same
from cuda_calls.updates import CALLS, CASES, drawn
from cuda_on_cpu import launched
from cupy_standin import hidden_copies

import minigrad as mg
from minigrad import optim
from minigrad.kernels.cuda import updates
from minigrad.kernels.cuda.launching import FOLDER

pytestmark = pytest.mark.skipif(not cuda_on_cpu.available(), reason="needs g++ 12 or later")


def parameters(dtype="f4", shapes=((3, 5), (4,)), device="cuda"):
    ps = [mg.tensor(a, device=device, requires_grad=True) for a in drawn(dtype, list(shapes))]
    return ps[: len(shapes)]


def give_gradients(ps, odd=lambda g: g):
    for i, p in enumerate(ps):
        p.grad = odd(mg.tensor(np.full(p.shape, i + 0.5), p.dtype, p.device))


def steps_of(optimizer, count=3):
    for _ in range(count):
        give_gradients([p for group in optimizer.param_groups for p in group["params"]])
        optimizer.step()


def state_of(optimizer):
    return [value.numpy() for name, value in optimizer.state_dict().items() if "state" in name]


@pytest.mark.parametrize("name", CALLS)
def test_steps_are_those_of_the_rules_bit_for_bit(name):
    found, copies, kernels = CALLS[name].run()
    assert same(found, CALLS[name].right())
    assert not copies
    assert sum(kernels.values()) == 3, "one launch a step"


def test_what_is_not_finite_stays_in_its_place(standin):
    for kind, options in CASES.values():
        results = []
        for on in (True, False):
            (p,) = parameters(shapes=[(40,)])
            optimizer = kind([p], lr=0.1, **options)
            with mg.kernels(on), mg.no_grad():
                for step in range(3):
                    p.grad = mg.ones(40, device="cuda")
                    if step == 1:
                        p.grad[1], p.grad[4], p.grad[7] = np.nan, np.inf, -np.inf
                    optimizer.step()
            results.append([p.numpy(), *state_of(optimizer)])
        for a, b in zip(*results, strict=True):
            np.testing.assert_array_equal(a, b)
        assert np.isfinite(np.delete(results[0][0], [1, 4, 7])).all()


def test_the_table_is_written_once(standin):
    optimizer = optim.Adam(parameters(), lr=0.1)
    steps_of(optimizer, 1)
    (steps,) = optimizer._compiled.values()
    (table,) = steps._tables.values()
    steps_of(optimizer, 2)
    assert list(steps._tables.values()) == [table]
    (p, _) = optimizer.param_groups[0]["params"]
    p.data = p.array + 1  # other memory
    before = p.numpy()
    steps_of(optimizer, 1)
    assert list(steps._tables.values()) != [table]
    assert (p.numpy() != before).all()


def test_a_parameter_without_a_gradient_is_passed_over(standin):
    ps = parameters(shapes=[(3,), (4,), (5,)])
    optimizer = optim.SGD(ps, lr=0.1, momentum=0.9)
    plain = optim.SGD([mg.tensor(p, requires_grad=True) for p in ps], lr=0.1, momentum=0.9)
    for step in range(4):
        for each in (optimizer, plain):
            own = each.param_groups[0]["params"]
            give_gradients(own)
            own[step % 3].grad = None
            with mg.kernels(each is optimizer):
                each.step()
    for a, b in zip(ps, plain.param_groups[0]["params"], strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_more_parameters_than_one_launch_takes(standin):
    ps = parameters(shapes=[(2,)] * (2 * updates.MOST + 3))
    optimizer = optim.SGD(ps, lr=0.5)
    before = [p.numpy() for p in ps]
    launched.clear()
    steps_of(optimizer, 1)
    assert launched == {"sgd_float32": 3}
    for i, (p, old) in enumerate(zip(ps, before, strict=True)):
        np.testing.assert_allclose(p.numpy(), old - 0.5 * (i + 0.5), rtol=1e-6)


def test_groups_dtypes_and_devices_apart(standin):
    singles, doubles, others = (
        parameters(),
        parameters("f8"),
        parameters(device="cuda:1"),
    )
    slow = parameters()
    every = [*singles, *doubles, *others]
    optimizer = optim.Adam([{"params": every}, {"params": slow, "lr": 1e-3}], lr=0.1)
    plain = copy.deepcopy(optimizer)
    launched.clear()
    steps_of(optimizer)
    assert launched == {"adam_float32": 9, "adam_float64": 3}
    with mg.kernels(False):
        steps_of(plain)
    assert same(state_of(optimizer), state_of(plain))
    assert {p.device for p in others} == {"cuda:1"}
    assert standin.cuda.Device().id == 0
    assert not hidden_copies or set(hidden_copies) == {"get"}  # of state_dict


def test_gradients_in_any_layout(standin):
    p, q = parameters(shapes=[(3, 5), (3, 5)])
    p.data = q.numpy()
    p.data = mg.tensor(q).array
    for each, g in ((p, mg.tensor(np.arange(15.0).reshape(3, 5), mg.float32, "cuda")),):
        each.grad = mg.tensor(g.T.numpy().copy(), device="cuda").T
        q.grad = g
    assert not p.grad.array.flags.c_contiguous
    launched.clear()
    optim.SGD([p, q], lr=0.5).step()
    assert launched == {"sgd_float32": 1}
    np.testing.assert_array_equal(p.numpy(), q.numpy())


@pytest.mark.parametrize(
    "odd", [lambda a: a.T, lambda a: a.astype(np.float16)], ids=["transposed", "half"]
)
def test_odd_layouts_and_half_precision_are_stepped_by_the_rules(standin, odd):
    p = mg.tensor(np.ones((3, 4), np.float32), device="cuda", requires_grad=True)
    p.data = odd(p.array)
    p.grad = mg.ones(*p.shape, dtype=p.dtype, device="cuda")
    launched.clear()
    optim.SGD([p], lr=0.5, momentum=0.9).step()
    assert not launched
    assert (p.numpy() == 0.5).all()


def test_an_update_of_ones_own_runs_instead(standin):
    class Clamped(optim.SGD):
        def update(self, p, g, state, options):
            super().update(p, g, state, options)
            standin.clip(p, -1, 1, out=p)

    class Mixed(optim.AdamW):
        pass

    for kind, count in ((Clamped, 0), (Mixed, 1)):
        ps = parameters()
        launched.clear()
        steps_of(kind(ps, lr=10), 1)
        assert sum(launched.values()) == count
    ps = parameters()
    steps_of(Clamped(ps, lr=10), 1)
    assert all(abs(p.numpy()).max() <= 1 for p in ps)


def test_a_copy_steps_its_own_parameters(standin):
    first = optim.Adam(parameters(), lr=0.1)
    steps_of(first)
    second = copy.deepcopy(first)
    before = [p.numpy() for p in first.param_groups[0]["params"]]
    steps_of(second)
    for p, old, new in zip(
        first.param_groups[0]["params"], before, second.param_groups[0]["params"], strict=True
    ):
        np.testing.assert_array_equal(p.numpy(), old)
        assert (new.numpy() != old).all()


def test_a_gradient_or_a_state_on_another_device_changes_nothing(standin):
    p, q = parameters()
    optimizer = optim.SGD([p, q], lr=0.1, momentum=0.9)
    steps_of(optimizer, 1)
    before = p.numpy(), q.numpy()
    give_gradients([p, q])
    q.grad = q.grad.to("cuda:1")
    with pytest.raises(mg.DeviceError, match=r"cuda:[01].*cuda:[01]"):
        optimizer.step()
    q.data = q.array
    q.grad = q.grad.to("cuda:0")
    optimizer.state[q]["momentum_buffer"] = optimizer.state[q]["momentum_buffer"].to("cuda:1")
    with pytest.raises(mg.DeviceError, match=r"load_state_dict.*moves it there"):
        optimizer.step()
    np.testing.assert_array_equal(p.numpy(), before[0])
    np.testing.assert_array_equal(q.numpy(), before[1])
    optimizer.load_state_dict(optimizer.state_dict())
    optimizer.step()


def test_the_host_knows_the_numbers_of_the_file():
    text = (FOLDER / "updates.cu").read_text()
    found = {name: int(n) for name, n in re.findall(r"const int (\w+) = (\d+);", text)}
    assert found == {"MOST": updates.MOST, "SHARE": updates.SHARE}
    assert updates.GRADIENTS.itemsize + 16 * 8 <= 4096  # what a kernel's arguments may take
