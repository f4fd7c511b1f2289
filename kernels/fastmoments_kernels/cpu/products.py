"""Products of layers, for a few rows and columns at a time, in registers."""

from typing import Any

import llvmlite.ir as ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from fastmoments_kernels.cpu.layout import lanes, sums
from fastmoments_kernels.cpu.machine import VECTOR
from fastmoments_kernels.cpu.vectors import splat, vector_function, vector_type

SUMS = sums(VECTOR)


class _Vectors:
    """Consecutive vectors of a number type in memory, in a function that is being built."""

    def __init__(self, builder: Any, real: Any) -> None:
        self.builder, self.size, self.lanes = builder, real.bitwidth // 8, lanes(str(real), VECTOR)
        self.type = vector_type(real, self.lanes)

    def _address(self, base: Any, k: int) -> Any:
        address = self.builder.gep(base, [ir.IntType(64)(k * self.lanes)])
        return self.builder.bitcast(address, self.type.as_pointer())

    def load(self, base: Any, k: int) -> Any:
        """The k-th vector from `base` on."""
        return self.builder.load(self._address(base, k), align=self.size)

    def store(self, value: Any, base: Any, k: int) -> None:
        """Write the k-th vector from `base` on."""
        self.builder.store(value, self._address(base, k), align=self.size)

    def splat(self, base: Any, index: Any) -> Any:
        """The vector of base[index] in every lane."""
        return splat(self.builder, self.builder.load(self.builder.gep(base, [index])), self.lanes)

    def fma(self, a: Any, b: Any, c: Any) -> Any:
        """a b + c with one rounding."""
        return self.builder.call(vector_function(self.builder, "llvm.fma", self.type, 3), [a, b, c])


def _views(lowering: Any, builder: Any, kinds: Any, values: Any) -> list[Any]:
    """The fields of arrays; numbers stay numbers."""
    return [
        lowering.make_array(kind)(lowering, builder, value) if isinstance(kind, types.Array) else value
        for kind, value in zip(kinds, values, strict=True)
    ]


@intrinsic(prefer_literal=True)
def add_products(
    context: Any, count: Any, mu: Any, var: Any, square: Any, first: Any, weights: Any, biases: Any, out: Any
) -> Any:
    """Write mu M^T + b to out[0] and var S^T + square V^T + c to out[1], for `count` vectors of columns.

    mu, var and square (rows, depth) are read from row `first` on, the last row again where they end; weights
    (depth, 3, width) are M, S and V by columns, biases (2, width) are b and c. All are contiguous.
    """
    number = count.literal_value
    places = [(r, v) for r in range(SUMS // number) for v in range(number)]

    def emit(lowering: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        _, *factors, first_row, of_weights, of_biases, of_out = _views(lowering, builder, signature.args, arguments)
        vectors, index = _Vectors(builder, mu.dtype), ir.IntType(64)
        rows, depth = (builder.extract_value(factors[0].shape, axis) for axis in (0, 1))
        last, begin = builder.sub(rows, index(1)), []
        for r in range(SUMS // number):
            row = builder.add(first_row, index(r))
            begin.append(builder.mul(builder.select(builder.icmp_signed("<", row, last), row, last), depth))
        # variables that LLVM keeps in registers
        means, variances = (
            [cgutils.alloca_once_value(builder, vectors.load(of_biases.data, s * number + v)) for _, v in places]
            for s in range(2)
        )
        with cgutils.for_range(builder, depth) as loop:
            step = index(3 * number * vectors.lanes)
            of_k = builder.gep(of_weights.data, [builder.mul(loop.index, step)])
            factor_k = [[vectors.load(of_k, m * number + v) for v in range(number)] for m in range(3)]
            for r in range(SUMS // number):
                at = builder.add(begin[r], loop.index)
                x, variance_in, squared = (vectors.splat(factor.data, at) for factor in factors)
                for v in range(number):
                    mean, variance = means[r * number + v], variances[r * number + v]
                    builder.store(vectors.fma(x, factor_k[0][v], builder.load(mean)), mean)
                    total = vectors.fma(variance_in, factor_k[1][v], builder.load(variance))
                    builder.store(vectors.fma(squared, factor_k[2][v], total), variance)
        second = builder.gep(of_out.data, [builder.extract_value(of_out.shape, 1)])
        for totals, base in ((means, of_out.data), (variances, second)):
            for place, total in enumerate(totals):
                vectors.store(builder.load(total), base, place)
        return lowering.get_dummy_value()

    return types.void(count, mu, var, square, types.intp, weights, biases, out), emit


@intrinsic(prefer_literal=True)
def copy(context: Any, count: Any, sums: Any, start: Any, out: Any, i: Any, j: Any) -> Any:
    """Copy `count` vectors of `sums`, from `start` on, to out[i, j], out[i, j + 1] ...; both are contiguous."""

    def emit(lowering: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        _, source, begin, target, row, column = _views(lowering, builder, signature.args, arguments)
        vectors = _Vectors(builder, sums.dtype)
        place = builder.add(builder.mul(row, builder.extract_value(target.shape, 1)), column)
        source, target = builder.gep(source.data, [begin]), builder.gep(target.data, [place])
        for v in range(count.literal_value):
            vectors.store(vectors.load(source, v), target, v)
        return lowering.get_dummy_value()

    return types.void(count, sums, types.intp, out, types.intp, types.intp), emit


@intrinsic(prefer_literal=True)
def multiply(
    context: Any,
    height: Any,
    count: Any,
    left: Any,
    right: Any,
    depth: Any,
    first: Any,
    column: Any,
    rows: Any,
    out: Any,
) -> Any:
    """Write left^T right to `height` rows of out from row `first` on, as far as they are below `rows`.

    `count` vectors of columns are computed, from `column` on. left (depth, rows or more) and right (depth, width)
    are read in their first `depth` rows; left holds `height` numbers from `first` on in each. All are contiguous.
    """
    tall, wide = height.literal_value, count.literal_value
    places = [(r, v) for r in range(tall) for v in range(wide)]

    def emit(lowering: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        _, _, of_left, of_right, many, row, at, end, of_out = _views(lowering, builder, signature.args, arguments)
        vectors, index = _Vectors(builder, out.dtype), ir.IntType(64)
        left_step, right_step, out_step = (builder.extract_value(x.shape, 1) for x in (of_left, of_right, of_out))
        left_from, right_from = builder.gep(of_left.data, [row]), builder.gep(of_right.data, [at])
        zero = ir.Constant(vectors.type, [0.0] * vectors.lanes)
        sums = [cgutils.alloca_once_value(builder, zero) for _ in places]
        with cgutils.for_range(builder, many) as loop:
            of_left_k = builder.gep(left_from, [builder.mul(loop.index, left_step)])
            of_right_k = builder.gep(right_from, [builder.mul(loop.index, right_step)])
            factors = [vectors.load(of_right_k, v) for v in range(wide)]
            for r in range(tall):
                x = vectors.splat(of_left_k, index(r))
                for v in range(wide):
                    total = sums[r * wide + v]
                    builder.store(vectors.fma(x, factors[v], builder.load(total)), total)
        for r in range(tall):
            row_r = builder.add(row, index(r))
            with builder.if_then(builder.icmp_signed("<", row_r, end)):
                place = builder.gep(of_out.data, [builder.add(builder.mul(row_r, out_step), at)])
                for v in range(wide):
                    vectors.store(builder.load(sums[r * wide + v]), place, v)
        return lowering.get_dummy_value()

    number = types.intp
    return types.void(height, count, left, right, number, number, number, number, out), emit
