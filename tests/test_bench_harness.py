"""benchmarks/_harness.py: what is timed, what is dropped, and what the medians are of."""

import os
import threading
from contextlib import contextmanager
from types import SimpleNamespace

import _harness
import _threads
import pytest
from _cases import Candidate, scaled
from _harness import Stopwatch, Timing, medians


@pytest.fixture
def undisturbed(monkeypatch):
    monkeypatch.setattr(_harness.ForeignLoad, "share", lambda self: 0.0)
    monkeypatch.setattr(_harness, "come_to_rest", lambda: None)
    monkeypatch.setattr(_harness, "BLOCK", 0.0)  # one call for each timing


def test_a_ratio_is_the_median_of_the_rounds_and_not_a_ratio_of_medians():
    rows = [{"a": 1.0, "b": 10.0}, {"a": 2.0, "b": 1.0}, {"a": 9.0, "b": 3.0}]
    found = medians(rows)
    assert found["a"].seconds == 2.0
    assert found["b"].seconds == 3.0
    assert found["a"].ratios == {"a": 1.0, "b": 2.0}
    assert found["b"].ratios == {"a": 0.5, "b": 1.0}


def test_candidates_alternate_each_inside_its_own_context(undisturbed):
    seen = []

    @contextmanager
    def inside():
        seen.append("(")
        yield
        seen.append(")")

    runs = {"a": lambda: seen.append("a"), "b": lambda: seen.append("b")}
    watch = Stopwatch(2)
    watch.compare(runs, {"b": inside})
    a, b = "aa", "(bb)"  # once to warm up and once timed; before the rounds, to count repeats
    assert "".join(seen) == (a + b) * 3
    assert (watch.counted, watch.dropped, watch.disturbed) == (2, 0, 0)


def test_a_disturbed_round_is_dropped_and_repeated(undisturbed, monkeypatch):
    shares = iter([0.5, 0.0, 0.13, 0.11])
    monkeypatch.setattr(_harness.ForeignLoad, "share", lambda self: next(shares))
    watch = Stopwatch(2)
    watch.compare({"a": lambda: None})
    assert (watch.counted, watch.dropped, watch.disturbed) == (2, 2, 0)
    assert str(watch) == "2 rounds, 2 more dropped"


def test_where_it_never_gets_quiet_the_last_rounds_count_and_that_is_said(undisturbed, monkeypatch):
    monkeypatch.setattr(_harness.ForeignLoad, "share", lambda self: 1.0)
    watch = Stopwatch(3)
    watch.compare({"a": lambda: None})
    assert (watch.counted, watch.dropped, watch.disturbed) == (3, 6, 3)
    assert str(watch) == "3 rounds, 6 more dropped, 3 counted though disturbed"


def test_foreign_load_is_what_the_system_was_busy_with_beyond_this_process(monkeypatch):
    load = _harness.ForeignLoad
    busy, own, clock = iter([10.0, 13.0]), iter([1.0, 2.5]), iter([0.0, 2.0])
    monkeypatch.setattr(load, "_busy", staticmethod(lambda: next(busy)))
    monkeypatch.setattr(load, "_own", staticmethod(lambda: next(own)))
    monkeypatch.setattr(_harness, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    assert load().share() == (3.0 - 1.5) / 2.0


@pytest.mark.parametrize(("spins", "looks"), [(0.0, 1), (0.045, 6), (9.0, 30)])
def test_a_candidate_begins_when_the_last_one_s_threads_have_stopped(spins, looks, monkeypatch):
    clock = SimpleNamespace(now=0.0, sleeps=0)

    def sleep(seconds):
        clock.now += seconds
        clock.sleeps += 1

    fake = SimpleNamespace(
        sleep=sleep,
        perf_counter=lambda: clock.now,
        process_time=lambda: min(clock.now, spins),
    )
    monkeypatch.setattr(_harness, "time", fake)
    _harness.come_to_rest()
    assert clock.sleeps == looks


def test_a_failing_candidate_leaves_collector_and_threads_as_they_were(undisturbed):
    import gc

    with pytest.raises(ZeroDivisionError):
        Stopwatch(1).compare({"a": iter([1, 1]).__next__, "b": lambda: None, "c": lambda: 1 / 0})
    calls = iter([1, 1])
    with pytest.raises(StopIteration):
        Stopwatch(1).compare({"a": lambda: next(calls)})
    assert gc.isenabled()


@pytest.mark.skipif(not _threads.CPUS, reason="the system cannot pin threads")
@pytest.mark.parametrize("pinned", [True, False])
def test_threads_are_pinned_while_they_are_timed_only(pinned, undisturbed, monkeypatch):
    monkeypatch.setattr(_threads, "PINNED", True)
    monkeypatch.setattr(_threads, "CPUS", [_threads.CPUS[0], _threads.CPUS[-1]])
    every = set(_threads.CPUS)
    before = os.sched_getaffinity(0)
    seen = []
    try:
        Stopwatch(1, pinned=pinned).compare({"a": lambda: seen.append(os.sched_getaffinity(0))})
        assert seen[:2] == [before, before]  # warming up, when pools are made
        assert seen[2:] == [{_threads.CPUS[0]} if pinned else before] * 2
        assert os.sched_getaffinity(0) == every
    finally:
        os.sched_setaffinity(0, before)


def test_a_scale_is_its_own_in_seconds_and_both_in_ratios():
    case = {"a": Candidate({}, scale=0.01), "b": Candidate({}, scale=2.0)}
    found = scaled(Timing(5.0, {"a": 1.0, "b": 4.0}), "a", case)
    assert found.seconds == pytest.approx(0.05)
    assert found.ratios == {"a": pytest.approx(1.0), "b": pytest.approx(0.02)}


@pytest.mark.skipif(not _threads.CPUS, reason="the system cannot pin threads")
def test_a_thread_that_started_free_stays_free(monkeypatch):
    monkeypatch.setattr(_threads, "PINNED", True)
    monkeypatch.setattr(_threads, "CPUS", [_threads.CPUS[0], _threads.CPUS[-1]])
    monkeypatch.setattr(_threads, "_free", set())
    before, end = os.sched_getaffinity(0), threading.Event()
    free, worker = threading.Thread(target=end.wait), threading.Thread(target=end.wait)
    try:
        with _threads.starting_free():
            free.start()
        worker.start()
        _threads.pin_threads()
        assert os.sched_getaffinity(free.native_id) == before
        assert os.sched_getaffinity(worker.native_id) == {_threads.CPUS[1]}
    finally:
        end.set()
        _threads.free_threads()
        os.sched_setaffinity(0, before)
