"""Matrix products in registers: C = A B, float32, for any kernel of this column to call.

    panels = np.empty(panels_shape(k, n), np.float32)
    pack(b, b_transposed, bias, panels)    # B in the order in which the tile reads it
    product(address(a), a_step, a_transposed, address(panels), address(c), c_step, m, n, k, NO, *ahead)

The ladder, after Goto and van de Geijn, "Anatomy of high-performance matrix multiplication" (2008):

- A tile of C, 6 rows by `WIDE` columns, stays in registers while k runs: each step loads one row of B
  once and each number of A once, for 6 · WIDE multiply-adds.
- B is packed into panels WIDE columns wide, so the tile reads it in one stream; a panel's first row is the
  bias, from which the sums start. Of a last panel with few columns a tile has a vector less, or one alone,
  and masks keep it from what is not C's: m n k = 96 48 512 at 137 -> 215 Gflop/s a core of AVX-512.
- k is cut into blocks of at most `DEPTH`, so that a panel's block stays in the nearest cache (or twice that
  where there are `FEW` rows: 81 -> 84 Gflop/s a core for 12 rows and a k of 512); the rows into
  groups of `HEIGHT`, whose block of A stays in the next, and the columns of `BREADTH`, for the same reason. A
  transposed A is copied block by block: read in place, its rows fell on each other in the cache (66 -> 82
  Gflop/s of one core for m k n = 1024 256 128, AVX2; OpenBLAS 79).
- B is packed by vectors, and the matrices of the next product are asked for ahead: 50 -> 72 Gflop/s a core
  over the planes of `fast.py`, which lie in the third cache.
- While a panel's first tile is computed, the next panel is asked for: 72 to 76 -> 82 to 86 Gflop/s a core
  of 90 where few rows meet many panels (`chunks.py`: 12 or 24 rows, panels of 3 to 13 MB).

With AVX-512 (Zen 5) it makes 200 to 220 Gflop/s on one core and 350 to 430 on two, where OpenBLAS makes 100
and 210.

Every element of C is summed over k in the same order whatever part of C is asked for, so a product may be cut
among threads anywhere and comes out in the same bits.
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils

from .jit import jit
from .vector import (
    INT,
    LANES,
    LINE,
    VECTOR,
    VECTORS,
    address,
    choose,
    first_lanes,
    intrinsic,
    load,
    load_some,
    multiply_add,
    on_stack,
    pointer,
    prefetch,
    spread,
    store,
    store_some,
)

WIDE = LANES * VECTORS
DEPTH = min(256, (1 << 13) // WIDE)  # a block of a panel takes 32 KB at most
HEIGHT = 96
FEW = 24  # rows that meet a panel too seldom for it to be worth keeping near
BREADTH = 256
TILES = 6, 4, 1  # rows
AHEAD = max(LINE, 4 * WIDE)  # bytes asked for in each step of a tile: as many as it reads of a panel
WIDTHS = sorted({VECTORS, max(1, VECTORS - 1), 1})  # vectors of a tile; fewer where no more columns are left
NO, YES = 0, 1  # what `product` and `pack` take: True and False are types of their own


def sums_in_registers(
    builder,
    k,
    heads,
    along,
    b,
    b_step,
    start,
    start_step,
    c,
    c_step,
    ahead=None,
    vectors=VECTORS,
    columns=None,
):
    """Writes the loop over k of a tile: C = start + A B, a row for each of `heads`, columns in `vectors`.

    Row r of A has its number i at heads[r] + along(i) floats; b_step floats lie between rows of B. Each step
    asks the cache for AHEAD more bytes from `ahead` on. Of start and C there may be fewer `columns`.
    """
    every = [(r, v) for r in range(len(heads)) for v in range(vectors)]
    places = [builder.add(builder.mul(INT(r), start_step), INT(v * LANES)) for r, v in every]
    if columns is None:
        first = [load(builder, start, place) for place in places]
    else:
        masks = [first_lanes(builder, builder.sub(columns, INT(v * LANES))) for v in range(vectors)]
        first = [
            load_some(builder, start, place, masks[v]) for (_, v), place in zip(every, places, strict=True)
        ]

    before = builder.block
    loop, after = (builder.function.append_basic_block(name) for name in ("sum", "done"))
    builder.branch(loop)
    builder.position_at_end(loop)
    i = builder.phi(INT)
    i.add_incoming(INT(0), before)
    sums = [builder.phi(VECTOR) for _ in every]
    row = builder.mul(i, b_step)
    seen = [load(builder, b, builder.add(row, INT(v * LANES))) for v in range(vectors)]
    if ahead is not None:
        line = builder.mul(i, INT(AHEAD // 4))
        for j in range(0, AHEAD // 4, LINE // 4):
            prefetch(builder, ahead, builder.add(line, INT(j)))
    place = along(i)
    numbers = [spread(builder, builder.load(builder.gep(head, [place]))) for head in heads]
    new = [
        multiply_add(builder, numbers[r], seen[v], total) for (r, v), total in zip(every, sums, strict=True)
    ]
    following = builder.add(i, INT(1))
    i.add_incoming(following, loop)
    for total, begun, added in zip(sums, first, new, strict=True):
        total.add_incoming(begun, before)
        total.add_incoming(added, loop)
    builder.cbranch(builder.icmp_signed("<", following, k), loop, after)

    builder.position_at_end(after)
    places = [builder.add(builder.mul(INT(r), c_step), INT(v * LANES)) for r, v in every]
    if columns is None:
        for place, total in zip(places, new, strict=True):
            store(builder, total, c, place)
        return
    whole = builder.icmp_signed(">=", columns, INT(vectors * LANES))
    with builder.if_else(whole) as (all_of_it, some_of_it):
        with all_of_it:  # with a mask of AVX2 a store takes several times as long
            for place, total in zip(places, new, strict=True):
                store(builder, total, c, place)
        with some_of_it:
            for (_, v), place, total in zip(every, places, new, strict=True):
                store_some(builder, total, c, place, masks[v])


@intrinsic
def tile(typingctx, rows, transposed, k, a, a_step, b, start, start_step, c, c_step, columns, ahead):
    """C = start + A B for 6, 4 or 1 rows and `columns` columns, of which at most WIDE count, in registers.

    All int64: addresses, and steps in floats between rows. A is (rows, k), or (k, rows) where transposed;
    start_step may be 0.
    """

    def generate(context, builder, signature, args):
        rows, transposed, k, a, a_step, b, start, start_step, c, c_step, columns, ahead = args
        a, b, start, c, ahead = (pointer(builder, p) for p in (a, b, start, c, ahead))

        def write(count, flipped, vectors):
            heads = [
                builder.gep(a, [INT(r) if flipped else builder.mul(INT(r), a_step)]) for r in range(count)
            ]

            def along(i):
                return builder.mul(i, a_step) if flipped else i

            step = INT(WIDE)
            sums_in_registers(
                builder, k, heads, along, b, step, start, start_step, c, c_step, ahead, vectors, columns
            )

        variants = {}
        for count in TILES:
            for flipped in (NO, YES):
                for which, vectors in enumerate(WIDTHS):
                    variants[8 * count + 4 * flipped + which] = count, flipped, vectors
        key = builder.add(builder.mul(rows, INT(8)), builder.mul(transposed, INT(4)))
        for vectors in WIDTHS[:-1]:
            more = builder.icmp_signed(">", columns, INT(vectors * LANES))
            key = builder.add(key, builder.zext(more, INT))
        choose(builder, key, variants, write)
        return context.get_dummy_value()

    return types.void(*[types.int64] * 12), generate


@intrinsic
def _copy(typingctx, source, target, count):
    """Copies `count` floats from one address to another."""

    def generate(context, builder, signature, args):
        source, target, count = args
        cgutils.raw_memcpy(builder, pointer(builder, target), pointer(builder, source), count, 4)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), generate


@jit
def tile_rows(rest):
    """Rows of the next tile where `rest` are left, one of TILES; 8 is two fours."""
    return 6 if rest >= 10 or rest == 6 else 4 if rest >= 4 else 1


@jit
def _block(a, a_step, transposed, b, start, start_step, b_step, c, c_step, size, ask):
    """One block of `product`: start is where the sums begin, the panels' first rows (step 0) or C itself.

    size: (m, n, k). b_step: floats between panels, for b and, where start_step is 0, for start. ask: (then,
    ahead, reach); the cache is asked for the panel at `then`, needed next, and for up to `reach` bytes from
    `ahead` on. Returns for how many of these.
    """
    m, n, k = size
    then, ahead, reach = ask
    asked = 0
    for left in range(0, n, WIDE):
        panel = b + 4 * (left // WIDE * b_step)
        i = 0
        while i < m:
            rows = tile_rows(m - i)
            mine = a + 4 * (i if transposed else i * a_step)
            to = c + 4 * (i * c_step + left)
            origin = start + 4 * (i * start_step + left if start_step else left // WIDE * b_step)
            line = panel
            if i == 0:
                line = panel + 4 * b_step if left + WIDE < n else then
            elif asked < reach:
                line = ahead + asked
                asked += AHEAD * k
            tile(rows, transposed, k, mine, a_step, panel, origin, start_step, to, c_step, n - left, line)
            i += rows
    return asked


_aside = on_stack(types.float32, HEIGHT * DEPTH)  # rows of Aᵀ, side by side


@jit
def product(a, a_step, transposed, panels, c, c_step, m, n, k, more, ahead, reach, later, later_reach):
    """C (m, n) = bias + A B, from addresses, or C + A B if `more`; k is at least 1.

    A is (m, k) with a_step floats between rows, or (k, m) where transposed; C has c_step between rows; B and
    the bias are `panels` as `pack` wrote them. Meanwhile the `reach` bytes from `ahead` on, which the caller
    will need next, come nearer, then those from `later` on.
    """
    copied = transposed and n >= 4 * WIDE
    aside = address(_aside())
    most = 2 * DEPTH if m <= FEW and not copied else DEPTH
    depth = -(-k // -(-k // most))
    b_step = (k + 1) * WIDE
    for left in range(0, n, BREADTH):
        columns = min(BREADTH, n - left)
        panel = panels + 4 * (left // WIDE * b_step)
        for below in range(0, k, depth):
            steps = min(depth, k - below)
            b = panel + 4 * (below + 1) * WIDE
            for top in range(0, m, HEIGHT):
                rows = min(HEIGHT, m - top)
                corner = below * a_step + top if transposed else top * a_step + below
                mine, mine_step = a + 4 * corner, a_step
                if copied:
                    for i in range(steps):
                        _copy(mine + 4 * i * a_step, aside + 4 * i * HEIGHT, rows)
                    mine, mine_step = aside, HEIGHT
                to = c + 4 * (top * c_step + left)
                start, start_step = (to, c_step) if below or more else (panel, 0)
                if top + HEIGHT < m:
                    then = b
                elif below + depth < k:
                    then = b + 4 * depth * WIDE
                elif left + BREADTH < n:
                    then = panel + 4 * (BREADTH // WIDE * b_step)
                else:
                    then = ahead
                size, ask = (rows, columns, steps), (then, ahead, reach)
                asked = _block(
                    mine, mine_step, transposed, b, start, start_step, b_step, to, c_step, size, ask
                )
                ahead += asked
                reach -= asked
                if reach <= 0:
                    ahead, reach, later_reach = later, later_reach, 0


def panels_shape(k: int, n: int) -> tuple[int, int, int]:
    """The shape of the array that `pack` fills for B of (k, n)."""
    return -(-n // WIDE), k + 1, WIDE


@intrinsic
def turn(typingctx, source, source_step, target, target_step):
    """The transpose of LANES rows of LANES floats; addresses, and floats between rows.

    Exchanging the off-diagonal quarters of all 2x2 squares, then of all 4x4 ones, and so on.
    """

    def generate(context, builder, signature, args):
        source, source_step, target, target_step = args
        source, target = pointer(builder, source), pointer(builder, target)
        rows = [load(builder, source, builder.mul(INT(r), source_step)) for r in range(LANES)]
        half = 1
        while half < LANES:
            low = [lane if not lane & half else LANES + (lane ^ half) for lane in range(LANES)]
            high = [lane | half if not lane & half else LANES + lane for lane in range(LANES)]
            for r in range(LANES):
                if not r & half:
                    pair = rows[r], rows[r | half]
                    for place, lanes in ((r, low), (r | half, high)):
                        mask = ir.Constant(ir.VectorType(ir.IntType(32), LANES), lanes)
                        rows[place] = builder.shuffle_vector(*pair, mask)
            half *= 2
        for r, row in enumerate(rows):
            store(builder, row, target, builder.mul(INT(r), target_step))
        return context.get_dummy_value()

    return types.void(*[types.int64] * 4), generate


@jit
def pack(b, transposed, bias, panels):
    """panels[p] = the bias, then the rows of B, at columns p · WIDE ...; zero beyond B's last column.

    b is B (k, n), or (n, k) where transposed, with the floats of a row side by side; bias is (n,), or empty
    for zeros.
    """
    n = b.shape[0] if transposed else b.shape[1]
    k = panels.shape[1] - 1
    step = b.strides[0] // 4
    for p in range(len(panels)):
        left = p * WIDE
        right = min(n, left + WIDE)
        panel = panels[p]
        panel[0] = 0
        if bias.size:
            for j in range(right - left):
                panel[0, j] = bias[left + j]
        source, target = address(b), address(panel) + 4 * WIDE
        whole = 0
        if transposed:
            source += 4 * left * step
            if right - left == WIDE:
                whole = k // LANES * LANES
                for j in range(0, WIDE, LANES):
                    for i in range(0, whole, LANES):
                        turn(source + 4 * (j * step + i), step, target + 4 * (i * WIDE + j), WIDE)
            for i in range(whole, k):
                row = panel[i + 1]
                row[right - left :] = 0
                for j in range(right - left):
                    row[j] = b[left + j, i]
        else:
            source += 4 * left
            if right - left == WIDE:
                whole = k
                for i in range(k):
                    _copy(source + 4 * i * step, target + 4 * i * WIDE, WIDE)
            for i in range(whole, k):
                panel[i + 1, right - left :] = 0
                _copy(source + 4 * i * step, target + 4 * i * WIDE, right - left)
