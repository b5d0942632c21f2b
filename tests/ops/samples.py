"""The table of sample inputs for every operation of `rawgan.ops.OPS`, one row each.

A row says how to draw a case, whether the operation or its rules call kernels, and whether its value rule is
analytic, so that it can be computed at complex numbers. An operation without a row, or a row without an
operation, stops the collection of the tests.
"""

import samples_elementwise  # noqa: F401 (each adds its rows to the table)
import samples_pictures  # noqa: F401
import samples_shapes  # noqa: F401
from drawing import SAMPLES

from rawgan.engine import OPS

missing, extra = sorted(set(OPS) - set(SAMPLES)), sorted(set(SAMPLES) - set(OPS))
if missing or extra:
    raise RuntimeError(f"operations without samples: {missing}; samples without operations: {extra}")
