"""What every kernel must satisfy, written once and run over the table."""

import copy
import inspect
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rawgan import kernels
from rawgan.kernels import samples

SEEDS = st.integers(0, 2**32 - 1)
every_kernel = pytest.mark.parametrize("name", kernels.KERNELS)


def outputs(kernel, result, arguments):
    """What a call computed: its results, then the arguments it wrote to."""
    results = [] if result is None else list(result) if isinstance(result, tuple) else [result]
    return results + arrays_of([arguments[name] for name in kernel.contract.mutates])


def arrays_of(values):
    """The arrays among some arguments and in their lists."""
    listed = [v if isinstance(v, list | tuple) else [v] for v in values]
    return [x for some in listed for x in some if isinstance(x, np.ndarray)]


def assert_agree(kernel, got, wanted):
    """Same shapes, dtypes, NaN and infinities; values within the contract's tolerance."""
    assert len(got) == len(wanted)
    for g, w in zip(got, wanted, strict=True):
        g, w = np.asarray(g), np.asarray(w)
        assert (g.shape, g.dtype) == (w.shape, w.dtype)
        finite = np.isfinite(w)
        np.testing.assert_array_equal(np.where(finite, 0, g), np.where(finite, 0, w))
        if not finite.any():
            continue
        error = np.abs(g[finite].astype(np.float64) - w[finite].astype(np.float64)).max()
        tolerance = 0.0 if w.dtype.kind in "iu" else kernel.contract.tolerance[w.dtype.name]
        assert error <= tolerance * max(1.0, float(np.abs(w[finite].astype(np.float64)).max()))


def reference(kernel, arguments):
    return outputs(kernel, kernel.implementation("reference")(**arguments), arguments)


@every_kernel
def test_has_every_part(name):
    kernel = kernels.KERNELS[name]
    contract = kernel.contract
    assert getattr(kernels, name) is kernel
    assert contract.name == name
    assert contract.cases
    assert contract.summary.strip()
    for function in (contract.check, kernel.implementation("reference"), kernel.implementation("cpu")):
        assert tuple(inspect.signature(function).parameters) == contract.arguments
    sample = contract.sample(np.random.default_rng(0))
    assert tuple(sample) == contract.arguments
    assert set(contract.mutates) <= set(contract.arguments)


@every_kernel
@settings(max_examples=60, deadline=None)
@given(seed=SEEDS)
def test_cpu_agrees_with_the_textbook(name, seed):
    kernel = kernels.KERNELS[name]
    arguments = kernel.contract.sample(np.random.default_rng(seed))
    wanted = reference(kernel, copy.deepcopy(arguments))
    before = copy.deepcopy(arguments)
    result = kernel(**arguments)
    assert_agree(kernel, outputs(kernel, result, arguments), wanted)

    kept = [key for key in arguments if key not in kernel.contract.mutates]
    given, copies = (arrays_of([some[key] for key in kept]) for some in (arguments, before))
    for now, then in zip(given, copies, strict=True):
        np.testing.assert_array_equal(now, then)
    results = [] if result is None else result if isinstance(result, tuple) else (result,)
    if not kernel.contract.mutates:
        for r in results:
            assert not any(np.shares_memory(r, array) for array in arrays_of(arguments.values()))
    assert kernel.contract.flops(*arguments.values()) >= 0
    assert kernel.contract.bytes(*arguments.values()) >= 0


@every_kernel
def test_samples_reach_both_dtypes_and_odd_memory(name):
    kernel = kernels.KERNELS[name]
    arrays = [
        array
        for seed in range(60)
        for array in arrays_of(kernel.contract.sample(np.random.default_rng(seed)).values())
    ]
    if name not in ("philox_words", "gather"):
        assert {np.dtype(np.float32), np.dtype(np.float64)} <= {a.dtype for a in arrays}
    if not kernel.contract.mutates:
        assert not all(a.flags.c_contiguous for a in arrays)
        assert any(stride < 0 for a in arrays for stride in a.strides)
    if name not in ("matmul", "batch_norm", "batch_norm_grad", "bce", "bce_with_logits"):
        assert any(a.size == 0 for a in arrays)


@every_kernel
def test_repeats_bit_for_bit(name):
    kernel = kernels.KERNELS[name]
    for make in list(kernel.contract.cases.values())[:2]:
        runs = []
        for _ in range(2):
            arguments = make(np.random.default_rng(1))
            runs.append(outputs(kernel, kernel(**arguments), arguments))
        for first, second in zip(*runs, strict=True):
            np.testing.assert_array_equal(first, second)


def test_new_arrays_are_in_every_memory_order():
    orders = {
        (x.flags.c_contiguous, x.flags.f_contiguous, x.strides[0] < 0, x.strides[1] == x.itemsize)
        for x in (samples.array(np.random.default_rng(seed), (2, 3, 4, 5), np.float32) for seed in range(50))
    }
    assert len(orders) >= 5


# A wrong kernel must be noticed: each of these differs from the textbook as a hurried author's would.


def _swapped(key, function, /, **arguments):
    return function(**{**arguments, key: arguments[key][::-1]})


def _without_bias(function, /, **arguments):
    return function(**{**arguments, "bias": None})


def _flipped(function, /, **arguments):
    return function(**{**arguments, "weight": arguments["weight"][:, :, ::-1, ::-1]})


def _changed(key, factor, function, /, **arguments):
    return function(**{**arguments, key: arguments[key] * factor})


def _scaled(function, /, **arguments):
    result = function(**arguments)
    first, *rest = result if isinstance(result, tuple) else (result,)
    return (first * first.dtype.type(1.001), *rest)


def _unbiased(function, /, **arguments):
    y, mean, var = function(**arguments)
    count = max(2, y.size // y.shape[1])
    return y, mean, (var * (count / (count - 1))).astype(y.dtype)


def _next(key, function, /, **arguments):
    return function(**{**arguments, key: (arguments[key] + 1) % 2**64})


def _turned(function, /, **arguments):
    return function(**{key: x.swapaxes(0, -1) for key, x in arguments.items()}).swapaxes(0, -1)


def _negative(key, function, /, **arguments):
    return function(**{**arguments, key: not arguments[key]})


def _late(function, /, **arguments):
    return function(**{**arguments, "step": arguments["step"] + 1})


MUTANTS = {
    "conv2d, stride swapped": ("conv2d", partial(_swapped, "stride")),
    "conv2d, padding swapped": ("conv2d", partial(_swapped, "padding")),
    "conv2d, no bias": ("conv2d", _without_bias),
    "conv2d, kernel flipped": ("conv2d", _flipped),
    "conv_transpose2d, stride swapped": ("conv_transpose2d", partial(_swapped, "stride")),
    "conv_transpose2d, padding swapped": ("conv_transpose2d", partial(_swapped, "padding")),
    "conv_transpose2d, output padding swapped": ("conv_transpose2d", partial(_swapped, "output_padding")),
    "conv_transpose2d, kernel flipped": ("conv_transpose2d", _flipped),
    "conv2d_weight_grad, stride swapped": ("conv2d_weight_grad", partial(_swapped, "stride")),
    "conv2d_weight_grad, padding swapped": ("conv2d_weight_grad", partial(_swapped, "padding")),
    "max_pool2d, stride swapped": ("max_pool2d", partial(_swapped, "stride")),
    "max_pool2d, padding swapped": ("max_pool2d", partial(_swapped, "padding")),
    "max_pool2d, kernel swapped": ("max_pool2d", partial(_swapped, "kernel_size")),
    "dense, no bias": ("dense", _without_bias),
    "matmul, scaled": ("matmul", _scaled),
    "batch_norm, unbiased variance": ("batch_norm", _unbiased),
    "batch_norm, eps": ("batch_norm", partial(_changed, "eps", 100)),
    "batch_norm_grad, eps": ("batch_norm_grad", partial(_changed, "eps", 1000)),
    "batch_norm_grad, scaled": ("batch_norm_grad", _scaled),
    "leaky_relu, slope": ("leaky_relu", partial(_changed, "negative_slope", 1.001)),
    "leaky_relu_grad, slope": ("leaky_relu_grad", partial(_changed, "negative_slope", 1.001)),
    "dropout, next draw": ("dropout", partial(_next, "draw")),
    "dropout, next key": ("dropout", partial(_next, "key")),
    "philox_normal, next key": ("philox_normal", partial(_next, "key")),
    "philox_uniform, next draw": ("philox_uniform", partial(_next, "draw")),
    "adam, step": ("adam", _late),
    "adam, eps": ("adam", partial(_changed, "eps", 1e4)),
    "log_softmax, scaled": ("log_softmax", _scaled),
    "log_softmax, along another axis": ("log_softmax", _turned),
    "log_softmax_grad, the value": ("log_softmax_grad", partial(_changed, "y", 1.001)),
    "log_softmax_grad, along another axis": ("log_softmax_grad", _turned),
    "gather, next row": ("gather", partial(_next, "row")),
    "gather, low": ("gather", partial(_changed, "low", 1.001)),
    "gather, high": ("gather", partial(_changed, "high", 1.001)),
    "sum_squares, scaled": ("sum_squares", _scaled),
    "clip_norm, limit": ("clip_norm", partial(_changed, "limit", 1.001)),
    "clip_norm, each or all": ("clip_norm", partial(_negative, "each")),
    "clip_value, limit": ("clip_value", partial(_changed, "limit", 1.001)),
    "sgd, momentum": ("sgd", partial(_changed, "momentum", 1.001)),
    "sgd, lr": ("sgd", partial(_changed, "lr", 1.001)),
    "rmsprop, rho": ("rmsprop", partial(_changed, "rho", 1.001)),
    "rmsprop, eps": ("rmsprop", partial(_changed, "eps", 1e4)),
    "adagrad, lr": ("adagrad", partial(_changed, "lr", 1.001)),
    "adagrad, eps": ("adagrad", partial(_changed, "eps", 1e6)),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_planted_bugs_are_noticed(mutant):
    name, spoil = MUTANTS[mutant]
    kernel = kernels.KERNELS[name]
    for seed in range(60):
        right, wrong = (kernel.contract.sample(np.random.default_rng(seed)) for _ in range(2))
        wanted = reference(kernel, right)
        try:
            got = outputs(kernel, spoil(kernel.implementation("reference"), **wrong), wrong)
            assert_agree(kernel, got, wanted)
        except (AssertionError, ValueError, IndexError):
            return
    pytest.fail(f"no sample of {name} notices: {mutant}")


LARGE = [name for name, k in kernels.KERNELS.items() if k.contract.family not in ("convolution", "linear")]


@pytest.mark.parametrize("name", LARGE)
def test_the_sizes_of_networks_agree_with_the_textbook(name):
    """Samples are small: these take many blocks, parts and threads. Judged by norm."""
    kernel = kernels.KERNELS[name]
    for make in kernel.contract.cases.values():
        arguments = make(np.random.default_rng(0))
        copied = copy.deepcopy(arguments)
        got = outputs(kernel, kernel(**arguments), arguments)
        wanted = reference(kernel, copied)
        assert len(got) == len(wanted)
        for g, w in zip(got, wanted, strict=True):
            g, w = np.asarray(g), np.asarray(w)
            assert (g.shape, g.dtype) == (w.shape, w.dtype)
            g, w = g.astype(np.float64), w.astype(np.float64)
            assert np.linalg.norm(g - w) <= 1e-5 * np.linalg.norm(w)


@pytest.mark.parametrize("wanted", [(True, True), (True, False), (False, True)])
def test_flops_of_a_perceptrons_gradient_are_its_products(wanted):
    """ḡᵀ x for each weight, if wanted; ḡ W for each layer but the first, and for that if x's is wanted."""
    contract = kernels.CONTRACTS["perceptron_grad"]
    arguments = next(iter(contract.cases.values()))(np.random.default_rng(0))
    arguments["wanted"] = wanted
    rows = len(arguments["x"])
    products = [2 * rows * w.size for w in arguments["weights"]]
    expected = wanted[1] * sum(products) + sum(products[1:]) + wanted[0] * products[0]
    assert contract.flops(**arguments) == expected
