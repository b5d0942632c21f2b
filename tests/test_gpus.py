"""The device "cuda" and its numbers, on a stand-in for CuPy that is as strict as CuPy."""

import sys
from functools import partial

import fake_cupy
import numpy as np
import pytest
from fake_cupy import STATE

import rawgan
from rawgan import arrays, kernels, nn, optim
from rawgan.kernels.cuda import activation, host, linear
from rawgan.kernels.cuda.program import Program
from rawgan.kernels.errors import DeviceError, ShapeError

pytestmark = pytest.mark.skipif(not host.has_compiler(), reason="needs a C++ compiler")


@pytest.fixture(autouse=True)
def two_gpus(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", fake_cupy.make(2))
    for program in (activation.PROGRAM, linear.PROGRAM, linear.TF32):
        monkeypatch.setattr(program, "_compiled", {})
    yield
    assert STATE.current == 0  # nobody's block leaves another GPU current


def on(number, values):
    return arrays.asarray(np.asarray(values, np.float32), device=f"cuda:{number}")


@pytest.mark.parametrize("source", ["cpu", "cuda-sim", "cuda", "cuda:1"])
@pytest.mark.parametrize("goal", ["cpu", "cuda-sim", "cuda", "cuda:1"])
def test_a_tensor_comes_to_where_it_is_sent_and_its_gradient_comes_back(source, goal):
    x = rawgan.tensor([1.0, 2.0], device=source, requires_grad=True)
    y = x.to(goal)
    assert (x.device, y.device) == (source, goal)
    (y * y).sum().backward()
    assert arrays.device_of(x.grad) == source
    assert arrays.to_numpy(x.grad).tolist() == [2, 4]


@pytest.mark.parametrize("number", [0, 1])
def test_a_kernel_runs_on_the_gpu_of_its_arrays(number):
    y = kernels.leaky_relu(on(number, [-2.0, 3.0]), 0.5)
    assert STATE.launched == [(number, "leaky_relu<float>")]
    assert arrays.device_of(y) == arrays.resolve(f"cuda:{number}")
    assert arrays.to_numpy(y).tolist() == [-1, 3]


@pytest.mark.parametrize("name", kernels.KERNELS)
def test_every_kernel_runs_on_a_gpu_that_is_not_the_current_one(name):
    """With the bits of cuda-sim, whose kernels the stand-in runs."""
    kernel, there = kernels.KERNELS[name], partial(arrays.asarray, device="cuda:1")
    for seed in range(12):
        found = []
        for place in (there, host.on_device):
            given = placed(kernel.contract.sample(np.random.default_rng(seed)), place)
            result = kernel(**given)
            found.append(listed([result, *(given[key] for key in kernel.contract.mutates)]))
        for x, y in zip(*found, strict=True):
            assert (arrays.device_of(x), arrays.device_of(y)) == ("cuda:1", "cuda-sim")
            np.testing.assert_array_equal(arrays.to_numpy(x), arrays.to_numpy(y))


def placed(value, place):
    """A value with the arrays in it put somewhere."""
    if isinstance(value, dict):
        return {key: placed(v, place) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(placed(v, place) for v in value)
    return place(value) if isinstance(value, np.ndarray) else value


def listed(value):
    """The arrays in a value."""
    if isinstance(value, list | tuple):
        return [x for v in value for x in listed(v)]
    return [value] if arrays.is_array(value) else []


def test_the_current_gpu_is_not_switched_to():
    x = on(0, np.ones(3))
    before = STATE.switches
    kernels.leaky_relu(x, 0.5)
    assert STATE.switches == before


def test_arrays_of_two_gpus_do_not_meet_in_a_launch():
    with pytest.raises(DeviceError, match=r"arrays on one device are wanted, got \['cuda', 'cuda:1'\]"):
        activation.PROGRAM("leaky_relu", np.float32, 1, 32, on(0, [1.0]), on(1, [1.0]), 0.1, 1)


def test_arrays_of_two_gpus_do_not_meet_in_an_operation():
    with pytest.raises(DeviceError, match="multiply: got arrays on cuda:1 and cuda; move one"):
        rawgan.tensor([1.0], device="cuda") * rawgan.tensor([1.0], device="cuda:1")
    with pytest.raises(DeviceError, match="add: got arrays on cuda:1 and cuda; move one"):
        rawgan.ops.add(on(1, [1.0, 2.0]), on(0, [1.0, 2.0]))


@pytest.mark.parametrize("inside", [False, True])
def test_tensors_are_computed_and_differentiated_where_they_are(inside):
    """On the other GPU, within use_device and without."""
    with rawgan.use_device("cuda:1" if inside else "cpu"):
        x = rawgan.tensor([[1.0, -2.0], [3.0, 4.0]], device="cuda:1", requires_grad=True)
        w = rawgan.tensor(np.ones((2, 2), np.float32), device="cuda:1", requires_grad=True)
        y = (rawgan.ops.leaky_relu(x @ w, 0.5) * 2 + x / 2).sum()
        y.backward()
        y2 = (x * x).sum()
        y2.backward()  # adds to what is there
        (slope,) = rawgan.grad((x * x * x).sum(), [x], create_graph=True)
        (second,) = rawgan.grad(slope.sum(), [x])
        (nothing,) = rawgan.grad(y, [rawgan.tensor([1.0], device="cuda:1", requires_grad=True)])
    for t in (y.data, x.grad, w.grad, slope.data, second.data, nothing.data):
        assert arrays.device_of(t) == "cuda:1"
    expected = np.array([[2.5, 2.5], [4.5, 4.5]]) + 2 * np.array([[1.0, -2.0], [3.0, 4.0]])
    np.testing.assert_allclose(arrays.to_numpy(x.grad), expected)
    np.testing.assert_allclose(second.numpy(), 6 * x.numpy())


def test_a_graph_may_cross_from_one_gpu_to_the_other_and_to_the_cpu():
    x = rawgan.tensor([1.0, 2.0], device="cuda", requires_grad=True)
    z = rawgan.tensor([3.0, 4.0], requires_grad=True)
    y = (x * x).to("cuda:1")
    total = (y * y + (z * 2).to("cuda:1")).sum() + (x * 3).to("cuda:1").sum()
    total.backward()
    assert arrays.device_of(x.grad) == "cuda"
    np.testing.assert_allclose(arrays.to_numpy(x.grad), 4 * x.numpy() ** 3 + 3)
    assert z.grad.tolist() == [2, 2]


@pytest.mark.parametrize("name", optim.OPTIMIZERS)
def test_optimisers_and_clipping_move_parameters_where_they_are(name):
    here = rawgan.tensor([1.0, -2.0], requires_grad=True)
    there = rawgan.tensor([1.0, -2.0], device="cuda:1", requires_grad=True)
    for w in (here, there):
        (w * w).sum().backward()
        rule = optim.OPTIMIZERS[name]([w], lr=0.1)
        optim.clip_grad_norm([w], 1.0)
        optim.clip_grad_norm_each([w], 0.5)
        optim.clip_grad_value([w], 0.4)
        rule.step()
        rule.load_state_dict(rule.state_dict())
        rule.step()
    np.testing.assert_allclose(there.numpy(), here.numpy(), rtol=1e-6)


def test_networks_run_where_they_are():
    with rawgan.rng.use_generator(rawgan.rng.Generator(1)):
        layers = nn.SpectralNorm(nn.Dense(3, 4)), nn.BatchNorm(4), nn.LeakyReLU(0.2), nn.Dropout(0.5)
    net = nn.Sequential(*layers)
    start = net.state_dict()
    x = np.random.default_rng(0).standard_normal((6, 3)).astype(np.float32)
    found = {}
    for device in ("cpu", "cuda:1"):
        net.to(device).train().load_state_dict(start)
        with rawgan.rng.use_generator(rawgan.rng.Generator(2)):
            y = net(rawgan.tensor(x, device=device))
        (y * y).sum().backward()
        gradients = [arrays.to_numpy(p.grad) for p in net.parameters()]
        fixed = net.eval()(rawgan.tensor(x, device=device))
        found[device] = [y.numpy(), *gradients, fixed.numpy(), *net.state_dict().values()]
    for here, there in zip(*found.values(), strict=True):
        np.testing.assert_allclose(there, here, rtol=1e-4, atol=1e-5)


def test_training_on_the_second_gpu_is_training_on_the_first():
    settings = {"steps": 2, "batch_size": 4, "data": "digits", "progress": False, "seed": 1}
    runs = [rawgan.train("mlp", device=name, **settings) for name in ("cpu", "cuda", "cuda:1")]
    for name, values in runs[0].history.items():
        np.testing.assert_allclose(runs[1].history[name], values, rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(runs[1].history[name], runs[2].history[name])
    assert {number for number, _ in STATE.launched} == {0, 1}
    np.testing.assert_allclose(runs[2].sample(3), runs[0].sample(3), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ["cuda:2", "cuda:17"])
def test_a_gpu_that_is_not_there_is_refused_by_number(name):
    said = f"there is no '{name}': this machine has 2 GPUs, numbered from 0"
    for ask in (arrays.resolve, lambda n: rawgan.use_device(n).__enter__(), lambda n: on(n[5:], [1.0])):
        with pytest.raises(DeviceError, match=said):
            ask(name)


def test_names_of_one_gpu_are_one_name():
    assert arrays.resolve("cuda:0") == arrays.resolve("cuda:00") == "cuda"
    assert arrays.resolve("cuda:01") == "cuda:1"
    for name in ("cuda:", "cuda:x", "cuda:-1", "cuda:²"):
        with pytest.raises(DeviceError, match="has no such number; write it as 'cuda:1'"):
            arrays.resolve(name)
    with pytest.raises(DeviceError, match="one device 'cuda-sim'; got 'cuda-sim:1'"):
        arrays.resolve("cuda-sim:1")


def test_noise_is_drawn_where_it_will_be_with_no_array_of_the_processor(monkeypatch):
    monkeypatch.setattr(fake_cupy, "asarray", None)
    x = rawgan.rng.Generator(3).normal((2, 3), device="cuda:1")
    assert arrays.device_of(x) == "cuda:1"
    np.testing.assert_allclose(x.get(), rawgan.rng.Generator(3).normal((2, 3)), rtol=1e-5)
    assert arrays.device_of(arrays.empty(3, "float64", "cuda-sim")) == "cuda-sim"
    with rawgan.use_device("cuda"):
        assert arrays.device_of(arrays.empty((), "float32")) == "cuda"
    assert arrays.empty((2, 0), "float32").shape == (2, 0)


def tensor(n):
    return rawgan.tensor(np.ones(n, np.float32), device="cuda:1", requires_grad=True)


FULL = {
    "an operation": lambda x, y: x + x,
    "a gradient": lambda x, y: y.backward(),
    "a kernel": lambda x, y: kernels.leaky_relu(x.data, 0.1),
    "a tensor": lambda x, y: tensor(100),
    "a copy from another device": lambda x, y: rawgan.ops.to(rawgan.tensor(np.ones(100)), "cuda:1"),
    "noise": lambda x, y: rawgan.rng.Generator(0).normal(100, device="cuda:1"),
    "an optimiser's state": lambda x, y: optim.Adam([x]),
    "plain arrays": lambda x, y: in_a_block(x.data),
}


def in_a_block(x):
    with rawgan.use_device("cuda:1"):
        return x * 2


@pytest.mark.parametrize("name", FULL)
def test_no_room_is_a_device_error_with_the_sizes(name):
    """Of the GPU that has none, which is not the current one."""
    x = tensor(100)
    y = (rawgan.ops.exp(x) * x).sum()
    STATE.room = 399
    said = r"cuda:1 has no room for .*(400|800|\(100,\)).*; 2048 of 8192 MiB are free; use a smaller batch"
    with pytest.raises(DeviceError, match=said) as caught:
        FULL[name](x, y)
    assert isinstance(caught.value.__cause__, fake_cupy.OutOfMemoryError)
    assert STATE.current == 0


def test_a_training_step_with_no_room_is_a_device_error():
    from rawgan.bench import steps

    trainer = steps.trainer("mlp", 4, device="cuda:1")
    STATE.room = 1000
    with pytest.raises(DeviceError, match="cuda:1 has no room for"):
        trainer.step()


@pytest.mark.parametrize(("capability", "refused"), [("75", True), ("80", False), ("120", False)])
def test_tf32_is_refused_by_a_gpu_that_has_none(capability, refused, monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", fake_cupy.make(2, ["90", capability]))
    x = on(1, np.ones((2, 2)))
    kernels.matmul(x, x)
    with rawgan.use_precision("tf32"):
        kernels.matmul(on(0, np.ones((2, 2))), on(0, np.ones((2, 2))))
        if not refused:
            kernels.matmul(x, x)
            return
        with pytest.raises(DeviceError, match=r"needs a GPU of compute capability 8.0 .*; cuda:1 has 7.5"):
            kernels.matmul(x, x)


def test_shared_memory_beyond_48_kb_is_asked_for_once():
    program = Program("planted")
    program.__dict__["text"] = """__global__ void wide(float* y) {
        extern __shared__ float room[];
        room[0] = 1;
        y[0] = room[0];
    }"""
    for number in (0, 1):
        y = on(number, [0.0])
        for shared in (1 << 10, 64 << 10, 60 << 10):
            program("wide", np.float32, 1, 1, y, shared=shared)
        assert STATE.allowed[number, "wide"] == 64 << 10
        assert y.item() == 1


PLACES = {
    "a list": [0, 4],
    "a negative one": [-5],
    "NumPy's": np.array([[1, 4]]),
    "after others": (slice(None), None, [0, 3]),
    "after an ellipsis": (..., np.array([2, -4])),
    "after a mask": (np.array([True, False, True, True]), [3]),
    "one number": 4,
    "one of NumPy's": np.int64(4),
    "too many": ([0], [0], [0]),
}


@pytest.mark.parametrize("device", ["cpu", "cuda-sim", "cuda", "cuda:1"])
@pytest.mark.parametrize("name", PLACES)
def test_a_place_that_is_not_there_is_an_error_on_every_device(name, device):
    x = rawgan.tensor(np.arange(12.0).reshape(4, 3), device=device)
    with pytest.raises(ShapeError, match=r"does not fit an array of shape \(4, 3\)"):
        x[PLACES[name]]
    if device.startswith("cuda:") and isinstance(PLACES[name], list):
        with pytest.raises(ShapeError, match="out of bounds for axis 0 with size 4"):
            x[arrays.asarray(PLACES[name], "int64", device)]


@pytest.mark.parametrize(
    "index",
    [
        [3, 0, -4, 0],
        np.array([[1, 2]]),
        (slice(1, 3), [0, 2]),
        (..., None, [2, -3]),
        [],
        np.array([True, False, True, False]),
        ([True, False, True, False], [1, 1]),
        (np.array([0, 1]), np.int64(2)),
    ],
)
def test_places_that_are_there_are_taken_and_differentiated(index):
    found = []
    for device in ("cpu", "cuda:1"):
        x = rawgan.tensor(np.arange(12.0).reshape(4, 3), device=device, requires_grad=True)
        y = x[index]
        (y * y).sum().backward()
        found.append((y.numpy(), arrays.to_numpy(x.grad)))
    np.testing.assert_array_equal(found[0][0], found[1][0])
    np.testing.assert_array_equal(found[0][1], found[1][1])
