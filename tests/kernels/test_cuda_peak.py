"""The roof of TF32 products: what is multiplied there is what it says."""

import numpy as np
import pytest

from rawgan.kernels.cuda import host, peak

pytestmark = pytest.mark.skipif(not host.has_compiler(), reason="needs a C++ compiler")


def fragments(rows, columns, first):
    r, c, f = np.ogrid[:rows, :columns, first : first + peak.FRAGMENTS]
    return ((r * 37 + c * 11 + f * 29) * 101 % 127 - 63) / 64


@pytest.mark.parametrize(("blocks", "rounds"), [(1, 1), (2, 5), (1, 0)])
def test_all_pairs_are_multiplied_so_often(blocks, rounds):
    a, b = fragments(16, 8, 0), fragments(8, 8, peak.FRAGMENTS)
    wanted = rounds * np.einsum("ikf,kjg->ij", a, b)
    y, operations = peak.multiply(host.on_device(np.empty(0, np.float32)), blocks, rounds)
    np.testing.assert_array_equal(np.asarray(y), np.broadcast_to(wanted, (blocks, 16, 8)).astype(np.float32))
    pairs = peak.FRAGMENTS**2
    assert operations == pairs * blocks * peak.WARPS * rounds * 2 * 16 * 8 * 8


def test_the_numbers_are_exact_in_tf32_and_all_sorts():
    drawn = fragments(16, 8, 0).astype(np.float32)
    assert not (drawn.view(np.uint32) & 0x1FFF).any()
    assert len(np.unique(drawn)) > 80
    assert np.abs(drawn).max() < 1
