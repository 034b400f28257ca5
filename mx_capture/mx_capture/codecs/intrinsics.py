"""Single machine instructions and hints that numba does not offer itself."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

_BIT = ir.IntType(1)


@intrinsic
def trailing_zeros(typing_context, mask):
    """The index of the lowest set bit of a uint64 that is not 0."""

    def generate(context, builder, signature, arguments):
        return builder.cttz(arguments[0], ir.Constant(_BIT, 1))

    return types.uint64(types.uint64), generate


@intrinsic
def bit_count(typing_context, mask):
    """The number of set bits of a uint64."""

    def generate(context, builder, signature, arguments):
        return builder.ctpop(arguments[0])

    return types.uint64(types.uint64), generate


@intrinsic
def unlikely(typing_context, condition):
    """The condition itself; tells the compiler to keep what depends on it out of the fast path."""

    def generate(context, builder, signature, arguments):
        kind = ir.FunctionType(_BIT, [_BIT, _BIT])
        expect = cgutils.get_or_insert_function(builder.module, kind, "llvm.expect.i1")
        return builder.call(expect, [arguments[0], ir.Constant(_BIT, 0)])

    return types.boolean(types.boolean), generate
