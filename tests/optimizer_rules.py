"""The optimisers' rules for one number, in plain Python, as the papers print them."""

import math

# (x, g, t, state, ...) -> x; `state` starts at 0.


def sgd(x, g, t, state, lr, momentum=0.0):
    state["v"] = momentum * state.get("v", 0.0) + g
    return x - lr * state["v"]


def rmsprop(x, g, t, state, lr, rho=0.9, eps=1e-8):
    state["v"] = rho * state.get("v", 0.0) + (1 - rho) * g * g
    return x - lr * g / (math.sqrt(state["v"]) + eps)


def rmsprop_printed(x, g, t, state, lr, rho=0.9, eps=1e-8):
    before = state.get("v", 0.0)
    state["v"] = rho * before + (1 - rho) * g * g
    return x - lr * g / math.sqrt(before + eps)


def adagrad(x, g, t, state, lr, eps=1e-10):
    state["s"] = state.get("s", 0.0) + g * g
    return x - lr * g / (math.sqrt(state["s"]) + eps)


def adam(x, g, t, state, lr=2e-4, betas=(0.5, 0.999), eps=1e-8):
    b1, b2 = betas
    state["m"] = b1 * state.get("m", 0.0) + (1 - b1) * g
    state["v"] = b2 * state.get("v", 0.0) + (1 - b2) * g * g
    return x - lr * (state["m"] / (1 - b1**t)) / (math.sqrt(state["v"] / (1 - b2**t)) + eps)
