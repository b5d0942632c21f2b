"""Every rule of every operation against the slope of its value rule, over the table of samples."""

import numpy as np
import pytest
from checker import check, cotangent, gradients
from drawing import dice, drawn
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import SAMPLES

from rawgan import kernels
from rawgan.engine import OPS, Tensor, grad

ARRAY_OPS = sorted(name for name, s in SAMPLES.items() if not s.kernel)
KERNEL_OPS = sorted(name for name, s in SAMPLES.items() if s.kernel)
ANALYTIC = sorted(name for name, s in SAMPLES.items() if s.analytic)


@pytest.mark.parametrize("name", ARRAY_OPS)
@settings(max_examples=30)
@given(data=st.data())
def test_first_and_second_order(name, data):
    case = SAMPLES[name].draw(drawn(data))
    check(case, data.draw(st.sampled_from(case.calls)))


@pytest.mark.parametrize("column", kernels.CHOICES)
@pytest.mark.parametrize("name", KERNEL_OPS)
@settings(max_examples=12)
@given(data=st.data())
def test_first_and_second_order_of_kernels(name, column, data):
    case = SAMPLES[name].draw(drawn(data))
    with kernels.use_kernels(column):
        check(case, data.draw(st.sampled_from(case.calls)))


@pytest.mark.parametrize("name", ANALYTIC)
@settings(max_examples=20)
@given(data=st.data())
def test_complex_step(name, data):
    """Im f(x + ihv) / h is the slope along v without any difference, so exact to rounding."""
    case = SAMPLES[name].draw(drawn(data))
    h = 1e-30
    directions = [np.asarray(np.random.default_rng(7).normal(size=x.shape)) for x in case.inputs]
    moved = [x + 1j * h * v for x, v in zip(case.inputs, directions, strict=True)]
    u = cotangent(np.asarray(case.raw(*case.inputs)))
    slope = np.imag(OPS[name].value(np, *case.arguments(*moved), **case.attrs)) / h
    terms = [g * v for g, v in zip(gradients(case, case.raw, False), directions, strict=True)]
    error = abs(np.sum(slope * u) - sum(np.sum(t) for t in terms))
    assert error <= 1e-12 * (1 + sum(np.sum(np.abs(t)) for t in terms) + np.sum(np.abs(slope * u)))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", KERNEL_OPS)
@settings(max_examples=25)
@given(data=st.data())
def test_fast_kernels_agree_with_the_textbook(name, dtype, data):
    """In the memory order that the case draws; the textbook computes in float64."""
    case = SAMPLES[name].draw(drawn(data)).astype(dtype)
    exact = case.astype("float64")  # the same numbers, already rounded
    with kernels.use_kernels("reference"):
        expected = [np.asarray(exact.call(*exact.inputs)), *gradients(exact, exact.call, False)]
    got = [np.asarray(case.call(*case.inputs)), *gradients(case, case.call, False)]
    # The gradient's starting value is rounded to float32 too, so a few roundings more than the kernels' own.
    tolerance = {"float32": 3e-5, "float64": 1e-12}[dtype]
    if name == "batch_norm":  # 1/σ with eps = 1e-5 and two values can magnify roundings a hundredfold
        tolerance *= 30
    for g, e in zip(got, expected, strict=True):
        assert g.dtype == dtype
        assert np.max(np.abs(g - e), initial=0) <= tolerance * (1 + np.max(np.abs(e), initial=0))


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_the_kernel_column_of_the_table_is_true(name, monkeypatch):
    calls = []
    original = kernels.Kernel.__call__
    monkeypatch.setattr(
        kernels.Kernel, "__call__", lambda self, *a, **k: calls.append(self.name) or original(self, *a, **k)
    )
    for seed in range(5):
        case = SAMPLES[name].draw(dice(seed))
        check(case)
    used = {call for call in calls if not call.startswith("philox")}  # those are gradcheck's own
    assert bool(used) == SAMPLES[name].kernel, used


@pytest.mark.parametrize("shape", [(64, 20), (16, 8, 7, 7)])
@pytest.mark.parametrize("column", kernels.CHOICES)
def test_fused_batch_norm_agrees_with_its_composed_rules(shape, column):
    rng = np.random.default_rng(0)
    operands = [rng.normal(1, 2, shape), rng.normal(1, 0.2, shape[1]), rng.normal(size=shape[1])]
    for dtype, tolerance in (("float64", 1e-12), ("float32", 2e-6)):
        leaves = [Tensor(v.astype(dtype), requires_grad=True) for v in operands]
        with kernels.use_kernels(column):
            y = OPS["batch_norm"](*leaves, eps=1e-5)
            u = cotangent(y.data)
            fused, composed = grad(y, leaves, u), grad(y, leaves, u, create_graph=True)
        for f, c in zip(fused, composed, strict=True):
            assert f.dtype == c.dtype == dtype
            assert np.max(np.abs(f.data - c.data)) <= tolerance * np.max(np.abs(c.data))
