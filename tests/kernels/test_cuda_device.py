"""Every kernel and recipe on a real GPU: `pytest -m gpu`, which `bench/gpu.sh` runs where there is one."""

import copy
import os
from importlib import import_module

import numpy as np
import pytest
from test_kernel_contracts import arrays_of, assert_agree, every_kernel, outputs, reference

import rawgan
from rawgan import arrays, kernels, recipes
from rawgan.kernels.cuda import layout

pytestmark = pytest.mark.gpu


@pytest.fixture(autouse=True)
def cuda():
    """RAWGAN_NO_POOL=1: every array is an allocation of its own, so a sanitizer sees what lies beyond it."""
    try:
        arrays.resolve("cuda")
    except rawgan.DeviceError as error:
        pytest.skip(str(error))
    if os.environ.get("RAWGAN_NO_POOL"):
        import_module("cupy").cuda.set_allocator(None)


def on_device(value):
    if isinstance(value, list | tuple):
        return type(value)(map(on_device, value))
    return arrays.asarray(value, device="cuda") if isinstance(value, np.ndarray) else value


def on_host(value):
    if isinstance(value, list | tuple):
        return type(value)(map(on_host, value))
    return arrays.to_numpy(value) if arrays.is_array(value) else value


@every_kernel
def test_agrees_with_the_textbook(name):
    kernel = kernels.KERNELS[name]
    for seed in range(30):
        arguments = kernel.contract.sample(np.random.default_rng(seed))
        wanted = reference(kernel, copy.deepcopy(arguments))
        given = {key: on_device(value) for key, value in arguments.items()}
        result = on_host(kernel(**given))
        written = {key: on_host(given[key]) for key in kernel.contract.mutates}
        assert_agree(kernel, outputs(kernel, result, written), wanted)


@every_kernel
def test_networks_own_sizes_agree_with_the_cpu_and_repeat_bit_for_bit(name):
    """By norm: the sums are long, and neither side is exact."""
    kernel = kernels.KERNELS[name]
    for make in kernel.contract.cases.values():
        arguments = make(np.random.default_rng(1))
        found = []
        for _ in range(2):
            given = {key: on_device(value) for key, value in arguments.items()}
            result = on_host(kernel(**given))
            found.append(
                outputs(kernel, result, {key: on_host(given[key]) for key in kernel.contract.mutates})
            )
        wanted = outputs(kernel, kernel(**arguments), arguments)
        for first, second, want in zip(*found, wanted, strict=True):
            np.testing.assert_array_equal(first, second)
            first, want = (np.asarray(x, np.float64) for x in (first, want))
            assert np.linalg.norm(first - want) <= 1e-5 * np.linalg.norm(want) + 1e-12


@pytest.mark.parametrize("recipe", recipes.names())
def test_every_recipe_is_the_run_of_the_cpu(recipe):
    settings = {"steps": 3, "batch_size": 16, "progress": False, "out": None, "seed": 1}
    if recipe != "mixture":
        settings["data"] = "digits"
    here, there = (rawgan.train(recipe, device=device, **settings) for device in ("cpu", "cuda"))
    for name, values in here.history.items():
        np.testing.assert_allclose(there.history[name], values, rtol=1e-3, atol=1e-4, err_msg=name)


def test_memory_that_is_not_there_is_a_device_error():
    x = arrays.asarray(np.ones(3, np.float32), device="cuda")
    with pytest.raises(rawgan.DeviceError, match=r"no room for \(1048576, 1048576\) of float32, 4194304 MiB"):
        layout.empty((1 << 20, 1 << 20), np.float32, x)


def test_arrays_of_two_devices_do_not_meet():
    x = arrays.asarray(np.ones(3, np.float32), device="cuda")
    with pytest.raises((rawgan.RawganError, TypeError)):
        kernels.leaky_relu_grad(x, np.ones(3, np.float32), 0.1)
    assert arrays_of([arrays.to_numpy(x)])[0].sum() == 3
