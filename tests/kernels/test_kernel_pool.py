"""The threads beneath the CPU kernels: every task once, errors to the caller, the same bits from any crew."""

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rawgan import kernels
from rawgan.kernels.cpu import pool, team


def forget():
    """The next kernel starts threads anew."""
    pool.pool.cache_clear()
    team.team.cache_clear()


@pytest.mark.parametrize("name", [name for name in kernels.KERNELS if name not in ("matmul", "dense")])
def test_results_do_not_depend_on_the_number_of_threads(name, monkeypatch):
    kernel = kernels.KERNELS[name]
    results = []
    for threads in (1, 2, 5):
        monkeypatch.setenv("RAWGAN_NUM_THREADS", str(threads))
        forget()
        arguments = list(kernel.contract.cases.values())[-1](np.random.default_rng(0))
        result = kernel(**arguments)
        outputs = list(result) if isinstance(result, tuple) else [result]
        for key in kernel.contract.mutates:
            outputs += arguments[key] if isinstance(arguments[key], list) else [arguments[key]]
        results.append(outputs)
    forget()
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("threads", [1, 2, 7])
@pytest.mark.parametrize("count", [0, 1, 2, 100])
def test_every_task_runs_once(threads, count):
    done = []
    pool.Pool(threads).run(done.append, count)
    assert sorted(done) == list(range(count))


def test_a_task_that_fails_raises_in_the_caller_and_leaves_the_pool_working():
    crew = pool.Pool(3)

    def fail(i):
        if i == 5:
            raise ArithmeticError("task 5")

    for _ in range(20):
        with pytest.raises(ArithmeticError, match="task 5"):
            crew.run(fail, 10)
    done = []
    crew.run(done.append, 10)
    assert len(done) == 10


def test_tasks_may_call_kernels():
    crew, inner = pool.Pool(3), []
    crew.run(lambda i: crew.run(inner.append, 3), 4)
    assert sorted(inner) == sorted([0, 1, 2] * 4)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 5000), st.integers(1, 300), st.sampled_from([1, 4, 16]))
def test_parts_are_no_larger_than_asked_and_few(total, most, unit):
    step = team.even(total, most, unit)
    assert step % unit == 0
    assert 1 <= step < most + unit
    assert -(-total // step) <= 2 * -(-total // most)
    if unit == 1 and total % most == 0 and (total // most) in (1, 2, 4, 8):
        assert step == most


def test_several_callers_at_once():
    arguments = kernels.conv2d.contract.cases["3@32 - 64@16 4x4"](np.random.default_rng(0))
    wanted = kernels.conv2d(**arguments)
    results = [None] * 4

    def call(i):
        results[i] = kernels.conv2d(**arguments)

    threads = [threading.Thread(target=call, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result in results:
        np.testing.assert_array_equal(result, wanted)


def test_blas_threads_are_given_back():
    from threadpoolctl import threadpool_info

    before = [b["num_threads"] for b in threadpool_info() if b["user_api"] == "blas"]
    kernels.matmul(np.ones((300, 300)), np.ones((300, 300)))
    with pytest.raises(ZeroDivisionError), pool.single_threaded_blas:
        _ = 1 // 0
    assert [b["num_threads"] for b in threadpool_info() if b["user_api"] == "blas"] == before


def test_helpers_take_over_how_the_caller_wants_numpy_to_warn():
    crew = pool.Pool(3)
    gate = threading.Barrier(3)
    seen = []

    def task(i):
        gate.wait(10)  # one part for each thread
        seen.append(np.geterr()["over"])

    with np.errstate(over="raise"):
        crew.run(task, 3)
    assert seen == ["raise"] * 3
