"""The names that users type, with their parameters and defaults: a promise, written out once more."""

import inspect

import numpy as np
import pytest

import rawgan
from rawgan import nn, ops, optim

PROMISED = {
    "evaluate": (
        "run, n=10000, seed=0, device='auto', data=None, classifier=None, data_dir=None, progress=True"
    ),
    "grad": "output, inputs, grad_outputs=None, create_graph=False",
    "gradcheck": "f, *tensors, kw order=1",
    "load": "path, generator=None, discriminator=None, device='auto'",
    "manual_seed": "seed",
    "no_grad": "",
    "tensor": "value, dtype=None, device=None, requires_grad=False",
    "train": (
        "recipe=None, kw generator=None, kw discriminator=None, kw data=None, kw epochs=None, "
        "kw steps=None, kw device='auto', kw seed=None, kw out=None, kw resume=False, "
        "kw callbacks=(), kw progress=True, kw warnings=True, kw checkpoint_every=None, "
        "kw sample_every=None, kw data_dir=None, **settings"
    ),
    "use_device": "device",
    "use_kernels": "choice",
    "use_precision": "name",
    "nn.BatchNorm": "num_features, eps=1e-05, momentum=0.1",
    "nn.Conv2d": "in_channels, out_channels, kernel_size, stride=1, padding=0, bias=True",
    "nn.ConvTranspose2d": (
        "in_channels, out_channels, kernel_size, stride=1, padding=0, output_padding=0, bias=True"
    ),
    "nn.Dense": "in_features, out_features, bias=True",
    "nn.Dropout": "p=0.5",
    "nn.Dropout2d": "p=0.5",
    "nn.LeakyReLU": "negative_slope=0.2",
    "nn.Maxout": "pieces=2",
    "nn.Reshape": "shape",
    "nn.Sequential": "*layers",
    "nn.SpectralNorm": "layer",
    "nn.frozen": "module",
    "ops.astype": "x, dtype",
    "ops.batch_norm": "x, scale, shift, eps=1e-05",
    "ops.batch_norm_fixed": "x, scale, shift, mean, variance, eps",
    "ops.batch_norm_with_statistics": "x, scale, shift, eps=1e-05",
    "ops.bce": "p, t",
    "ops.bce_with_logits": "x, t",
    "ops.broadcast_to": "x, shape",
    "ops.clip": "x, low=None, high=None",
    "ops.concatenate": "xs, axis=0",
    "ops.conv2d": "x, weight, bias=None, stride=1, padding=0",
    "ops.conv2d_weight_grad": "x, gy, kernel_size, stride=1, padding=0",
    "ops.conv_transpose2d": "x, weight, bias=None, stride=1, padding=0, output_padding=0",
    "ops.dense": "x, weight, bias=None",
    "ops.dropout": "x, p=0.5, generator=None, negative_slope=1.0",
    "ops.dropout2d": "x, p=0.5, generator=None, negative_slope=1.0",
    "ops.getitem": "x, index",
    "ops.leaky_relu": "x, negative_slope=0.2",
    "ops.log_softmax": "x, axis=-1",
    "ops.matmul": "a, b",
    "ops.max": "x, axis=None, keepdims=False",
    "ops.max_pool2d": "x, kernel_size, stride=None, padding=0",
    "ops.maxout": "x, pieces, axis=1",
    "ops.mean": "x, axis=None, keepdims=False",
    "ops.pad": "x, pad_width",
    "ops.perceptron": "x, weights, biases, slopes, squashed=False",
    "ops.reshape": "x, shape",
    "ops.sum": "x, axis=None, keepdims=False",
    "ops.to": "x, device",
    "ops.transpose": "x, axes=None",
    "ops.var": "x, axis=None, keepdims=False, ddof=0",
    "losses.adversarial": "name, probabilities=False, label_smoothing=0.0",
    "losses.bce": "probabilities, targets",
    "losses.bce_with_logits": "logits, targets",
    "losses.conjugate": "divergence",
    "losses.gradient_penalty": "D, real, fake, weight=10.0",
    "losses.kl_to_normal": "mean, log_variance",
    "losses.l2": "parameters",
    "losses.r1": "D, real, weight=10.0",
    "metrics.classifier": "name, train=True, device='auto', data_dir=None, progress=True",
    "metrics.frechet_distance": "real, fake",
    "metrics.frechet_from_moments": "real_mean, real_covariance, fake_mean, fake_covariance",
    "metrics.inception_score": "logits, splits=1",
    "metrics.kernel_inception_distance": "real, fake",
    "metrics.memorisation": "training, fake, held_out",
    "metrics.modes": "samples, centres, sigma, least=0.01",
    "metrics.nearest_neighbours": "samples, training",
    "metrics.precision_recall_density_coverage": "real, fake, k=5",
    "metrics.train_classifier": (
        "name, epochs=None, seed=0, device='auto', data_dir=None, progress=True, save=True"
    ),
    "optim.Adagrad": "params, lr, eps=1e-10",
    "optim.Adam": "params, lr=0.0002, betas=(0.5, 0.999), eps=1e-08",
    "rating.read_verdicts": "run, paths, device='auto'",
    "rating.write_page": (
        "run, path='rate.html', n=50, seed=0, device='auto', data=None, data_dir=None, progress=True"
    ),
    "tensorboard.TensorBoard": "logs, every=100, pictures=True",
    "tensorboard.export": "run, logs",
    "optim.RMSprop": "params, lr, rho=0.9, eps=1e-08",
    "optim.RMSpropPrinted": "params, lr, rho=0.9, eps=1e-08",
    "optim.SGD": "params, lr, momentum=0.0",
    "optim.clip_grad_norm": "params, max_norm",
    "optim.clip_grad_norm_each": "params, max_norm",
    "optim.clip_grad_value": "params, max_abs",
    "optim.grad_norms": "params",
    "optim.squared_norms": "params",
}
WITHOUT_SETTINGS = ["Flatten", "ReLU", "Sigmoid", "Softplus", "Tanh"]
INPUTS = {
    "x": ["abs", "exp", "log", "negate", "relu", "sigmoid", "softplus", "sqrt", "sum_to", "tanh"],
    "x y": ["add", "divide", "maximum", "minimum", "multiply", "power", "subtract"],
}


def found(name):
    thing = rawgan
    for part in name.split("."):
        thing = getattr(thing, part)
    return thing


def written(function):
    """A signature as in the table: "kw" stands before what only a keyword can give."""
    words = []
    for p in inspect.signature(function).parameters.values():
        word = {p.VAR_POSITIONAL: "*", p.VAR_KEYWORD: "**"}.get(p.kind, "") + p.name
        word += "" if p.default is p.empty else f"={p.default!r}"
        words.append(f"kw {word}" if p.kind is p.KEYWORD_ONLY else word)
    return ", ".join(words)


@pytest.mark.parametrize("name", PROMISED)
def test_parameters_and_defaults(name):
    assert written(found(name)) == PROMISED[name]


def test_no_public_name_is_left_out():
    listed = {name.split(".")[1] for name in PROMISED if name.startswith("ops.")}
    listed |= {name for names in INPUTS.values() for name in names}
    assert listed == set(ops.__all__) - {"OPS", "Op"}
    layers = {name.split(".")[1] for name in PROMISED if name.startswith("nn.")}
    assert layers | {*WITHOUT_SETTINGS, "Module"} == set(nn.__all__)


@pytest.mark.parametrize("name", WITHOUT_SETTINGS)
def test_layers_without_settings_take_none(name):
    assert written(getattr(nn, name)) == ""
    getattr(nn, name)()
    with pytest.raises(TypeError):
        getattr(nn, name)(1)


@pytest.mark.parametrize(("inputs", "name"), [(i, n) for i, names in INPUTS.items() for n in names])
def test_operations_on_elements(inputs, name):
    assert " ".join(ops.OPS[name].inputs) == inputs


def test_defaults_reach_what_they_are_for():
    """Not only the signature: each default does what the same value given does."""
    x = np.random.default_rng(0).standard_normal((6, 4)).astype(np.float32)
    ones = np.ones(4, np.float32)
    pairs = [
        (ops.leaky_relu(x), ops.leaky_relu(x, 0.2)),
        (nn.LeakyReLU()(x), ops.leaky_relu(x, 0.2)),
        (ops.batch_norm(x, ones, ones), ops.batch_norm(x, ones, ones, 1e-5)),
        (ops.concatenate([x, x]), np.concatenate([x, x], 0)),
        (ops.log_softmax(x), ops.log_softmax(x, 1)),
        (ops.maxout(x, 2), ops.maxout(x, 2, 1)),
    ]
    for default, given in pairs:
        np.testing.assert_array_equal(default, given)
    adam = optim.Adam([rawgan.tensor(1.0, requires_grad=True)])
    assert (adam.lr, adam.betas, adam.eps) == (2e-4, (0.5, 0.999), 1e-8)
    norm = nn.BatchNorm(4)
    norm(x)
    np.testing.assert_allclose(norm.running_mean, 0.1 * x.mean(0), rtol=1e-5)
    rng = rawgan.rng.Generator(0)
    kept = np.mean(ops.dropout(np.ones(20_000, np.float32), generator=rng) != 0)
    assert abs(kept - 0.5) <= 0.02
