"""Every operation and its gradients on a GPU that is not the current one, by a stand-in for CuPy."""

import sys
from dataclasses import replace

import fake_cupy
import numpy as np
import pytest
from checker import gradients
from drawing import dice
from samples import SAMPLES

from rawgan import Tensor, arrays
from rawgan.kernels.cuda import host

pytestmark = pytest.mark.skipif(not host.has_compiler(), reason="needs a C++ compiler")


def moved(case):
    """The case with all its arrays on the second GPU, indices too."""

    def there(value):
        return arrays.asarray(value, device="cuda:1") if isinstance(value, np.ndarray) else value

    if not case.name.startswith("max_pool2d_"):
        return case.converted(there)
    attrs = {name: there(value) for name, value in case.attrs.items()}
    return replace(case, operands=list(map(there, case.operands)), attrs=attrs, public=None)


def values_and_gradients(case):
    y = case.call(*case.inputs)
    first, second = (gradients(case, case.call, graph) for graph in (False, True))
    return [y.data if isinstance(y, Tensor) else y, *first, *second]


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_operations_run_where_their_arrays_are(name, monkeypatch):
    """Values and gradients, on the tape and off it, are the CPU's; outside of use_device."""
    monkeypatch.setitem(sys.modules, "cupy", fake_cupy.make(2))
    for seed in range(3):
        case = SAMPLES[name].draw(dice(seed))
        there = moved(case)
        if "device" in there.attrs:
            there.attrs["device"] = "cuda:1"
        for want, got in zip(values_and_gradients(case), values_and_gradients(there), strict=True):
            assert arrays.device_of(got) == "cuda:1"
            error = np.max(np.abs(arrays.to_numpy(got) - want), initial=0)
            assert error <= 1e-12 * (1 + np.max(np.abs(want), initial=0))
    assert fake_cupy.STATE.current == 0
