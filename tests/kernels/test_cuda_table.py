"""Every CUDA kernel, run on the processor, against the textbook, over the table."""

import copy
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_kernel_contracts import SEEDS, arrays_of, assert_agree, every_kernel, outputs, reference

from rawgan import kernels
from rawgan.kernels.cuda import host
from rawgan.kernels.cuda.program import FOLDER, Program

pytestmark = pytest.mark.skipif(not host.has_compiler(), reason="needs a C++ compiler")


def on_device(arguments):
    return {name: host.on_device(value) for name, value in arguments.items()}


@every_kernel
@settings(max_examples=30, deadline=None)
@given(seed=SEEDS, order=st.integers(0, 2**32))
def test_agrees_with_the_textbook(name, seed, order):
    """Whatever the order of lanes, warps and blocks, early and late copies; inputs are left alone."""
    kernel = kernels.KERNELS[name]
    arguments = kernel.contract.sample(np.random.default_rng(seed))
    wanted = reference(kernel, copy.deepcopy(arguments))
    before, given = copy.deepcopy(arguments), on_device(arguments)
    with host.use_seed(order):
        result = kernel(**given)
    assert_agree(kernel, outputs(kernel, result, given), wanted)
    assert all(type(array) is host.HostArray for array in arrays_of(outputs(kernel, result, given)))
    for key in arguments:
        if key not in kernel.contract.mutates:
            for now, then in zip(arrays_of([arguments[key]]), arrays_of([before[key]]), strict=True):
                np.testing.assert_array_equal(now, then)


@every_kernel
def test_order_of_threads_changes_no_bit(name):
    kernel = kernels.KERNELS[name]
    for seed in range(3):
        found = []
        for order in (0, 1, 2, 7):
            given = on_device(kernel.contract.sample(np.random.default_rng(seed)))
            with host.use_seed(order):
                found.append(outputs(kernel, kernel(**given), given))
        for other in found[1:]:
            for a, b in zip(found[0], other, strict=True):
                np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


@every_kernel
def test_the_textbook_runs_on_the_device_too(name):
    kernel = kernels.KERNELS[name]
    arguments = kernel.contract.sample(np.random.default_rng(1))
    given = on_device(copy.deepcopy(arguments))
    with kernels.use_kernels("reference"):
        found = outputs(kernel, kernel(**given), given)
    for got, wanted in zip(found, reference(kernel, arguments), strict=True):
        np.testing.assert_array_equal(np.asarray(got), np.asarray(wanted))


def test_every_file_is_a_family_whose_parameters_are_read_as_the_compiler_sees_them():
    """`compiled` compares them; every `.cu` is a program of the module beside it."""
    for path in sorted(FOLDER.glob("*.cu")):
        module = __import__(f"rawgan.kernels.cuda.{path.stem}", fromlist=["PROGRAM"])
        assert isinstance(module.PROGRAM, Program)
        assert module.PROGRAM.kernels
        host.compiled(module.PROGRAM)


def test_a_gradient_of_no_places_is_zero():
    x, gy = (host.on_device(np.ones(shape, np.float32)) for shape in ((2, 3, 4, 4), (2, 5, 0, 2)))
    gw = kernels.conv2d_weight_grad(x, gy, (3, 3), (1, 1), (0, 0))
    np.testing.assert_array_equal(np.asarray(gw), np.zeros((5, 3, 3, 3)))


@pytest.mark.parametrize(
    "leading", [((), ()), ((0,), (0,)), ((2,), ()), ((0,), (1,)), ((2, 1), (1, 3))], ids=str
)
def test_products_with_a_side_of_no_length(leading):
    for m, n, k in product((0, 1, 2), (0, 1, 3), (0, 2)):
        a, b = np.ones((*leading[0], m, k), np.float32), np.ones((*leading[1], k, n), np.float32)
        found = np.asarray(kernels.matmul(host.on_device(a), host.on_device(b)))
        np.testing.assert_array_equal(found, a @ b, strict=True)
