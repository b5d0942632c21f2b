"""The roof of what computes: what is multiplied there is what it says."""

import numpy as np
import pytest

from rawgan.kernels.cpu import peak
from rawgan.kernels.cpu.threads import thread_count


@pytest.mark.parametrize("rounds", [1, 2, 30])
def test_every_sum_is_multiplied_so_often(rounds):
    sums, operations = peak.multiply(rounds)
    np.testing.assert_array_equal(sums, np.float32(2 - 2.0 ** (1 - rounds)))
    assert len(sums) == thread_count()
    assert operations == 2 * sums.size * rounds
