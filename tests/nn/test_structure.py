"""Networks as JSON and back, for every layer."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layer_table import ROWS, drawn, values

import rawgan
from rawgan import nn
from rawgan.kernels.errors import ConfigError
from rawgan.nn.structure import describe, rebuild


@pytest.mark.parametrize("name", ROWS)
@settings(max_examples=10)
@given(data=st.data())
def test_every_layer_is_rebuilt(name, data):
    case = drawn(name, data)
    description = json.loads(json.dumps(describe(case.layer)))
    twin = rebuild(description)
    assert type(twin) is type(case.layer)
    assert repr(twin) == repr(case.layer)
    assert describe(twin) == describe(case.layer)
    twin.load_state_dict(case.layer.state_dict())
    x = rawgan.tensor(values(name, case.shape), dtype="float32")
    assert np.array_equal(twin.eval()(x).data, case.layer.eval()(x).data)


def test_keywords_and_numpy_numbers_are_plain_json():
    net = nn.Sequential(
        nn.Conv2d(1, np.int64(2), kernel_size=(3, 4), bias=False), nn.Dropout(p=np.float32(0.5))
    )
    twin = rebuild(json.loads(json.dumps(describe(net))))
    assert repr(twin) == repr(net)
    assert list(twin.state_dict()) == ["0.weight"]
    assert twin[1].p == 0.5


def test_a_class_of_ones_own_is_named_but_not_built():
    class Mine(nn.Dense):
        pass

    description = describe(nn.Sequential(Mine(2, 3)))
    assert description["args"][0]["parameters"] == {"weight": [3, 2], "bias": [3]}
    with pytest.raises(ConfigError, match=r"Mine is not part of rawgan: make it yourself"):
        rebuild(description)


@pytest.mark.parametrize("description", [{"layer": "Dnese"}, {}, {"layer": "frozen"}, {"layer": "layers"}])
def test_unknown_layers(description):
    with pytest.raises(ConfigError, match="there is no layer"):
        rebuild(description)


def test_a_key_that_no_description_has():
    with pytest.raises(ConfigError, match="Dense: a layer's description has no 'arg'"):
        rebuild({"layer": "Dense", "args": [2, 3], "arg": []})
