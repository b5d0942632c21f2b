"""The rows of the kernels' table: every kernel and gradient is there, timed by what it should be."""

import json

import numpy as np
import pytest
from bench_samples import sample

from rawgan import kernels, ops
from rawgan.bench import columns, document
from rawgan.bench import kernels as bench
from rawgan.kernels.errors import ConfigError

QUICK = ("leaky_relu", "sum_squares", "dense")
every_kernel = pytest.mark.parametrize("name", kernels.KERNELS)


@every_kernel
def test_every_kernel_has_cases_that_its_contract_takes(name):
    kernel = kernels.KERNELS[name]
    assert kernel.contract.cases
    for make in kernel.contract.cases.values():
        arguments = bench.rebatched(make(np.random.default_rng(0)), 2)
        assert set(arguments) == set(kernel.contract.arguments)
        kernel.contract.check(**arguments)
        assert all(cost >= 0 for cost in bench.cost(name, "value", arguments))


def test_every_kernel_is_timed_in_the_textbook_column(tiny_cases):
    found = bench.run(["reference"], seconds=1e-4)
    rows = {(r["name"], r["part"]): r for r in found["rows"]}
    assert {name for name, part in rows if part == "value"} == set(kernels.KERNELS)
    for r in found["rows"]:
        assert r["times"]["reference"]["timings"] >= 1
        if r["flops"] or r["bytes"]:
            assert r["times"]["reference"]["percent"] > 0
    assert found["main"] == "reference"
    assert document._fault(json.loads(json.dumps(found))) is None


def test_gradients_are_the_rules_of_the_operations_that_call_kernels():
    assert bench.parts("dense") == ["value", "x", "weight", "bias"]
    assert bench.parts("conv2d")[:3] == ["value", "x", "weight"]
    for name in kernels.KERNELS:
        op = ops.OPS.get(name)
        assert bench.parts(name)[0] == "value"
        assert len(bench.parts(name)) == 1 or set(bench.parts(name)[1:]) == set(op.rules)
        if "gy" in kernels.KERNELS[name].contract.arguments:  # a gradient itself
            assert bench.parts(name) == ["value"]


@pytest.mark.parametrize(
    ("name", "part", "calls"),
    [
        ("dense", "x", ["matmul"]),
        ("dense", "weight", ["matmul"]),
        ("conv2d", "x", ["conv_transpose2d"]),
        ("conv2d", "weight", ["conv2d_weight_grad"]),
        ("conv_transpose2d", "x", ["conv2d"]),
    ],
)
def test_a_gradient_costs_what_the_kernels_of_its_rule_cost(name, part, calls):
    arguments = sample(name)
    rule, values = bench._saved(name, part, arguments, columns.Column("reference"))
    with bench.ledger() as noted:
        rule(*values)
    assert [kernel for kernel, _, _ in noted] == calls
    flops, moved = bench.cost(name, part, arguments)
    assert flops == bench.cost(name, "value", arguments)[0]  # of a bilinear operation
    assert moved > 0
    with bench.ledger() as after:
        pass
    assert after == []
    assert kernels.Kernel.__call__.__qualname__ == "Kernel.__call__"


@pytest.mark.parametrize("batch", [1, 5])
@every_kernel
def test_another_batch_keeps_memory_order_and_the_rest(name, batch):
    for make in kernels.KERNELS[name].contract.cases.values():
        before = make(np.random.default_rng(0))
        after = bench.rebatched(before, batch)
        for key, value in before.items():
            if key not in bench.ACTIVATIONS:
                assert after[key] is value
            if not isinstance(value, np.ndarray) or key not in bench.ACTIVATIONS or value.ndim < 2:
                continue
            assert after[key].shape == (batch, *value.shape[1:])
            assert after[key].dtype == value.dtype
            order = sorted(range(value.ndim), key=lambda axis, strides=value.strides: -strides[axis])
            assert value.transpose(order).flags.c_contiguous
            assert after[key].transpose(order).flags.c_contiguous
            np.testing.assert_array_equal(after[key][0], value[0])


def test_columns_side_by_side_on_the_processor(tiny_cases):
    found = bench.run(["reference", "cpu"], only=QUICK, seconds=1e-4)
    assert found["columns"] == ["reference", "cpu"]
    assert (found["main"], found["missing"]) == ("cpu", {})
    assert [r["name"] for r in found["rows"] if r["part"] == "value"] == list(QUICK)
    assert all(set(r["times"]) == {"reference", "cpu"} for r in found["rows"])
    assert set(found["roofs"]) == {"cpu"}
    for key in ("date", "commit", "machine", "versions", "precision", "threads", "settings"):
        assert key in found
    assert {"rawgan", "python", "numpy", "numba"} <= set(found["versions"])
    assert {"cpu", "simd", "instructions", "threads", "cores", "system"} <= set(found["machine"])


@pytest.mark.parametrize("device", ["cuda", "cuda-sim", "cuda:7"])
def test_a_missing_device_is_a_blank_column_with_a_word_why(device, tiny_cases):
    (column,) = columns.find([device])
    if column.missing is None:
        pytest.skip(f"{device} is here")
    found = bench.run(["reference", device], only=["sum_squares"], seconds=1e-4)
    assert found["columns"] == ["reference", device]
    assert len(found["missing"][device]) > 10
    assert set(found["rows"][0]["times"]) == {"reference"}
    with pytest.raises(ConfigError, match=f"nothing to time: {device}: "):
        bench.run([device], only=["sum_squares"])


def test_another_batch_has_rows_of_its_own(tiny_cases):
    found = bench.run(["reference"], only=["dense"], batch=3, seconds=1e-4)
    assert {r["case"] for r in found["rows"]} == {"tiny, batch 3"}
    assert found["settings"] == {"batch": 3, "seconds": 1e-4}


def test_a_missing_rival_is_a_blank_column_with_a_word_why(tiny_cases, no_torch):
    found = bench.run(["reference"], ["torch"], only=["sum_squares"], seconds=1e-4)
    assert found["columns"] == ["reference", "torch"]
    assert found["missing"] == {"torch": "not installed"}
    assert set(found["rows"][0]["times"]) == {"reference"}


def test_a_broken_rival_is_a_blank_column_with_a_word_why(monkeypatch):
    monkeypatch.setattr(document.importlib.util, "find_spec", lambda name: 1 / 0)
    assert document.why_no_torch() == "does not work: ZeroDivisionError: division by zero"


def test_unknown_names_are_refused():
    with pytest.raises(ConfigError, match="no kernel 'conv2'; did you mean 'conv2d'"):
        bench.run(only=["conv2"])
    with pytest.raises(ConfigError, match="no device 'gpu'; there are: reference, cpu"):
        bench.run(["gpu"])


RANDOM = ("dropout", "philox_words", "philox_uniform", "philox_normal")


def _flat(result):
    if isinstance(result, tuple | list):
        return [array for r in result for array in _flat(r)]
    return [np.asarray(result)]


@pytest.mark.torch
def test_the_rival_that_turns_memory_gets_memory_to_turn():
    pytest.importorskip("torch")
    from rawgan.bench import rivals

    x = kernels.KERNELS["contiguous"].contract.cases["64@14"](np.random.default_rng(0))
    (theirs,) = rivals.arguments_of("contiguous", x).values()
    assert [s * 4 for s in theirs.stride()] == list(x["x"].strides)
    assert not theirs.is_contiguous()
    (theirs,) = rivals.arguments_of("leaky_relu", x).values()
    assert theirs.is_contiguous()


@pytest.mark.torch
@every_kernel
def test_the_rival_computes_the_same(name):
    pytest.importorskip("torch")
    from rawgan.bench import rivals

    assert name in rivals.CALLS
    arguments = sample(name, "float32")
    taken = kernels.KERNELS[name].contract.arguments
    theirs = rivals.arguments_of(name, {n: arguments[n] for n in taken})
    kernel = kernels.KERNELS[name]
    ours = kernel.implementation("reference")(**arguments)
    result = rivals.CALLS[name](*theirs.values())
    mutated, theirs = ([some[n] for n in kernel.contract.mutates] for some in (arguments, theirs))
    ours = _flat(mutated if ours is None else ours)
    result = _flat(theirs if result is None else result)
    if name == "batch_norm":  # PyTorch keeps 1 / √(var + eps)
        ours, result = ours[:2], result[:2]
    assert [o.shape for o in ours] == [tuple(r.shape) for r in result]
    if name in RANDOM:
        return
    for o, r in zip(ours, result, strict=True):
        finite = np.isfinite(o)
        o, r = o[finite].astype(np.float64), np.asarray(r)[finite].astype(np.float64)
        assert np.abs(o - r).max() <= 1e-4 * max(1.0, np.abs(o).max())


@pytest.mark.torch
def test_every_kernel_and_gradient_beside_pytorch(tiny_cases):
    pytest.importorskip("torch")
    found = bench.run(["reference"], ["torch"], seconds=1e-4)
    assert found["columns"] == ["reference", "torch"]
    for r in found["rows"]:
        assert set(r["times"]) == {"reference", "torch"}, r
        assert r["missing"] == {}


@pytest.mark.torch
def test_a_kernel_without_a_rival_is_a_blank_cell_with_a_word_why(tiny_cases, monkeypatch):
    pytest.importorskip("torch")
    from rawgan.bench import rivals

    monkeypatch.delitem(rivals.CALLS, "sum_squares")
    (r,) = bench.run(["reference"], ["torch"], only=["sum_squares"], seconds=1e-4)["rows"]
    assert r["missing"] == {"torch": "no such call"}
    assert set(r["times"]) == {"reference"}
