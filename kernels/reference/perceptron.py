"""Chains of dense layers and leaky ReLUs, one layer after another, and a sigmoid."""

from .activation import leaky_relu, leaky_relu_grad
from .linear import dense, matmul
from .sigmoid import sigmoid, sigmoid_grad


def perceptron(x, weights, biases, slopes, squashed=False):
    """h = leaky_relu(h Wᵀ + b) for each layer, of the last σ(h); all of them."""
    outputs = []
    for weight, bias, slope in zip(weights, biases, slopes, strict=True):
        x = leaky_relu(dense(x, weight, bias), slope)
        outputs.append(x)
    return (*outputs[:-1], sigmoid(outputs[-1])) if squashed else tuple(outputs)


def perceptron_grad(gy, x, outputs, weights, slopes, wanted, squashed=False):
    """From the last layer to the first: z̄ = h̄ ⊙ slope, W̄ = z̄ᵀ h, b̄ = Σ z̄, h̄ = z̄ W."""
    gy = sigmoid_grad(gy, outputs[-1]) if squashed else gy
    gradients = []
    for i in reversed(range(len(weights))):
        gz = leaky_relu_grad(gy, outputs[i], slopes[i])
        if wanted[1]:
            gradients = [matmul(gz.T, outputs[i - 1] if i else x), gz.sum(axis=0), *gradients]
        gy = matmul(gz, weights[i])
    return (gy, *gradients) if wanted[0] else tuple(gradients)
