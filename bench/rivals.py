"""The same result as each kernel's, by PyTorch: kernel name -> a function of the kernel's arguments.

The arguments come as PyTorch's tensors (`tensors`), and an output is what the kernel's is, so that a test
compares the two and autograd differentiates it. A kernel that has no row has no rival.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import torch
from torch.nn import functional as F

from rawgan.kernels.cpu.threads import thread_count
from rawgan.kernels.precision import precision

aten = torch.ops.aten


def arguments_of(name: str, values: dict[str, Any], device: str = "cpu") -> dict[str, Any]:
    """A kernel's arguments as PyTorch takes them.

    Pictures are contiguous, which is its own default and its users', but for the kernel whose whole work is
    another order of memory: `contiguous` of what is so already would be a plain copy.
    """
    order = "K" if name == "contiguous" else "C"
    return {key: tensors(value, device, order) for key, value in values.items()}


def tensors(value: Any, device: str = "cpu", order: Literal["C", "K"] = "C") -> Any:
    """A value's arrays as tensors, contiguous or (K) in the order of memory that they have."""
    if isinstance(value, list | tuple):
        return type(value)(tensors(v, device, order) for v in value)
    if not isinstance(value, np.ndarray):
        return value
    if value.dtype == np.uint32:
        value = value.view(np.int32)
    return torch.from_numpy(np.array(value, order=order)).to(device)


def settle() -> None:
    """PyTorch on as many threads as the kernels, and in their precision."""
    torch.set_num_threads(thread_count())
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = precision() == "tf32"
    torch.backends.cudnn.benchmark = True  # cuDNN looks for what suits the sizes, once


def settings() -> dict[str, Any]:
    """How PyTorch computes now, for the document."""
    return {
        "backends.cuda.matmul.allow_tf32": torch.backends.cuda.matmul.allow_tf32,
        "backends.cudnn.allow_tf32": torch.backends.cudnn.allow_tf32,
        "backends.cudnn.benchmark": torch.backends.cudnn.benchmark,
    }


def conv2d(x, weight, bias, stride, padding):
    return F.conv2d(x, weight, bias, stride, padding)


def conv_transpose2d(x, weight, bias, stride, padding, output_padding):
    return F.conv_transpose2d(x, weight, bias, stride, padding, output_padding)


def conv2d_weight_grad(x, gy, kernel_size, stride, padding):
    weight = x.new_empty((gy.shape[1], x.shape[1], *kernel_size))
    wanted = [False, True, False]
    ones, none = (1, 1), (0, 0)
    return aten.convolution_backward(gy, x, weight, None, stride, padding, ones, False, none, 1, wanted)[1]


def channel_sum(x):
    return x.sum((0, *range(2, x.ndim)))


def contiguous(x):
    return x.clone(memory_format=torch.contiguous_format)


def max_pool2d(x, kernel_size, stride, padding):
    return F.max_pool2d(x, kernel_size, stride, padding, return_indices=True)


def max_pool2d_gather(x, indices):
    return torch.gather(x.flatten(2), 2, indices.long().flatten(2)).view(indices.shape)


def max_pool2d_scatter(gy, indices, shape):
    plane = gy.new_zeros((*gy.shape[:2], shape[0] * shape[1]))
    return plane.scatter_add_(2, indices.long().flatten(2), gy.flatten(2)).view(*gy.shape[:2], *shape)


def batch_norm(x, scale, shift, eps):
    return aten.native_batch_norm(x, scale, shift, None, None, True, 0.1, eps)


def batch_norm_grad(gy, x, scale, mean, var, eps):
    inverse, wanted = (var + eps).rsqrt(), [True, True, True]
    return aten.native_batch_norm_backward(gy, x, scale, None, None, mean, inverse, True, eps, wanted)


def leaky_relu(x, negative_slope):
    return F.leaky_relu(x, negative_slope)


def leaky_relu_grad(gy, y, negative_slope):
    return aten.leaky_relu_backward(gy, y, negative_slope, True)


def log_softmax(x):
    return F.log_softmax(x, -1)


def log_softmax_grad(gy, y):
    return aten._log_softmax_backward_data(gy, y, -1, y.dtype)


def dropout(x, p, key, draw, channels, negative_slope):
    x = x if negative_slope == 1 else F.leaky_relu(x, negative_slope)
    return F.dropout2d(x, p) if channels and x.ndim == 4 else F.dropout(x, p)


def dropout_grad(gy, y, p, negative_slope):
    # PyTorch keeps a mask of bytes; here it is made on the way, which costs it little beside the pass itself.
    gh = aten.native_dropout_backward(gy, (y != 0) | ~y.signbit(), 1 / (1 - p))
    return gh if negative_slope == 1 else aten.leaky_relu_backward(gh, y, negative_slope, True)


def perceptron(x, weights, biases, slopes, squashed=False):
    outputs = []
    for weight, bias, slope in zip(weights, biases, slopes, strict=True):
        x = F.linear(x, weight, bias)
        x = x if slope == 1 else F.leaky_relu(x, slope)
        outputs.append(x)
    return (*outputs[:-1], torch.sigmoid(x)) if squashed else tuple(outputs)


def perceptron_grad(gy, x, outputs, weights, slopes, wanted, squashed=False):
    gy = aten.sigmoid_backward(gy, outputs[-1]) if squashed else gy
    found = []
    for i in reversed(range(len(weights))):
        gz = gy if slopes[i] == 1 else aten.leaky_relu_backward(gy, outputs[i], slopes[i], True)
        if wanted[1]:
            found = [gz.t() @ (outputs[i - 1] if i else x), gz.sum(0), *found]
        if i or wanted[0]:
            gy = gz @ weights[i]
    return (gy, *found) if wanted[0] else tuple(found)


def sigmoid_grad(gy, y):
    return aten.sigmoid_backward(gy, y)


def tanh_grad(gy, y):
    return aten.tanh_backward(gy, y)


def _with_slope(loss, x, t):
    x = x.detach().requires_grad_()
    with torch.enable_grad():
        mean = loss(x, t if isinstance(t, torch.Tensor) else torch.full_like(x, t))
    return mean.detach(), torch.autograd.grad(mean, [x])[0]


def bce(p, t):
    return _with_slope(F.binary_cross_entropy, p, t)


def bce_with_logits(x, t):
    return _with_slope(F.binary_cross_entropy_with_logits, x, t)


def philox_words(out, key, draw):
    return out.random_()


def philox_uniform(out, key, draw):
    return out.uniform_()


def philox_normal(out, key, draw):
    return out.normal_()


def gather(items, table, row, low, high):
    picked = items[table[row % len(table)]]
    if picked.dtype == torch.uint8:
        return (picked / (255 / (high - low))).add_(low)
    return picked if (low, high) == (0, 1) else (picked * (high - low)).add_(low)


def sum_squares(xs):
    return torch.stack(aten._foreach_norm(xs)).double().square_()


def clip_norm(xs, sums, limit, each):
    norms = (sums if each else sums.sum()).sqrt()
    factors = torch.where(norms.isfinite(), (limit / norms).clamp(max=1.0), 1.0).to(xs[0].dtype)
    aten._foreach_mul_(xs, factors.unbind() if each else factors)


def clip_value(xs, limit):
    aten._foreach_clamp_max_(xs, limit)
    aten._foreach_clamp_min_(xs, -limit)


def adam(params, grads, ms, vs, lr, beta1, beta2, eps, step):
    rates = {"lr": lr, "beta1": beta1, "beta2": beta2, "weight_decay": 0.0, "eps": eps}
    steps = [torch.tensor(float(step), device=p.device) for p in params]
    flags = {"amsgrad": False, "maximize": False}
    aten._fused_adam_(params, grads, ms, vs, [], steps, **rates, **flags)


def sgd(params, grads, vs, lr, momentum):
    rates = {"lr": lr, "momentum": momentum, "weight_decay": 0.0, "dampening": 0.0}
    flags = {"nesterov": False, "maximize": False, "is_first_step": False}
    aten._fused_sgd_(params, grads, vs, **rates, **flags)


def rmsprop(params, grads, vs, lr, rho, eps):
    aten._foreach_mul_(vs, rho)
    aten._foreach_addcmul_(vs, grads, grads, 1 - rho)
    aten._foreach_addcdiv_(params, grads, aten._foreach_add(aten._foreach_sqrt(vs), eps), -lr)


def adagrad(params, grads, sums, lr, eps):
    steps = [torch.ones((), device=p.device) for p in params]
    rates = {"lr": lr, "lr_decay": 0.0, "weight_decay": 0.0, "eps": eps}
    aten._fused_adagrad_(params, grads, sums, steps, **rates, maximize=False)


CALLS: dict[str, Callable[..., Any]] = {
    "matmul": torch.matmul,
    "dense": F.linear,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    **{
        call.__name__: call
        for call in (
            conv2d,
            conv_transpose2d,
            conv2d_weight_grad,
            channel_sum,
            contiguous,
            max_pool2d,
            max_pool2d_scatter,
            max_pool2d_gather,
            batch_norm,
            batch_norm_grad,
            leaky_relu,
            leaky_relu_grad,
            dropout,
            dropout_grad,
            sigmoid_grad,
            tanh_grad,
            log_softmax,
            log_softmax_grad,
            bce,
            bce_with_logits,
            perceptron,
            perceptron_grad,
            philox_words,
            philox_uniform,
            philox_normal,
            gather,
            sum_squares,
            clip_norm,
            clip_value,
            adam,
            sgd,
            rmsprop,
            adagrad,
        )
    },
}
