"""Chains of dense layers and leaky ReLUs, one layer after another."""

from .activation import leaky_relu, leaky_relu_grad
from .linear import dense, matmul


def perceptron(x, weights, biases, slopes):
    """h = leaky_relu(h Wᵀ + b) for each layer; all of them."""
    outputs = []
    for weight, bias, slope in zip(weights, biases, slopes, strict=True):
        x = leaky_relu(dense(x, weight, bias), slope)
        outputs.append(x)
    return tuple(outputs)


def perceptron_grad(gy, x, outputs, weights, slopes, wanted):
    """From the last layer to the first: z̄ = h̄ ⊙ slope, W̄ = z̄ᵀ h, b̄ = Σ z̄, h̄ = z̄ W."""
    gradients = []
    for i in reversed(range(len(weights))):
        gz = leaky_relu_grad(gy, outputs[i], slopes[i])
        if wanted[1]:
            gradients = [matmul(gz.T, outputs[i - 1] if i else x), gz.sum(axis=0), *gradients]
        gy = matmul(gz, weights[i])
    return (gy, *gradients) if wanted[0] else tuple(gradients)
