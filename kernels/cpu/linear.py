"""Matrix products: ours (`gemm.py`) in float32, on threads that are awake; BLAS for the rest.

In microseconds for m k n = 256 128 128: OpenBLAS 118 on one thread, and no faster on a pool that must be
woken; our product 114 on one thread, with the bias added as it goes, and 65 on two. 128 784 128: 350, 331 and
180. Outer products, 256 1 128: 63 and 17; with wide rows, each written in one go, 256 1 512: by tiles 58, and
12, 128 1 6272: 91 and 60. Where B does not fit the second cache, a part's columns of it do, and BLAS on as
many threads is behind there too: 128 100 12544 (the first layer of a DCGAN) 2530 and 2020, 128 1024 512: 1020
and 840, 2 512 2048: 380 and 150, 1024 1024 1024: 13.7 and 13.2 ms.

A single row or column reads one matrix once and needs no tiles: rows in memory order, times a vector, are
sums (128 128 1: 12.5 by BLAS, which must be kept to one thread, and 8.5 here; 128 6272 1: 72 and 70), and a
vector times rows adds them up (1 128 784: 13.5 and 11; 1 128 6272: 64 and 61) in the order of the tiles.

Where sums are long and the result is small, as in gradients of a layer's input with 12544 outputs or of a
convolution by 1x1, each part has its own piece of all sums, and so of A and B: 16 12544 100 took 675 by BLAS,
which cannot cut so few columns, and 64 12544 100 2300; so 412 and 1260, and PyTorch 467 and 1360.

A weight's gradient Aᵀ B over a batch that is long beside it is summed in `pieces` of the batch, because in a
chain (`perceptron.py`) each thread so reads what it has written; a layer alone loses by it: 128 256 128 took
58, and takes 65.

BLAS keeps float64, and of the products with so large a B the ones
cut by rows, where every part would pack all of B (8192 512 1024: 51 ms, and 52 here), or with few columns,
which make few and unequal parts.
"""

from functools import cache, lru_cache

import numpy as np
from numba import types

from .gemm import NO, WIDE, pack, panels_shape, product
from .jit import entry, fusing, jit, summing
from .memory import fresh, location, scratch
from .pool import run, single_threaded_blas
from .team import arguments, even, run_parts, share, team
from .vector import LANES, address, floats, on_stack

# Multiply-adds worth a thread's while: waking one takes as long as two million of them.
SHARE = 1 << 22
LARGEST = 1 << 18  # floats of B that fit the second cache
PART = 1 << 18  # multiply-adds to a part, which a helper takes in a few microseconds
LEAST = 1 << 16  # and to one of two, of which half the time is calling a helper
MOST_PARTS = 8
TERMS = 64  # of a partial sum
DEEP = 4  # times as many numbers in a sum as there are rows or columns
NUMBERS = 1 << 15  # of a matrix to a part of its product with a vector
LONG = 256  # numbers of a row of an outer product
FEW = 4  # parts at most of a vector times rows


ROWS, COLUMNS, DEPTH = range(3)  # by what C is cut


def pieces(m: int, k: int, n: int) -> int:
    """Of how many partial sums those of k numbers are made in C (m, n) = Aᵀ B, a weight's gradient.

    Where the rows of A and B, the batch's, are many, a thread so reads those that it has written.
    """
    return 1 << max(1, min(k // max(m, n, TERMS), MOST_PARTS)).bit_length() - 1


@lru_cache(maxsize=256)
def plan(m: int, k: int, n: int, summed: bool = False, gradient: bool = False) -> tuple[int, int, int] | None:
    """(by what C (m, n) of sums of k is cut, from one part to the next, parts); None where BLAS is faster.

    By depth where A and B are long and C is small, or where asked to (`summed`), or where a weight's gradient
    is to be made of `pieces` (`gradient`): no part reads what another does. By columns where there are
    enough: no part packs what another does. Else by rows, each of which packs all of B.

    >>> plan(128, 128, 1024), plan(16, 12544, 100), plan(8192, 512, 1024)
    ((1, 128, 8), (2, 1568, 8), None)
    """
    if gradient and pieces(m, k, n) > 1:
        step = -(-k // pieces(m, k, n))
        return DEPTH, step, -(-k // step)
    large = n * k > LARGEST
    if summed or (large and k >= DEEP * max(m, n)):
        cut, side, unit = DEPTH, k, 1
    elif n > m or (n >= 4 * WIDE and 4 * n >= m):
        cut, side, unit = COLUMNS, n, WIDE
    else:
        cut, side, unit = ROWS, m, 6
    if large and (cut == ROWS or side < MOST_PARTS * unit):
        return None
    work = m * n * k
    parts = max(1, min(max(work // PART, min(2, work // LEAST)), MOST_PARTS, side // unit))
    parts = 1 << parts.bit_length() - 1
    step = -(-side // (parts * unit)) * unit
    return cut, step, -(-side // step)


def _part(number, place):
    """Rows, columns or terms of sums number · step ... of C = A B, with their part of B packed here."""
    words = arguments(place)
    a, a_step, a_transposed = words[0], words[1], words[2]
    b, b_transposed, bias, biased = words[3], words[4], words[5], words[6]
    panels, c, m, n, k, step, cut = words[7], words[8], words[9], words[10], words[11], words[12], words[13]
    first, last = number * step, (number + 1) * step
    top, bottom = (first, min(last, m)) if cut == ROWS else (0, m)
    left, right = (first, min(last, n)) if cut == COLUMNS else (0, n)
    begin, end = (first, min(last, k)) if cut == DEPTH else (0, k)
    # All parts but the last have as many panels.
    count = -(-(right - left) // WIDE)
    before = number * (-(-step // WIDE) if cut == COLUMNS else count)
    mine = panels + 4 * before * ((step if cut == DEPTH else k) + 1) * WIDE
    room = floats(mine, (count, end - begin + 1, WIDE))
    shift = floats(bias, n if biased and begin == 0 else 0)[left:right]
    whole = floats(b, (n, k) if b_transposed else (k, n))
    part = whole[left:right, begin:end] if b_transposed else whole[begin:end, left:right]
    pack(part, b_transposed, shift, room)
    corner = a + 4 * (begin * a_step + top if a_transposed else top * a_step + begin)
    to = c + 4 * (top * n + left + (number * m * n if cut == DEPTH else 0))
    rows, columns, terms = bottom - top, right - left, end - begin
    product(corner, a_step, a_transposed, mine, to, n, rows, columns, terms, NO, mine, 0, mine, 0)


@cache
def _entries():
    return entry(_part), entry(_rows_part), entry(_columns_part)


@cache
def _outer_entry():
    return entry(_outer_part)


_told = on_stack(types.int64, 14)


@jit
def _multiply(a, a_transposed, b, b_transposed, bias, panels, c, sums, plan, board, function, helpers):
    """sums: (parts, m, n) where C is cut by depth, added up in order whoever computed them."""
    cut, step, parts = plan
    m, n = c.shape
    k = a.shape[0] if a_transposed else a.shape[1]
    words = _told()
    words[0], words[1], words[2] = address(a), a.shape[1], a_transposed
    words[3], words[4] = address(b), b_transposed
    words[5], words[6] = address(bias), bias.size
    words[7], words[8] = address(panels), address(sums) if cut == DEPTH else address(c)
    words[9], words[10], words[11], words[12], words[13] = m, n, k, step, cut
    share(board, function, words, parts, helpers)
    for i in range(m if cut == DEPTH else 0):
        total = c[i]
        for part in range(parts):
            row = sums[part, i]
            for j in range(total.size):
                total[j] = row[j] if part == 0 else total[j] + row[j]


@summing
def _dots(p, q, r, s, v):
    """The products of four rows with v, which is read once for all."""
    one = two = three = four = np.float32(0)
    for i in range(v.size):
        number = v[i]
        one += p[i] * number
        two += q[i] * number
        three += r[i] * number
        four += s[i] * number
    return one, two, three, four


@jit
def rows_times(rows, v, out, m, k):
    """Addresses of rows (m, k), a vector (k) and their products (m), four at a time."""
    vector, found = floats(v, k), floats(out, m)
    for i in range(0, m, 4):
        part = floats(rows + 4 * i * k, (min(4, m - i), k))
        last = len(part) - 1
        four = _dots(part[0], part[min(1, last)], part[min(2, last)], part[last], vector)
        found[i], found[i + min(1, last)], found[i + min(2, last)], found[i + last] = four


def _rows_part(number, place):
    """Rows number · step ... times a vector."""
    words = arguments(place)
    rows, v, out, m, k, step = words[0], words[1], words[2], words[3], words[4], words[5]
    first = number * step
    rows_times(rows + 4 * first * k, v, out + 4 * first, min(step, m - first), k)


def _times_vector(rows, v, out):
    """out = rows v, for C-contiguous rows (m, k)."""
    m, k = rows.shape
    v = np.ascontiguousarray(v)
    step = max(1, NUMBERS // (4 * k)) * 4
    run_parts(_entries()[1], (location(rows), location(v), location(out), m, k, step), -(-m // step))


@fusing
def _add_rows(total, v, rows, step):
    """total = Σ v[i] rows[i], each sum in order, as in a tile of `gemm`; four rows at a time.

    rows: the address of the first; step: bytes from one to the next.
    """
    n = total.size
    for j in range(total.size):
        total[j] = np.float32(0)
    whole = v.size - v.size % 4
    for i in range(0, whole, 4):
        a, b, c, d = v[i], v[i + 1], v[i + 2], v[i + 3]
        p, q = floats(rows + i * step, n), floats(rows + (i + 1) * step, n)
        r, s = floats(rows + (i + 2) * step, n), floats(rows + (i + 3) * step, n)
        for j in range(total.size):
            total[j] = total[j] + a * p[j] + b * q[j] + c * r[j] + d * s[j]
    for i in range(whole, v.size):
        number, row = v[i], floats(rows + i * step, n)
        for j in range(total.size):
            total[j] += number * row[j]


@fusing
def add_multiple(total, factor, row):
    """total += factor · the row at an address: of a gradient's few rows one, in the order of the tiles."""
    numbers = floats(row, total.size)
    for j in range(total.size):
        total[j] += factor * numbers[j]


def _columns_part(number, place):
    """Columns number · step ... of a vector times rows, summed in pieces."""
    words = arguments(place)
    rows, v, out, n, k, step = words[0], words[1], words[2], words[3], words[4], words[5]
    first, piece = number * step, words[6]
    total, numbers = floats(out + 4 * first, min(step, n - first)), floats(v, k)
    more = np.empty(total.size if piece < k else 0, np.float32)
    _add_rows(total, numbers[:piece], rows + 4 * first, 4 * n)
    for begin in range(piece, k, piece):
        _add_rows(more, numbers[begin : begin + piece], rows + 4 * (begin * n + first), 4 * n)
        for j in range(total.size):
            total[j] += more[j]


def _vector_times(v, rows, out):
    """out = v rows, for C-contiguous rows (k, n), in `pieces` as a weight's gradient is."""
    k, n = rows.shape
    v = np.ascontiguousarray(v)
    parts = max(1, min(n * k // NUMBERS, FEW))  # wide ones: memory is read ahead along a row
    step = -(-n // (parts * LANES)) * LANES
    piece = -(-k // pieces(1, k, n))
    run_parts(_entries()[2], (location(rows), location(v), location(out), n, k, step, piece), -(-n // step))


@fusing
def _scale(row, number, out):
    """out = number · row + 0, as the tiles begin their sums: never −0."""
    zero = np.float32(0)
    for j in range(out.size):
        out[j] = number * row[j] + zero


def _outer_part(number, place):
    """Rows number · step ... of a column times a row."""
    words = arguments(place)
    m, n, step = words[3], words[4], words[5]
    column, row = floats(words[0], m), floats(words[1], n)
    for i in range(number * step, min(m, (number + 1) * step)):
        _scale(row, column[i], floats(words[2] + 4 * i * n, n))


def _outer(column, row, out):
    """out = column row, by whole rows: tiles would write six of them by turns, a line of each."""
    m, n = out.shape
    column, row = np.ascontiguousarray(column), np.ascontiguousarray(row)
    step = even(m, max(1, NUMBERS // n))
    words = location(column), location(row), location(out), m, n, step
    run_parts(_outer_entry(), words, -(-m // step))


NO_BIAS = np.empty(0, np.float32)
NO_SUMS = np.empty((0, 0, 0), np.float32)


def _in_order(x):
    """(array, whether it is x transposed) with the array in C order."""
    if x.flags.c_contiguous:
        return x, False
    if x.T.flags.c_contiguous:
        return x.T, True
    return np.ascontiguousarray(x), False


def _product(a, b, bias=None, summed=False):
    """a b + bias for matrices; summed: see `plan`."""
    m, k = a.shape
    n = b.shape[1]
    out = fresh((m, n), a.dtype)
    single = min(m, n) == 1 and k > 1
    ours = a.dtype == np.float32 and min(m, n, k) > 0
    if ours and k == 1 and bias is None and n >= LONG:
        _outer(a, b, out)
        return out
    gradient = not summed and a.T.flags.c_contiguous and b.flags.c_contiguous
    way = plan(m, k, n, summed, gradient) if ours and not single else None
    if way is None:
        rows, vector = (a, b) if n == 1 else (b.T, a)
        if single and ours and rows.flags.c_contiguous and m * n > 1:
            _times_vector(rows, vector, out)
        elif single and ours and rows.T.flags.c_contiguous:
            _vector_times(vector, rows.T, out)
        else:
            _by_blas(a, b, out)
        if bias is not None:
            out += bias
        return out
    a, a_transposed = _in_order(a)
    b, b_transposed = _in_order(b)
    cut, step, parts = way
    depth, across = (step, n) if cut == DEPTH else (k, step if cut == COLUMNS else n)
    count, *size = panels_shape(depth, across)
    panels = scratch("panels", (count * parts, *size), out.dtype)
    sums = scratch("sums", (parts, m, n), out.dtype) if cut == DEPTH else NO_SUMS
    shift = NO_BIAS if bias is None else np.ascontiguousarray(bias)
    with team().crew(parts) as (board, helpers):
        _multiply(
            a,
            a_transposed,
            b,
            b_transposed,
            shift,
            panels,
            out,
            sums,
            way,
            board,
            _entries()[0],
            helpers,
        )
    return out


def _by_blas(a, b, out):
    """out = a b, its longer side cut into 1, 2, 4, ... parts for the pool."""
    m, k = a.shape
    n = b.shape[1]
    side = max(m, n)
    parts = max(1, min(m * k * n // SHARE, side // 64, 16))
    step = -(-side // (1 << parts.bit_length() - 1))

    def task(i):
        part = slice(i * step, (i + 1) * step)
        if m >= n:
            np.matmul(a[part], b, out=out[part])
        else:
            np.matmul(a, b[:, part], out=out[:, part])

    with single_threaded_blas:
        run(task, -(-side // step) if side else 0)


def matmul(a, b):
    """See CONTRACTS["matmul"]."""
    if a.ndim == b.ndim == 2:
        return _product(a, b)
    with single_threaded_blas:
        return np.matmul(a, b)


def summed(a, b):
    """a b in float32, cut by depth: sums of many numbers, of which no part reads another's."""
    return _product(a, b, summed=True)


def dense(x, weight, bias):
    """See CONTRACTS["dense"]."""
    return _product(x, weight.T, bias)
