"""Products over windows as jobs of the team: however images are cut into parts, and whoever computes them."""

import numpy as np
import pytest

from rawgan import kernels
from rawgan.kernels.cpu import convolution, team

NAMES = ["conv2d", "conv_transpose2d", "conv2d_weight_grad"]
LAYERS = ["17@13 - 29@7 5x5", "96@15 - 40@5 3x3"]


def sample(name, layer, images):
    arguments = kernels.KERNELS[name].contract.cases[layer](np.random.default_rng(0))
    return {key: v[:images] if key in ("x", "gy") else v for key, v in arguments.items()}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize(("images", "room"), [(1, 8 << 20), (5, 8 << 20), (37, 8 << 20), (37, 1)])
def test_any_number_of_images_at_a_time(name, layer, images, room, monkeypatch):
    """With room for one image's windows at a time, sums over a group's images are sums of theirs."""
    monkeypatch.setattr(convolution, "CHUNK_BYTES", room)
    arguments = sample(name, layer, images)
    got = getattr(kernels, name)(**arguments)
    exact = {k: v.astype(np.float64) if isinstance(v, np.ndarray) else v for k, v in arguments.items()}
    wanted = getattr(kernels, name)(**exact)
    assert got.dtype == np.float32
    assert np.abs(got - wanted).max() <= 1e-5 * np.abs(wanted).max()


@pytest.mark.parametrize("name", NAMES)
def test_the_same_bits_from_any_team(name, monkeypatch):
    arguments = sample(name, LAYERS[0], 37)
    results = []
    for threads in (1, 2, 4):
        crew = team.Team(threads)
        monkeypatch.setattr(team, "team", lambda crew=crew: crew)
        results += [getattr(kernels, name)(**arguments) for _ in range(3)]
    for other in results[1:]:
        np.testing.assert_array_equal(results[0], other)
