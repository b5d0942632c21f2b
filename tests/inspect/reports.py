"""What the tests of reports share: reading a page back, and recordings to be reported."""

import json
import re

import numpy as np

import rawgan

TINY = {"batch_size": 8, "noise": 4, "hidden": 4, "device": "cpu", "progress": False, "warnings": False}


def embedded(page):
    """The data of a page, as its scripts read them."""
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    return json.loads(text)


def decoded(picture, key="data"):
    """The float32 numbers of a picture."""
    import base64

    return np.frombuffer(base64.b64decode(picture[key]), "<f4")


def chain(nodes):
    """A recording of a chain of about so many operations on a small matrix, outside of layers."""
    x = rawgan.tensor(np.linspace(-1, 1, 64, dtype=np.float32).reshape(8, 8), requires_grad=True)
    with rawgan.inspect.record() as tape:
        y = x
        for i in range((nodes - 2) // 2):
            y = rawgan.ops.tanh(y) if i % 2 else y * 1.01
            y = y + x
        y.sum().backward()
    return tape


def layers(count):
    """A recording of a perceptron of many layers: about four nodes for each."""
    from rawgan import losses, nn

    rawgan.manual_seed(0)
    made = [part for _ in range(count) for part in (nn.Dense(6, 6), nn.LeakyReLU(0.2))]
    network = nn.Sequential(*made).label("deep")
    with rawgan.inspect.record() as tape:
        out = network(rawgan.tensor(np.random.default_rng(0).normal(size=(5, 6)).astype(np.float32)))
        losses.bce_with_logits(out, 1.0).backward()
    return tape


HOSTILE = "</script><img src=x onerror=alert(1)>&amp;\"'{{data}}"


def hostile():
    """A recording whose layer, parameter and title hold what a page must not believe."""
    from rawgan import nn

    network = nn.Sequential(nn.Dense(3, 2), nn.Tanh()).label(HOSTILE)
    x = rawgan.tensor(np.ones((2, 3), np.float32))
    with rawgan.inspect.record() as tape:
        network(x).sum().backward()
    tape.title = HOSTILE
    return tape
