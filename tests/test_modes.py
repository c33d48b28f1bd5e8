"""Recording on and off: E64 to E67 of the checklist."""

import asyncio
import sys
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import minigrad as mg
from minigrad.testing import assert_close

SWITCHES = {
    "no_grad": (mg.no_grad, False),
    "set_grad_enabled(False)": (lambda: mg.set_grad_enabled(False), False),
    "enable_grad": (mg.enable_grad, True),
    "set_grad_enabled(True)": (lambda: mg.set_grad_enabled(True), True),
}
both = pytest.mark.parametrize("outer", [False, True])
every = pytest.mark.parametrize("name", SWITCHES)


@pytest.fixture(autouse=True)
def restored():
    """Every test starts recording and must leave it so."""
    assert mg.is_grad_enabled()
    yield
    left = mg.is_grad_enabled()
    mg.set_grad_enabled(True)
    assert left, "the test left recording off"


def leaf(*shape):
    return mg.tensor(np.random.default_rng(1).uniform(0.5, 2.0, shape), requires_grad=True)


def starting(outer):
    """Recording on or off as the surrounding state."""
    return mg.enable_grad() if outer else mg.no_grad()


# ---- as a context manager ------------------------------------------------------------------------


@pytest.mark.pitfall("E64")
@every
@both
def test_E64_a_block_sets_and_restores(name, outer):
    make, inside = SWITCHES[name]
    with starting(outer):
        with make():
            assert mg.is_grad_enabled() is inside
        assert mg.is_grad_enabled() is outer


@pytest.mark.pitfall("E64")
@every
@both
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit, GeneratorExit])
def test_E64_a_block_restores_after_an_exception(name, outer, error):
    with starting(outer):
        with pytest.raises(error), SWITCHES[name][0]():
            raise error
        assert mg.is_grad_enabled() is outer


@pytest.mark.pitfall("E64")
def test_E64_blocks_nest():
    with mg.no_grad():
        with mg.enable_grad():
            with mg.no_grad():
                assert not mg.is_grad_enabled()
            assert mg.is_grad_enabled()
        assert not mg.is_grad_enabled()
    assert mg.is_grad_enabled()


@pytest.mark.pitfall("E64")
@every
@both
def test_E64_one_instance_entered_again_inside_itself(name, outer):
    make, inside = SWITCHES[name]
    with starting(outer):
        switch = make()
        with switch:
            with switch:
                assert mg.is_grad_enabled() is inside
            assert mg.is_grad_enabled() is inside
        assert mg.is_grad_enabled() is outer


@pytest.mark.pitfall("E64")
@every
def test_E64_one_instance_used_in_different_states(name):
    make, inside = SWITCHES[name]
    switch = make()
    with switch:
        pass
    for outer in (False, True, False):
        with starting(outer):
            with switch:
                assert mg.is_grad_enabled() is inside
            assert mg.is_grad_enabled() is outer


@pytest.mark.pitfall("E64")
def test_E64_making_a_no_grad_changes_nothing():
    mg.no_grad()
    assert mg.is_grad_enabled()


@pytest.mark.pitfall("E64")
def test_E64_set_grad_enabled_takes_effect_at_once():
    mg.set_grad_enabled(False)
    assert not mg.is_grad_enabled()
    mg.set_grad_enabled(True)
    assert mg.is_grad_enabled()


@pytest.mark.pitfall("E64")
@pytest.mark.parametrize("value", [False, True, 0, 1])
def test_E64_set_grad_enabled_as_a_block(value):
    with mg.set_grad_enabled(value):
        assert mg.is_grad_enabled() is bool(value)
    assert mg.is_grad_enabled()


@pytest.mark.pitfall("E64")
def test_E64_enable_grad_records_inside_no_grad():
    x = leaf(2)
    with mg.no_grad(), mg.enable_grad():
        y = (x * x).sum()
    y.backward()
    assert_close(x.grad, 2 * x.numpy())


# ---- as a decorator ------------------------------------------------------------------------------

DECORATORS = {
    "no_grad": mg.no_grad,
    "no_grad()": mg.no_grad(),
    "set_grad_enabled(False)": lambda function: mg.set_grad_enabled(False)(function),
}
decorators = pytest.mark.parametrize("name", DECORATORS)


@pytest.mark.pitfall("E64")
@decorators
def test_E64_decorated_function(name):
    @DECORATORS[name]
    def state(a, *, b=2):
        """Its docstring."""
        return mg.is_grad_enabled(), a, b

    assert mg.is_grad_enabled()
    assert state(1, b=3) == (False, 1, 3)
    assert mg.is_grad_enabled()
    assert (state.__name__, state.__doc__) == ("state", "Its docstring.")


@pytest.mark.pitfall("E64")
@decorators
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_E64_decorated_function_that_raises(name, error):
    @DECORATORS[name]
    def fail():
        raise error

    with pytest.raises(error):
        fail()
    assert mg.is_grad_enabled()


@pytest.mark.pitfall("E64")
@decorators
def test_E64_decorated_function_that_calls_itself(name):
    @DECORATORS[name]
    def count(n):
        assert not mg.is_grad_enabled()
        return n and count(n - 1)

    assert count(5) == 0
    assert mg.is_grad_enabled()


@pytest.mark.pitfall("E64")
@decorators
def test_E64_decorated_methods(name):
    decorate = DECORATORS[name]

    class Model:
        @decorate
        def plain(self):
            return self, mg.is_grad_enabled()

        @classmethod
        @decorate
        def of_class(cls):
            return cls, mg.is_grad_enabled()

        @staticmethod
        @decorate
        def static():
            return mg.is_grad_enabled()

        @property
        @decorate
        def value(self):
            return mg.is_grad_enabled()

    model = Model()
    assert model.plain() == (model, False)
    assert model.of_class() == (Model, False)
    assert model.static() is False
    assert model.value is False
    assert mg.is_grad_enabled()


@pytest.mark.pitfall("E64")
def test_E64_enable_grad_decorates_too():
    @mg.enable_grad
    def state():
        return mg.is_grad_enabled()

    with mg.no_grad():
        assert state()
        assert not mg.is_grad_enabled()


@pytest.mark.pitfall("E64")
def test_E64_decorating_a_class_is_refused():
    with pytest.raises(TypeError, match="no_grad"):

        @mg.no_grad()
        class Model:
            pass


@pytest.mark.pitfall("E64")
def test_E64_decorating_an_async_generator_is_refused():
    with pytest.raises(TypeError, match="no_grad"):

        @mg.no_grad
        async def values():
            yield 1


# ---- generators ----------------------------------------------------------------------------------


def states(decorate):
    """A decorated generator that tells the state it sees, and takes part in every protocol."""

    @decorate
    def generator(log):
        try:
            received = yield mg.is_grad_enabled()
            log.append((received, mg.is_grad_enabled()))
            try:
                yield mg.is_grad_enabled()
            except KeyError:
                log.append(("caught", mg.is_grad_enabled()))
                yield mg.is_grad_enabled()
            return "end"
        finally:
            log.append(("finally", mg.is_grad_enabled()))

    return generator


@pytest.mark.pitfall("E65")
@decorators
@both
def test_E65_a_decorated_generator_does_not_leak_while_suspended(name, outer):
    log = []
    with starting(outer):
        for seen in states(DECORATORS[name])(log):
            assert seen is False
            assert mg.is_grad_enabled() is outer
        assert mg.is_grad_enabled() is outer
    assert log == [(None, False), ("finally", False)]


@pytest.mark.pitfall("E65")
@decorators
def test_E65_send_throw_and_return_pass_through(name):
    log = []
    generator = states(DECORATORS[name])(log)
    assert next(generator) is False
    assert generator.send("hello") is False
    assert generator.throw(KeyError) is False
    with pytest.raises(StopIteration) as stop:
        next(generator)
    assert stop.value.value == "end"
    assert log == [("hello", False), ("caught", False), ("finally", False)]
    assert mg.is_grad_enabled()


@pytest.mark.pitfall("E65")
@decorators
def test_E65_close_runs_finally_inside(name):
    log = []
    generator = states(DECORATORS[name])(log)
    next(generator)
    generator.close()
    assert log == [("finally", False)]
    assert mg.is_grad_enabled()


@pytest.mark.pitfall("E65")
@decorators
def test_E65_an_exception_thrown_in_comes_out_and_restores(name):
    generator = states(DECORATORS[name])([])
    next(generator)
    with pytest.raises(ZeroDivisionError):
        generator.throw(ZeroDivisionError)
    assert mg.is_grad_enabled()


@pytest.mark.pitfall("E65")
@decorators
def test_E65_two_generators_interleaved(name):
    make = states(DECORATORS[name])
    for a, b in zip(make([]), make([]), strict=True):
        assert (a, b) == (False, False)
        assert mg.is_grad_enabled()


@pytest.mark.pitfall("E65")
def test_E65_yield_from_a_decorated_generator():
    def outer():
        yield mg.is_grad_enabled()
        result = yield from states(mg.no_grad)([])
        yield result, mg.is_grad_enabled()

    assert list(outer()) == [True, False, False, ("end", True)]


@pytest.mark.pitfall("E65")
def test_E65_an_inline_block_holds_in_the_caller_until_the_generator_ends():
    def generator():
        with mg.no_grad():
            yield

    running = generator()
    next(running)
    assert not mg.is_grad_enabled()  # documented: the decorator is for this
    running.close()
    assert mg.is_grad_enabled()


# ---- coroutines and tasks ------------------------------------------------------------------------


@pytest.mark.pitfall("E64")
@decorators
def test_E64_decorated_coroutine(name):
    @DECORATORS[name]
    async def state():
        before = mg.is_grad_enabled()
        await asyncio.sleep(0)
        return before, mg.is_grad_enabled()

    async def main():
        result = await state()
        return result, mg.is_grad_enabled()

    assert asyncio.run(main()) == ((False, False), True)


@pytest.mark.pitfall("E64")
@decorators
def test_E64_decorated_coroutines_side_by_side(name):
    @DECORATORS[name]
    async def quiet():
        for _ in range(5):
            assert not mg.is_grad_enabled()
            await asyncio.sleep(0)

    async def loud():
        for _ in range(5):
            assert mg.is_grad_enabled()
            await asyncio.sleep(0)

    async def main():
        await asyncio.gather(quiet(), loud(), quiet(), loud())

    asyncio.run(main())


@pytest.mark.pitfall("E67")
def test_E67_tasks_have_their_own_mode():
    async def task(switch, inside):
        for _ in range(5):
            with switch():
                await asyncio.sleep(0)
                assert mg.is_grad_enabled() is inside
            await asyncio.sleep(0)
            assert mg.is_grad_enabled()

    async def main():
        await asyncio.gather(task(mg.no_grad, False), task(mg.enable_grad, True))

    asyncio.run(main())


@pytest.mark.pitfall("E67")
def test_E67_tasks_that_share_one_instance():
    shared = mg.no_grad()

    async def task(outer, order):
        with starting(outer):
            for _ in range(order):
                await asyncio.sleep(0)
            with shared:
                await asyncio.sleep(0)
                assert not mg.is_grad_enabled()
            assert mg.is_grad_enabled() is outer

    async def main():
        await asyncio.gather(task(True, 0), task(False, 0), task(True, 1))

    asyncio.run(main())


# ---- E66: what no_grad makes ---------------------------------------------------------------------


@pytest.mark.pitfall("E66")
def test_E66_a_result_requires_no_grad_and_keeps_no_parents():
    x = leaf(3)
    with mg.no_grad():
        h = x * 2
        array = weakref.ref(h.array)
        y = h * h
    del h
    assert not y.requires_grad
    assert y.is_leaf
    assert array() is None


@pytest.mark.pitfall("E66")
def test_E66_leaves_made_inside_can_require_grad():
    with mg.no_grad():
        x = mg.tensor([1.0], requires_grad=True)
    (x * 2).sum().backward()
    assert x.grad.tolist() == [2]


# ---- E67: threads --------------------------------------------------------------------------------


def in_thread(function):
    """What the function returns in a thread of its own; its exceptions come out here."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result()


@pytest.mark.pitfall("E67")
def test_E67_a_new_thread_records_also_if_its_maker_does_not():
    with mg.no_grad():
        assert in_thread(mg.is_grad_enabled) is True


@pytest.mark.pitfall("E67")
def test_E67_a_thread_does_not_change_its_makers_mode():
    in_thread(lambda: mg.set_grad_enabled(False))
    assert mg.is_grad_enabled()


@pytest.mark.pitfall("E67")
def test_E67_a_job_does_not_change_the_next_jobs_mode():
    @mg.no_grad()
    def quiet():
        return mg.is_grad_enabled()

    with ThreadPoolExecutor(1) as pool:
        found = list(pool.map(lambda job: job(), [quiet, mg.is_grad_enabled, quiet] * 3))
    assert found == [False, True, False] * 3


@pytest.mark.pitfall("E67")
def test_E67_threads_in_different_modes_at_once():
    barrier = threading.Barrier(2, timeout=10)

    def check(switch, inside):
        for _ in range(50):
            with switch():
                barrier.wait()
                assert mg.is_grad_enabled() is inside
                barrier.wait()

    with ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(check, mg.no_grad, False), pool.submit(check, mg.enable_grad, True)]
        for job in jobs:
            job.result()


@pytest.mark.pitfall("E67")
def test_E67_threads_that_share_one_instance():
    shared, barrier = mg.no_grad(), threading.Barrier(2, timeout=10)

    def check(outer):
        for _ in range(50):
            with starting(outer):
                barrier.wait()
                with shared:
                    barrier.wait()
                    assert not mg.is_grad_enabled()
                assert mg.is_grad_enabled() is outer

    with ThreadPoolExecutor(2) as pool:
        for job in [pool.submit(check, outer) for outer in (True, False)]:
            job.result()


@pytest.fixture
def eager_switching():
    """Threads take turns as often as Python can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def run_threads(step, times):
    """Two threads that do the step so many times, each with its own number."""

    def work(seed):
        for _ in range(times):
            step(seed)

    with ThreadPoolExecutor(2) as pool:
        for job in [pool.submit(work, seed) for seed in (1, 2)]:
            job.result()


@pytest.mark.pitfall("E67")
@pytest.mark.usefixtures("eager_switching")
def test_E67_two_threads_on_disjoint_graphs():
    def step(seed):
        x = mg.tensor(np.full(3, float(seed)), requires_grad=True)
        b = x * x
        ((b + x) * b + b).sum().backward()  # x⁴ + x³ + x²
        assert x.grad.tolist() == [4 * seed**3 + 3 * seed**2 + 2 * seed] * 3

    run_threads(step, 1000)


@pytest.mark.pitfall("E67")
@pytest.mark.usefixtures("eager_switching")
def test_E67_two_threads_with_hooks_retained_gradients_and_writes():
    others = [leaf(1) * 1 for _ in range(1000)]  # retained elsewhere: must not get in the way
    for y in others:
        y.retain_grad()

    def step(seed):
        x = mg.tensor(np.full(3, float(seed)), requires_grad=True)
        results = [x * k for k in range(1, 5)]
        for y in results:
            y.retain_grad()
            y.register_hook(lambda g: g * 2)
        total = results[0] + results[1] + results[2] + results[3]
        (total * seed).sum().backward()
        assert all(y.grad.tolist() == [2 * seed] * 3 for y in results)
        assert x.grad.tolist() == [20 * seed] * 3
        with mg.no_grad():
            x -= x.grad

    run_threads(step, 200)
    assert all(y.grad is None for y in others)


@pytest.mark.pitfall("E67")
@pytest.mark.usefixtures("eager_switching")
def test_E67_two_threads_one_recording_and_one_not():
    def step(seed):
        x = mg.tensor([1.0], requires_grad=True)
        if seed == 1:
            with mg.no_grad():
                assert not (x * x).requires_grad
        else:
            (x * x).sum().backward()
            assert x.grad.tolist() == [2]

    run_threads(step, 500)
