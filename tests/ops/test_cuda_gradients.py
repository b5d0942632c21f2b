"""Every operation's rules on the device "cuda-sim": to second order, and with the values of the CPU."""

from dataclasses import replace

import numpy as np
import pytest
from checker import gradients
from drawing import dice
from samples import SAMPLES

import rawgan
from rawgan import arrays
from rawgan.kernels.cuda import host

pytestmark = pytest.mark.skipif(not host.has_compiler(), reason="needs a C++ compiler")


def moved(case):
    """The case with all its arrays on the device, indices too; then by the operation itself."""
    if not case.name.startswith("max_pool2d_"):
        found = case.converted(host.on_device)
        return replace(
            found, attrs=found.attrs | {"device": "cuda-sim"} if "device" in found.attrs else found.attrs
        )
    attrs = {name: host.on_device(value) for name, value in case.attrs.items()}
    return replace(case, operands=list(map(host.on_device, case.operands)), attrs=attrs, public=None)


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_first_and_second_order(name):
    for seed in range(3):
        case = moved(SAMPLES[name].draw(dice(seed)))
        with rawgan.use_device("cuda-sim"):
            for call in case.calls:
                rawgan.gradcheck(call, *case.inputs, order=2)


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_values_and_gradients_are_the_processors(name):
    for seed in range(3):
        drawn = SAMPLES[name].draw(dice(seed))
        there = moved(drawn)
        with rawgan.use_device("cuda-sim"):
            y = there.call(*there.inputs)
            found = [y, *gradients(there, there.call, False)]
        wanted = [drawn.call(*drawn.inputs), *gradients(drawn, drawn.call, False)]
        for got, want in zip(found, wanted, strict=True):
            got, want = (x.data if isinstance(x, rawgan.Tensor) else x for x in (got, want))
            assert arrays.device_of(got) == "cuda-sim"
            error = np.max(np.abs(np.asarray(got) - want), initial=0)
            assert error <= 1e-12 * (1 + np.max(np.abs(want), initial=0))
