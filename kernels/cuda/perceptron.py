"""Chains of dense layers: products that end with bias and leaky rectifier; backwards, with its gradient.

A sigmoid at the end is a launch of its own.
"""

from .activation import leaky_relu_grad
from .linear import product, sum_rows
from .sigmoid import sigmoid, sigmoid_grad


def perceptron(x, weights, biases, slopes, squashed=False):
    """See CONTRACTS["perceptron"]."""
    outputs = []
    for weight, bias, slope in zip(weights, biases, slopes, strict=True):
        x = product(x, weight.T, bias, slope)
        outputs.append(x)
    return (*outputs[:-1], sigmoid(x)) if squashed else tuple(outputs)


def perceptron_grad(gy, x, outputs, weights, slopes, wanted, squashed=False):
    """See CONTRACTS["perceptron_grad"]."""
    gy = sigmoid_grad(gy, outputs[-1]) if squashed else gy
    gz = gy if slopes[-1] == 1 else leaky_relu_grad(gy, outputs[-1], slopes[-1])
    gradients = []
    for i in reversed(range(len(weights))):
        if wanted[1]:
            gradients = [product(gz.T, outputs[i - 1] if i else x), sum_rows(gz), *gradients]
        if i:
            gate = None if slopes[i - 1] == 1 else outputs[i - 1]
            gz = product(gz, weights[i], slope=slopes[i - 1], gate=gate)
    return (product(gz, weights[0]), *gradients) if wanted[0] else tuple(gradients)
