"""What numba does not offer: single instructions, a hint, and a cache that knows its sources.

numba keeps compiled code beside the file of a function, and compiles anew when that file changes,
but not when only a function or a constant that it uses from another file did: it would then run
old code on new tables. So functions that use other files are made by a factory that takes
`source_stamp` of these files and refers to it: what a function closes over is part of its key in
the cache. What they call is not cached by itself.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

_BIT = ir.IntType(1)


def source_stamp(*files: str) -> str:
    """A digest of the contents of source files."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(Path(file).read_bytes())
    return digest.hexdigest()


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
