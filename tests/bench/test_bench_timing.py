"""Who is timed when, and the roofs: properties, never a duration."""

import os

import numpy as np
import pytest

from rawgan import kernels
from rawgan.bench import alarms, inspected, roofs, timing
from rawgan.kernels.cpu import pool, threads


def test_calls_take_turns_in_bursts_and_the_first_of_each_is_not_counted(monkeypatch):
    monkeypatch.setattr(timing, "SETTLE", 0.0)  # else as many calls as fit into that time
    said = []
    calls = {name: timing.Call(lambda name=name: said.append(name)) for name in "ab"}
    found = timing.alternate(calls, seconds=0.002)
    assert set(found) == {"a", "b"}
    assert len(found["a"]) == len(found["b"]) >= timing.BURST
    assert len(found["a"]) % timing.BURST == 0
    runs = "".join(said).replace("aa", "a")
    while "aa" in runs or "bb" in runs:
        runs = runs.replace("aa", "a").replace("bb", "b")
    assert runs == "ab" * (len(runs) // 2)  # strictly in turns
    assert len(runs) // 2 == 1 + len(found["a"]) // timing.BURST  # one turn of warm-up


@pytest.mark.parametrize(("seconds", "timings"), [(0.03, timing.LEAST), (0.002, 1)])
def test_a_slow_call_has_a_few_timings_and_then_sits_out(seconds, timings):
    def slow():
        end = timing.time.perf_counter() + 0.02
        while timing.time.perf_counter() < end:
            pass

    found = timing.alternate({"slow": timing.Call(slow), "quick": timing.Call(int)}, seconds)
    assert len(found["slow"]) == timings
    assert len(found["quick"]) >= timing.BURST


def test_the_wait_for_a_device_belongs_to_the_timing():
    said = []
    call = timing.Call(lambda: said.append("run"), lambda: said.append("wait"))
    assert call.seconds(3) > 0
    assert said == ["run"] * 3 + ["wait"]
    timing.alternate({"device": call}, seconds=0.001)
    assert said[-1] == "wait"


def test_nothing_to_time_is_no_time():
    assert timing.alternate({}, seconds=0.001) == {}


@pytest.mark.parametrize("before", [None, "2"])
def test_threads_are_as_asked_within_the_block_and_as_before_after_it(before, monkeypatch):
    monkeypatch.delenv("RAWGAN_NUM_THREADS", raising=False)
    if before:
        monkeypatch.setenv("RAWGAN_NUM_THREADS", before)
    pool.pool.cache_clear()
    outside = threads.thread_count()
    with timing.use_threads(1):
        assert kernels.info()["threads"] == 1
        assert pool.pool().team.helpers + 1 == 1
    assert os.environ.get("RAWGAN_NUM_THREADS") == before
    assert pool.pool().team.helpers + 1 == threads.thread_count() == outside
    with timing.use_threads(None):
        assert threads.thread_count() == outside


def test_roofs_are_measured_on_this_machine(monkeypatch):
    monkeypatch.setattr(roofs, "SIZE", 128)
    monkeypatch.setattr(roofs, "LOOPS", 1000)
    monkeypatch.setattr(roofs, "last_cache", lambda: 1)
    found = roofs.measure("cpu", seconds=0.001)
    assert set(found) == {"product", "gflops", "gbytes", "sgemm"}
    assert all(0 < found[key] < 1e6 for key in ("gflops", "gbytes", "sgemm"))
    assert roofs.sgemm()().shape == (128, 128)


def test_the_triad_computes_what_it_is_named_for():
    b, c = np.arange(10, dtype=np.float32), np.full(10, 4, np.float32)
    a = np.empty_like(b)
    roofs._triad()(a, b, c, roofs.SCALE)
    np.testing.assert_array_equal(a, b + 2)


@pytest.mark.parametrize(
    ("flops", "moved", "expected"),
    [
        (1e9, 1e3, {"percent": 50.0, "binds": "compute"}),
        (1e3, 1e9, {"percent": 500.0, "binds": "memory"}),
        (0.0, 1e8, {"percent": 50.0, "binds": "memory"}),
        (0.0, 0.0, {}),
    ],
)
def test_the_roof_that_binds_is_the_slower_one(flops, moved, expected):
    found = roofs.against(flops, moved, ms=20.0, roof={"gflops": 100.0, "gbytes": 10.0})
    assert found.keys() == expected.keys()
    assert found.get("binds") == expected.get("binds")
    assert found.get("percent", 0) == pytest.approx(expected.get("percent", 0))


def test_the_last_cache_has_a_size():
    assert roofs.last_cache() >= 1 << 14


def test_a_look_is_timed_with_all_that_it_does(monkeypatch):
    """However often: nothing is left out because it has been said, or because the training is young."""
    asked = []
    monkeypatch.setattr(alarms.Alarms, "_collapse", lambda self: asked.append(self.run.steps) or "collapsed")
    calls = alarms.watched("mixture")
    for _ in range(3):
        calls[alarms.STEP].run()
        calls[alarms.WARNINGS].run()
    assert asked == [alarms.SETTLED] * 3


def test_the_share_of_the_warnings_is_told():
    taken = {alarms.STEP: {"median_ms": 2.0}, alarms.WARNINGS: {"median_ms": 0.05}}
    (line,) = alarms.notes({"rows": [{"name": "mlp", "times": taken}]})
    assert line == "mlp: warnings take 2.50% of a step, 2% are asked for: not reached"


def test_what_recording_costs_is_told():
    times = zip((inspected.STEP, inspected.RECORDED, inspected.QUESTIONS), (2.0, 3.0, 0.01), strict=True)
    taken = {side: {"median_ms": time} for side, time in times}
    (line,) = inspected.notes({"rows": [{"name": "mlp", "times": taken}]})
    assert line.startswith("mlp: 0.50% of a step while nobody records")
    assert "1.50 times a step while it is recorded" in line
    found = inspected.run(["mixture"], seconds=1e-3)
    assert found["rows"][0]["case"] == "44 nodes"
    assert len(inspected.notes(found)) == 1
