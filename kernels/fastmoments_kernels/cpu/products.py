"""The three products of a layer with Gaussian weights, of a few rows and columns at a time, in vector registers."""

from typing import Any

import llvmlite.binding as llvm
import llvmlite.ir as ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

# Bytes of a vector, and rows and vectors of columns whose two sums and six weights fill the registers
VECTOR, ROWS, VECTORS = (64, 6, 2) if llvm.get_host_cpu_features().get("avx512f") else (32, 2, 2)


def width(itemsize: int) -> int:
    """Columns that are done together."""
    return VECTORS * VECTOR // itemsize


class _Vectors:
    """Vectors of a number type in a function being built."""

    def __init__(self, builder: Any, real: Any) -> None:
        self.builder, self.size = builder, real.bitwidth // 8
        lanes = VECTOR // self.size
        number = ir.FloatType() if self.size == 4 else ir.DoubleType()
        self.type = ir.VectorType(number, lanes)
        self._first = ir.Constant(ir.VectorType(ir.IntType(32), lanes), None)
        kind = ir.FunctionType(self.type, [self.type] * 3)
        name = f"llvm.fma.v{lanes}f{real.bitwidth}"
        self._fma = cgutils.get_or_insert_function(builder.module, kind, name)

    def _address(self, base: Any, vectors: int) -> Any:
        address = self.builder.gep(base, [ir.IntType(64)(vectors * VECTOR // self.size)])
        return self.builder.bitcast(address, self.type.as_pointer())

    def load(self, base: Any, vectors: int) -> Any:
        """The vector that so many follow `base`."""
        return self.builder.load(self._address(base, vectors), align=self.size)

    def store(self, value: Any, base: Any, vectors: int) -> None:
        """Write it there."""
        self.builder.store(value, self._address(base, vectors), align=self.size)

    def filled(self, base: Any, index: Any) -> Any:
        """The number at an index everywhere."""
        undefined, number = ir.Constant(self.type, ir.Undefined), self.builder.load(self.builder.gep(base, [index]))
        single = self.builder.insert_element(undefined, number, ir.IntType(32)(0))
        return self.builder.shuffle_vector(single, undefined, self._first)

    def fma(self, a: Any, b: Any, c: Any) -> Any:
        """A b + c."""
        return self.builder.call(self._fma, [a, b, c])


@intrinsic
def add_products(
    context: Any, mu: Any, var: Any, square: Any, first: Any, weights: Any, biases: Any, mean_out: Any, var_out: Any
) -> Any:
    """mu M^T + b into mean_out and var S^T + square V^T + c into var_out, of ROWS rows and `width` columns.

    mu, var and square (rows, depth) are read from row `first` on, beyond the last row that again; weights (depth, 3,
    width) are M, S and V by columns, biases (2, width) b and c; outputs (ROWS * width,). All are contiguous.
    """

    def emit(lowering: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        views = [
            lowering.make_array(kind)(lowering, builder, value) if isinstance(kind, types.Array) else value
            for kind, value in zip(signature.args, arguments, strict=True)
        ]
        vectors, index = _Vectors(builder, mu.dtype), ir.IntType(64)
        rows, depth = (builder.extract_value(views[0].shape, axis) for axis in (0, 1))
        places = [(r, v) for r in range(ROWS) for v in range(VECTORS)]
        last, begin = builder.sub(rows, index(1)), []
        for r in range(ROWS):
            row = builder.add(views[3], index(r))
            row = builder.select(builder.icmp_signed("<", row, last), row, last)
            begin.append(builder.mul(row, depth))
        # variables that LLVM keeps in registers
        totals = [
            [cgutils.alloca_once_value(builder, vectors.load(views[5].data, s * VECTORS + v)) for _, v in places]
            for s in range(2)
        ]
        with cgutils.for_range(builder, depth) as loop:
            of_k = builder.gep(views[4].data, [builder.mul(loop.index, index(3 * VECTORS * VECTOR // vectors.size))])
            own = [[vectors.load(of_k, m * VECTORS + v) for v in range(VECTORS)] for m in range(3)]
            for r in range(ROWS):
                at = builder.add(begin[r], loop.index)
                x, spread, squared = (vectors.filled(view.data, at) for view in views[:3])
                for v in range(VECTORS):
                    mean, out = (totals[s][r * VECTORS + v] for s in range(2))
                    builder.store(vectors.fma(x, own[0][v], builder.load(mean)), mean)
                    total = vectors.fma(spread, own[1][v], builder.load(out))
                    builder.store(vectors.fma(squared, own[2][v], total), out)
        for sums, view in zip(totals, views[6:], strict=True):
            for place, total in enumerate(sums):
                vectors.store(builder.load(total), view.data, place)
        return lowering.get_dummy_value()

    return types.void(mu, var, square, types.intp, weights, biases, mean_out, var_out), emit


@intrinsic
def copy(context: Any, tile: Any, start: Any, out: Any, i: Any, j: Any) -> Any:
    """`width` numbers of a tile, from `start` on, to out[i, j], out[i, j + 1] ...: out is contiguous."""

    def emit(lowering: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        source, target = (lowering.make_array(t)(lowering, builder, a) for t, a in ((tile, arguments[0]), (out, arguments[2])))
        vectors = _Vectors(builder, tile.dtype)
        row = builder.mul(arguments[3], builder.extract_value(target.shape, 1))
        begin, end = builder.gep(source.data, [arguments[1]]), builder.gep(target.data, [builder.add(row, arguments[4])])
        for v in range(VECTORS):
            vectors.store(vectors.load(begin, v), end, v)
        return lowering.get_dummy_value()

    return types.void(tile, types.intp, out, types.intp, types.intp), emit
