"""Pictures of one size made from pictures of another, for networks built for 28x28.

>>> import numpy as np
>>> resize_images(np.full((5, 1, 8, 8), 255, np.uint8), 28).shape
(5, 1, 28, 28)
"""

from __future__ import annotations

import math

import numpy as np

from rawgan.kernels.errors import ConfigError


def resize_images(items: np.ndarray, size: int) -> np.ndarray:
    """(N, C, H, W) pictures as (N, C, size, size), of the same type.

    Set on black, centred, and enlarged by the largest whole factor that fits, so that every pixel is
    treated alike: 8x8 becomes 24x24 with a border of 2 in 28x28, as MNIST's digits have one. Pictures
    too large are shrunk to fit, keeping their proportions. Bicubic, cut off at black and white.
    """
    if size < 1:
        raise ConfigError(f"size is a whole number from 1 on, got {size}")
    from PIL import Image

    count, channels, height, width = items.shape
    longest = max(height, width)
    scale = size // longest if size >= longest else size / longest
    # Black is put around the small picture, not the large one, so that strokes at its edge fade out.
    top, left = (size - height * scale) // 2 / scale, (size - width * scale) // 2 / scale
    margin = math.ceil(max(size / scale - height, size / scale - width))
    planes = np.pad(items.reshape(-1, height, width), ((0, 0), (margin, margin), (margin, margin)))
    corner = margin - left, margin - top
    box = *corner, corner[0] + size / scale, corner[1] + size / scale
    out = np.empty((count * channels, size, size), items.dtype)
    for plane, target in zip(planes, out, strict=True):
        # Pillow filters uint8 in whole numbers: the same bytes on every machine.
        target[:] = Image.fromarray(plane).resize((size, size), Image.Resampling.BICUBIC, box)
    if items.dtype != np.uint8:
        np.clip(out, 0, 1, out=out)  # bicubic overshoots at edges; Pillow cuts only uint8 off
    return out.reshape(count, channels, size, size)
