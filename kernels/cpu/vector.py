"""Vectors as explicit LLVM, for the few loops whose registers must be laid out by hand.

Numba turns plain loops into vectors by itself, but it does not keep a tile of sums in registers over a loop;
on AVX-512 it also stops at half the width. The intrinsics of this column are written with the helpers here,
over `<lanes x float>` values, and reach memory by address: `address(array)` inside a compiled function.

`SIMD` names the row of `WIDTHS` in use, chosen from what the processor has, or by RAWGAN_SIMD.
LLVM lowers vectors wider than the machine's registers to several of them, so every row runs everywhere; a row
that does not fit is only slower.
"""

import os
from typing import Any

import numpy as np
from llvmlite import binding, ir
from numba import extending, types
from numba.core.cgutils import unpack_tuple
from numba.np.arrayobj import populate_array

from ..errors import ConfigError

# An intrinsic is called without its first argument, which type checkers cannot know.
intrinsic: Any = extending.intrinsic

# name: (what the processor must have, float32 lanes of a register, registers to a row of a tile). A tile of
# 6 rows fills the 32 registers of AVX-512 with 24 sums and the 16 of the others with 12.
WIDTHS: dict[str, tuple[tuple[str, ...], int, int]] = {
    "avx512": (("avx512f", "fma"), 16, 4),
    "avx2": (("avx2", "fma"), 8, 2),
    "portable": ((), 4, 2),
}


def _chosen() -> str:
    name = os.environ.get("RAWGAN_SIMD")
    if name is None:
        features = binding.get_host_cpu_features()
        return next(n for n, (needs, _, _) in WIDTHS.items() if all(features.get(need) for need in needs))
    if name not in WIDTHS:
        raise ConfigError(f"RAWGAN_SIMD: got {name!r}; takes {', '.join(WIDTHS)}")
    return name


SIMD = _chosen()
LANES, VECTORS = WIDTHS[SIMD][1:]

FLOAT = ir.FloatType()
VECTOR = ir.VectorType(FLOAT, LANES)
INT = ir.IntType(64)
LINE = 64  # bytes that a cache moves at once


def pointer(builder: Any, address: Any) -> Any:
    return builder.inttoptr(address, FLOAT.as_pointer())


def constant(value: float) -> Any:
    """The same number in every lane."""
    return ir.Constant(VECTOR, [float(np.float32(value))] * LANES)


def load(builder: Any, base: Any, offset: Any) -> Any:
    """The vector at base + offset floats, which need not be aligned."""
    place = builder.bitcast(builder.gep(base, [offset]), VECTOR.as_pointer())
    return builder.load(place, align=4)


def store(builder: Any, vector: Any, base: Any, offset: Any) -> None:
    place = builder.bitcast(builder.gep(base, [offset]), VECTOR.as_pointer())
    builder.store(vector, place, align=4)


def stream(builder: Any, vector: Any, base: Any, offset: Any) -> None:
    """As `store`, past the caches, at a place where a vector begins: memory that is not read again soon."""
    place = builder.bitcast(builder.gep(base, [offset]), VECTOR.as_pointer())
    done = builder.store(vector, place, align=4 * LANES)
    done.set_metadata("nontemporal", builder.module.add_metadata([ir.IntType(32)(1)]))


def first_lanes(builder: Any, count: Any) -> Any:
    """The mask of a vector's first `count` lanes; any count."""
    word = ir.IntType(32)
    kind = ir.VectorType(word, LANES)
    count = builder.select(builder.icmp_signed("<", count, INT(LANES)), count, INT(LANES))
    undefined, zeros = ir.Constant(kind, ir.Undefined), ir.Constant(kind, [0] * LANES)
    single = builder.insert_element(undefined, builder.trunc(count, word), word(0))
    lanes = ir.Constant(kind, list(range(LANES)))
    return builder.icmp_signed("<", lanes, builder.shuffle_vector(single, undefined, zeros))


def _masked(builder: Any, name: str, result: Any, kinds: list[Any]) -> Any:
    name = f"llvm.masked.{name}.v{LANES}f32.p0"
    return builder.module.globals.get(name) or ir.Function(
        builder.module, ir.FunctionType(result, kinds), name
    )


def load_some(builder: Any, base: Any, offset: Any, mask: Any) -> Any:
    """As `load`; memory is read where the mask is set, and the other lanes are 0."""
    place = builder.bitcast(builder.gep(base, [offset]), VECTOR.as_pointer())
    word = ir.IntType(32)
    function = _masked(builder, "load", VECTOR, [place.type, word, mask.type, VECTOR])
    return builder.call(function, [place, word(4), mask, constant(0)])


def store_some(builder: Any, vector: Any, base: Any, offset: Any, mask: Any) -> None:
    """As `store`; memory is written where the mask is set."""
    place = builder.bitcast(builder.gep(base, [offset]), VECTOR.as_pointer())
    word = ir.IntType(32)
    function = _masked(builder, "store", ir.VoidType(), [VECTOR, place.type, word, mask.type])
    builder.call(function, [vector, place, word(4), mask])


def choose(builder: Any, key: Any, variants: dict[int, tuple], write: Any) -> None:
    """Writes write(*variant) for each variant, of which that runs whose number `key` is.

    A choice between literals in Numba's own code is typed and lowered anew for each of them.
    """
    end = builder.append_basic_block("chosen")
    blocks = {number: builder.append_basic_block(f"variant.{number}") for number in variants}
    chosen = builder.switch(key, next(iter(blocks.values())))
    for number, block in blocks.items():
        chosen.add_case(INT(number), block)
        builder.position_at_end(block)
        write(*variants[number])
        builder.branch(end)
    builder.position_at_end(end)


def spread(builder: Any, number: Any) -> Any:
    """A vector of one number."""
    undefined = ir.Constant(VECTOR, ir.Undefined)
    single = builder.insert_element(undefined, number, ir.IntType(32)(0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    return builder.shuffle_vector(single, undefined, zeros)


def multiply_add(builder: Any, a: Any, b: Any, c: Any) -> Any:
    """a · b + c, in one instruction where the processor has it."""
    name = f"llvm.fmuladd.v{LANES}f32"
    function = builder.module.globals.get(name)
    if function is None:
        kind = ir.FunctionType(VECTOR, [VECTOR] * 3)
        function = ir.Function(builder.module, kind, name)
    return builder.call(function, [a, b, c])


def prefetch(builder: Any, base: Any, offset: Any, written: bool = False) -> None:
    """Asks for the cache line at base + offset floats, to read it or to write there; no address is wrong."""
    name = "llvm.prefetch.p0"
    function = builder.module.globals.get(name)
    if function is None:
        word = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [FLOAT.as_pointer(), word, word, word])
        function = ir.Function(builder.module, kind, name)
    way, keep, data = (ir.IntType(32)(n) for n in (int(written), 3, 1))
    builder.call(function, [builder.gep(base, [offset]), way, keep, data])


@intrinsic
def address(typingctx, array):
    """Where an array's first element is.

    Numba frees an array that a function made as soon as its name is not used again, and does not see that its
    address is: such an array needs `keep(array)` after the last use of the address.
    """

    def generate(context, builder, signature, args):
        view = context.make_array(array)(context, builder, args[0])
        return builder.ptrtoint(view.data, INT)

    return types.int64(array), generate


@extending.register_jitable
def aligned(place):
    """The first address from `place` on where a cache line begins."""
    return (place + LINE - 1) & -LINE


@intrinsic
def keep(typingctx, array):
    """Does nothing; the array lives until here."""

    def generate(context, builder, signature, args):
        return context.get_dummy_value()

    return types.void(array), generate


def _numbers(kind):
    """An intrinsic: the array of numbers of a type that begins at an address, of a length or shape.

    In C order, and not freed. `numba.carray` gives the same, by functions of its own that are compiled for
    0.02 to 0.05 seconds in each that calls it.
    """

    @intrinsic
    def at(typingctx, place, shape):
        shaped = isinstance(shape, types.BaseTuple)
        array = types.Array(kind, len(shape) if shaped else 1, "C")

        def generate(context, builder, signature, args):
            given, kinds = (unpack_tuple(builder, args[1]), shape) if shaped else ([args[1]], [shape])
            sizes = [context.cast(builder, n, k, types.intp) for n, k in zip(given, kinds, strict=True)]
            strides = [INT(context.get_abi_sizeof(context.get_data_type(kind)))]
            for n in sizes[:0:-1]:
                strides.insert(0, builder.mul(strides[0], n))
            view = context.make_array(array)(context, builder)
            data = builder.inttoptr(args[0], context.get_data_type(kind).as_pointer())
            populate_array(view, data, sizes, strides, strides[-1], meminfo=None)
            return view._getvalue()

        return array(types.int64, shape), generate

    return at


def on_stack(kind, count):
    """An intrinsic: an array of `count` numbers, not set, that lives as long as the function that calls it.

    It takes none of the time of `np.empty`, at the first use 0.05 to 0.1 seconds in each function.
    """
    array = types.Array(kind, 1, "C")

    @intrinsic
    def room(typingctx):
        def generate(context, builder, signature, args):
            number = context.get_data_type(kind)
            with builder.goto_entry_block():  # elsewhere each turn of a loop would make another
                data = builder.alloca(ir.ArrayType(number, count))
            data.align = LINE
            size = INT(context.get_abi_sizeof(number))
            view = context.make_array(array)(context, builder)
            data = builder.bitcast(data, number.as_pointer())
            populate_array(view, data, [INT(count)], [size], size, meminfo=None)
            return view._getvalue()

        return array(), generate

    return room


integers, floats, doubles = (_numbers(kind) for kind in (types.int64, types.float32, types.float64))
int32s, unsigned = _numbers(types.int32), _numbers(types.uint32)
