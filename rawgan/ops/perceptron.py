"""Chains of dense layers as one operation, which spares a small network most of its time."""

from __future__ import annotations

from rawgan import kernels
from rawgan.engine import Tensor, op
from rawgan.ops.activation import leaky_relu, leaky_relu_x, sigmoid, sigmoid_x
from rawgan.ops.linear import dense, dense_bias, dense_weight, dense_x
from rawgan.ops.shape import as_input


def _parts(inputs):
    """(x, weights, biases) of a chain's inputs x, W₁, b₁, W₂, b₂, ..."""
    return inputs[0], inputs[1::2], inputs[2::2]


@op("perceptron", keeps=("hidden",))
def _perceptron(xp, *inputs, slopes, squashed):
    """Dense layers and leaky ReLUs one after another: hᵢ = max(zᵢ, 0) + sᵢ min(zᵢ, 0), zᵢ = hᵢ₋₁ Wᵢᵀ + bᵢ.

    squashed: y = σ(h) of the last.
    """
    outputs = kernels.perceptron(*_parts(inputs), slopes, squashed)
    return outputs[-1], outputs[:-1]


@_perceptron.share
def perceptron_outputs(inputs, slopes, squashed):
    x, weights, biases = _parts(inputs)
    outputs = [x]
    for weight, bias, slope in zip(weights, biases, slopes, strict=True):
        outputs.append(leaky_relu(dense(outputs[-1], weight, bias), slope))
    if squashed:
        outputs[-1] = sigmoid(outputs[-1])
    return {"outputs": outputs}


@_perceptron.rule(
    "inputs",
    formula="h̄ᵢ₋₁ = z̄ᵢ Wᵢ,  W̄ᵢ = z̄ᵢᵀ hᵢ₋₁,  b̄ᵢ = Σₙ z̄ᵢ,  where z̄ᵢ = h̄ᵢ ⊙ (1 where hᵢ > 0, else sᵢ), "
    "and h̄ = ȳ ⊙ y ⊙ (1 − y) where squashed",
)
def perceptron_inputs(gy, position, inputs, outputs, slopes, squashed):
    _, weights, _ = _parts(inputs)
    gy = sigmoid_x(gy, outputs[-1]) if squashed else gy
    for i in reversed(range(len(weights))):
        gz = leaky_relu_x(gy, outputs[i + 1], slopes[i])
        if position == 2 * i + 1:
            return dense_weight(gz, outputs[i])
        if position == 2 * i + 2:
            return dense_bias(gz)
        gy = dense_x(gz, weights[i])
    return gy


@_perceptron.fuse
def perceptron_fused(gy, wanted, inputs, hidden, y, slopes, squashed):
    x, weights, _ = _parts(inputs)
    asked = wanted[0], any(wanted[1:])
    found = kernels.perceptron_grad(gy, x, [*hidden, y], weights, slopes, asked, squashed)
    return found if wanted[0] else (None, *found)


def perceptron(x, weights, biases, slopes, squashed=False):
    """Dense layers with leaky ReLUs between them, in one go: what `nn.Sequential` makes of its dense layers.

    x (N, I₀), weights (I₁, I₀), (I₂, I₁), ..., biases (Iᵢ,) or None; slopes of each layer's leaky ReLU, 0
    for ReLU, 1 for none; squashed: whether a sigmoid follows the last, whose slope is then 1. The same as
    `leaky_relu(dense(...))` repeated, gradients included, but for the time.
    """
    inputs = [as_input(x)]
    for pair in zip(weights, biases, strict=True):
        inputs += pair
    inputs = [v if type(v) is Tensor else as_input(v, i > 0 and i % 2 == 0) for i, v in enumerate(inputs)]
    return _perceptron(*inputs, slopes=tuple(slopes), squashed=bool(squashed))
