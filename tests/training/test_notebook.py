"""What a notebook shows of a run and of a tensor."""

import base64
import io
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from tiny_runs import quick

import rawgan


@pytest.mark.parametrize("recipe", ["mlp", "mixture", "vae"])
def test_a_run(recipe):
    run = quick(recipe)
    found = run._repr_html_()
    assert f"{run.history['step'][-1]:.4g}" in found
    assert "script" not in found
    assert found.count("<polyline") == (1 if recipe == "vae" else 2)
    if recipe == "mixture":
        assert len(list(ET.fromstring(found).iter("circle"))) == 500
    else:
        from PIL import Image

        data = re.search(r"data:image/png;base64,([^\"]+)", found)[1]
        picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))
        assert picture.shape[0] > 16
        assert picture.std() > 0


def test_a_run_that_has_not_begun(tmp_path):
    run = quick("mlp", steps=1)
    run._rows = {name: values[:0] for name, values in run.history.items()}
    run.stopped = "<callback>"
    assert "the last step" not in run._repr_html_()
    assert "&lt;callback&gt;" in run._repr_html_()


def test_a_tensor():
    x = rawgan.tensor([[1.0, -2.0]], requires_grad=True)
    y = x * 3
    y.sum().backward()
    assert "a leaf" in x._repr_html_()
    assert "from 3 to 3, mean 3" in x._repr_html_()  # its gradient
    assert "made by multiply" in y._repr_html_()
    assert "[[ 3. -6.]]" in y._repr_html_()
    assert "constant" in rawgan.tensor(np.zeros((0, 3)))._repr_html_()
    assert len(rawgan.tensor(np.zeros((1000, 1000)))._repr_html_()) < 2000
    for tensor in (x, y):
        ET.fromstring(tensor._repr_html_())
