"""Convolutions as matrix products over windows.

With the windows of some images as the rows of a matrix (`windows.py`), a convolution is that matrix times the
weights, and a transposed one a product whose rows are added back into the image, with nothing multiplied by
the zeros between strides.

Windows of one pixel, or of the whole image, need no copies. In float32, images of one or three channels are
left to `thin.py`, and shapes for which an algorithm with fewer products is known and pays to `fast.py`.
float64 is always done here, with BLAS for the products.

Images are taken in chunks that depend on the shapes alone, so results do not depend on the number of threads.
"""

import numpy as np

from ..checks import conv_output_size, conv_transpose_output_size
from . import thin, windows
from .fast import Fast, Shape, fast
from .layout import channels_first, channels_last, swap_last, taps_first
from .linear import dense, matmul, summed
from .memory import fresh, scratch
from .pool import run, run_blocks, single_threaded_blas
from .team import even

CHUNK_ROWS = 512  # windows to a product: enough to repay BLAS for repacking the weights
CHUNK_BYTES = 8 << 20
GROUPS = 8  # partial sums of a weight gradient


def _windows_lie_apart(image, kernel, stride, padding) -> bool:
    """Whether the windows are channels-last memory as it is: a kernel of one pixel, or of the whole image."""
    return padding == (0, 0) and (kernel == image or (kernel == (1, 1) and stride == (1, 1)))


def _chunk(images: int, places: int, row_bytes: int) -> int:
    """Images to a chunk, of which there are 8 or more where there are as many images."""
    wanted = -(-CHUNK_ROWS // max(1, places))
    fitting = CHUNK_BYTES // max(1, places * row_bytes)
    return even(images, max(1, min(wanted, fitting, -(-images // 8))))


def _fast(x, weight_shape, image, plane, stride, padding) -> Fast | None:
    """The fast path where there is one; x gives the number of images and the dtype."""
    if x.dtype != np.float32:
        return None
    o, c, *kernel = weight_shape
    return fast(Shape(len(x), c, o, *map(tuple, (image, plane, kernel, stride, padding))))


def conv2d(x, weight, bias, stride=(1, 1), padding=(0, 0)):
    """See CONTRACTS["conv2d"]."""
    n, c, h, w = x.shape
    o, _, kh, kw = weight.shape
    p, q = conv_output_size(h, kh, stride[0], padding[0]), conv_output_size(w, kw, stride[1], padding[1])
    if quick := _fast(x, weight.shape, (h, w), (p, q), stride, padding):
        return channels_first(quick.conv2d(channels_last(x), weight, bias))
    if thin.pays(c, o, x.dtype):
        return channels_first(thin.conv2d(channels_last(x), weight, bias, (p, q), stride, padding))
    matrix = taps_first(weight)
    if _windows_lie_apart((h, w), (kh, kw), stride, padding):
        return channels_first(
            dense(channels_last(x).reshape(n * p * q, -1), matrix, bias).reshape(n, p, q, o)
        )
    images = channels_last(x).reshape(n, h, w * c)
    y = fresh((n, p, q, o), x.dtype)
    rows = y.reshape(n * p * q, o)
    taps = kh * kw * c
    chunk = _chunk(n, p * q, taps * x.itemsize)
    geometry = (q, (stride[0], stride[1] * c), (padding[0], padding[1] * c), (kh, kw * c))
    if x.dtype == np.float32 and y.size and taps:
        windows.convolve(images, windows.packed(matrix, True, bias), rows, chunk, geometry)
        return channels_first(y)

    def task(i):
        start, stop = i * chunk, min(n, (i + 1) * chunk)
        seen = scratch("windows", ((stop - start) * p * q, taps), x.dtype)
        windows.gather(images, seen, start, stop, *geometry)
        part = rows[start * p * q : stop * p * q]
        np.matmul(seen, matrix.T, out=part)
        if bias is not None:
            np.add(part, bias, out=part)

    with single_threaded_blas:
        run(task, -(-n // chunk))
    return channels_first(y)


def conv_transpose2d(x, weight, bias, stride=(1, 1), padding=(0, 0), output_padding=(0, 0)):
    """See CONTRACTS["conv_transpose2d"]."""
    n, c, h, w = x.shape
    _, o, kh, kw = weight.shape
    out_h = conv_transpose_output_size(h, kh, stride[0], padding[0], output_padding[0])
    out_w = conv_transpose_output_size(w, kw, stride[1], padding[1], output_padding[1])
    if quick := _fast(x, weight.shape, (out_h, out_w), (h, w), stride, padding):
        return channels_first(quick.conv_transpose2d(channels_last(x), weight, bias))
    if thin.transpose_pays(x, weight, stride):
        image = out_h, out_w
        return channels_first(thin.conv_transpose2d(channels_last(x), weight, bias, image, stride, padding))
    rows = channels_last(x).reshape(n * h * w, c)
    matrix = taps_first(weight)
    if _windows_lie_apart((out_h, out_w), (kh, kw), stride, padding):
        shift = None if bias is None else np.tile(bias, kh * kw)
        return channels_first(dense(rows, matrix.T, shift).reshape(n, out_h, out_w, o))
    shift = np.zeros(o, x.dtype) if bias is None else np.ascontiguousarray(bias)
    y = fresh((n, out_h, out_w, o), x.dtype)
    images = y.reshape(n, out_h, out_w * o)
    taps = kh * kw * o
    chunk = _chunk(n, h * w, taps * x.itemsize)
    geometry = (w, (stride[0], stride[1] * o), (padding[0], padding[1] * o), (kh, kw * o))
    if x.dtype == np.float32 and rows.size and y.size:
        windows.spread(rows, windows.packed(matrix, False), images, chunk, geometry, shift)
        return channels_first(y)

    def task(i):
        start, stop = i * chunk, min(n, (i + 1) * chunk)
        seen = scratch("windows", ((stop - start) * h * w, taps), x.dtype)
        np.matmul(rows[start * h * w : stop * h * w], matrix, out=seen)
        windows.scatter(seen, images, shift, start, stop, *geometry)

    with single_threaded_blas:
        run(task, -(-n // chunk))
    return channels_first(y)


def conv2d_weight_grad(x, gy, kernel_size, stride=(1, 1), padding=(0, 0)):
    """See CONTRACTS["conv2d_weight_grad"]."""
    n, c, h, w = x.shape
    _, o, p, q = gy.shape
    kh, kw = kernel_size
    if quick := _fast(x, (o, c, kh, kw), (h, w), (p, q), stride, padding):
        gw = quick.conv2d_weight_grad(channels_last(x), channels_last(gy))
        return swap_last(gw, kh * kw, c).reshape(o, c, kh, kw)
    if thin.pays(c, o, x.dtype):
        return thin.conv2d_weight_grad(channels_last(x), channels_last(gy), (kh, kw), stride, padding)
    rows, taps = channels_last(gy).reshape(n * p * q, o), kh * kw * c
    if _windows_lie_apart((h, w), (kh, kw), stride, padding):
        multiply = matmul if p * q == 1 else summed
        gw = multiply(rows.T, channels_last(x).reshape(n * p * q, taps))
        return swap_last(gw, kh * kw, c).reshape(o, c, kh, kw)
    images = channels_last(x).reshape(n, h, w * c)
    geometry = (q, (stride[0], stride[1] * c), (padding[0], padding[1] * c), (kh, kw * c))
    group = max(1, -(-n // GROUPS))
    chunk = min(group, max(1, CHUNK_BYTES // max(1, p * q * taps * x.itemsize)))
    partial = scratch("partial", (-(-n // group), o, taps), x.dtype)
    if x.dtype == np.float32 and rows.size and taps:
        windows.correlate(images, rows, partial, group, chunk, geometry)
        return swap_last(_add_up(partial), kh * kw, c).reshape(o, c, kh, kw)

    def task(i):
        last = min(n, (i + 1) * group)
        for start in range(i * group, last, chunk):
            stop = min(last, start + chunk)
            seen = scratch("windows", ((stop - start) * p * q, taps), x.dtype)
            windows.gather(images, seen, start, stop, *geometry)
            upstream = rows[start * p * q : stop * p * q].T
            if start == i * group:
                np.matmul(upstream, seen, out=partial[i])
            else:
                product = scratch("product", (o, taps), x.dtype)
                np.matmul(upstream, seen, out=product)
                np.add(partial[i], product, out=partial[i])

    with single_threaded_blas:
        run(task, -(-n // group))
    return swap_last(_add_up(partial), kh * kw, c).reshape(o, c, kh, kw)


def _add_up(partial):
    """The sum over the first axis, in order, which does not depend on who computes it."""
    total = fresh(partial.shape[1:], partial.dtype)
    terms, sums = partial.reshape(len(partial), total.size), total.reshape(-1)
    run_blocks(lambda start, stop: terms[:, start:stop].sum(0, out=sums[start:stop]), total.size)
    return total
