"""A second array module runs every operation that is not a kernel: only the array switch knows of it."""

import numpy as np
import pytest
from checker import cotangent
from drawing import dice
from samples import SAMPLES

from rawgan import arrays
from rawgan.engine import Tensor, grad

ARRAY_OPS = sorted(name for name, s in SAMPLES.items() if not s.kernel)


@pytest.fixture
def strict(monkeypatch):
    """array-api-strict, which has only what the array API standard has, as the device "strict"."""
    xp = pytest.importorskip(
        "array_api_strict", reason="array-api-strict is not installed: pip install rawgan[test]"
    )
    kind = type(xp.asarray(0.0))
    monkeypatch.setattr(arrays, "BACKENDS", dict(arrays.BACKENDS))
    monkeypatch.setattr(arrays, "_by_type", {})

    def asarray(value, dtype, device):
        if dtype is not None:
            dtype = getattr(xp, str(dtype).rpartition(".")[2])
        return xp.asarray(value, dtype=dtype)

    arrays.register(
        arrays.Backend(
            kind="strict",
            module=lambda: xp,
            array_types=lambda: (kind,),
            asarray=asarray,
            to_numpy=np.asarray,
            device=lambda array: "strict",
            empty=lambda shape, dtype, device: xp.empty(shape, dtype=getattr(xp, str(dtype))),
        )
    )
    return kind


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ARRAY_OPS)
def test_operations_run_on_another_array_module(name, dtype, strict):
    """Values, gradients, and gradients of gradients are NumPy's."""
    for seed in range(12):
        case = SAMPLES[name].draw(dice(seed, basic=True)).astype(dtype)
        there = case.converted(lambda a: arrays.asarray(a, a.dtype, "strict"))
        if "dtype" in there.attrs:
            there.attrs["dtype"] = arrays.asarray(0.0, dtype, "strict").dtype
        if "device" in there.attrs:
            there.attrs["device"] = "strict"
        for e, g in zip(results(case), results(there), strict=True):
            assert type(g) is strict
            assert arrays.device_of(g) == "strict"
            assert str(g.dtype).endswith(dtype)
            host = arrays.to_numpy(g)
            assert host.shape == e.shape
            tolerance = 1e-5 if dtype == "float32" else 1e-13
            assert np.max(np.abs(host - e), initial=0) <= tolerance * (1 + np.max(np.abs(e), initial=0))


def results(case):
    """The value, the gradients, and the gradients of Σ of the gradients, as arrays of the case's module."""
    leaves = [Tensor(x, requires_grad=True) for x in case.inputs]
    y = case.raw(*leaves)
    u = cotangent(arrays.to_numpy(y.data))
    first = grad(y, leaves, u)
    slopes = grad(y, leaves, u, create_graph=True)
    total = sum(((g * 0.5) * g).sum() for g in slopes)
    second = grad(total, leaves) if total.requires_grad else ()
    y.backward(u)
    return [t.data for t in (y, *first, *slopes, *second)] + [x.grad for x in leaves]
