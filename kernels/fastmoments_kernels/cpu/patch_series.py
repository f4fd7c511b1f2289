"""The sums over a series' terms for a patch of pairs, in registers from the first term to the last."""

from typing import Any

import llvmlite.ir as ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from fastmoments_kernels.cpu.memory import element
from fastmoments_kernels.cpu.patches import HEIGHT, WIDE, lanes, patch_of, rows_of
from fastmoments_kernels.cpu.vectors import load_vector, plus, splat, store_vector, vector_function

LEAST = 1e-100  # of its weight: smaller powers are dropped before they take many times longer as subnormal numbers


@intrinsic
def series(context: Any, rho: Any, rows: Any, columns: Any, terms: Any, i: Any, j: Any) -> Any:
    """The patch of sums over n = 1, ..., terms of rho^n rows[top - n, i + k] columns[top - n, j + l], by Horner.

    `top` is that of `series.coefficients`.
    """

    def emit(lowering: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        values, of_1, of_2, count, row, column = arguments
        powers, width = rows_of(builder, values), lanes(rho.dtype)
        vector = powers[0].type
        fma = vector_function(builder, "llvm.fma", vector, 3)
        height = builder.extract_value(lowering.make_array(rows)(lowering, builder, of_1).shape, 0)
        first = builder.sub(plus(builder, height, -2), count)
        sums = [cgutils.alloca_once_value(builder, ir.Constant(vector, [0.0] * width)) for _ in powers]
        with cgutils.for_range(builder, count) as loop:
            n = builder.add(first, loop.index)
            across = load_vector(lowering, builder, columns, of_2, [n, column], rho.dtype, width)
            for k, (total, power) in enumerate(zip(sums, powers, strict=True)):
                down = builder.load(element(lowering, builder, rows, of_1, [n, plus(builder, row, k)]))
                term = builder.fmul(splat(builder, down, width), across)
                builder.store(builder.call(fma, [builder.load(total), power, term]), total)
        pairs = zip(sums, powers, strict=True)
        return patch_of(builder, [builder.fmul(builder.load(total), power) for total, power in pairs])

    return rho(rho, rows, columns, types.intp, types.intp, types.intp), emit


@intrinsic
def gradients(
    context: Any,
    rho: Any,
    weight: Any,
    power: Any,
    slope: Any,
    of_1: Any,
    of_2: Any,
    terms: Any,
    i: Any,
    j: Any,
    by_row: Any,
    by_column: Any,
) -> Any:
    """Add so many terms of the series of all gradients of a patch of pairs, given weight rho^n before the first.

    `power` is weight rho^n, `slope` the sum so far; return both after the terms. A power below LEAST of its weight
    counts as 0. Tables are those of `slopes.fill`, from the first term on, which for n = 0, 1, ... give
    a_d = of_1[i // WIDE, n, d, i % WIDE + k] and c_d = of_2[j // WIDE, n, d, l]. Add the sum
    of weight rho^n a_3 c_0 to the slope. With p = weight rho^(n + 1) and d = 1 and 2 add the sums of p a_d c_0 to
    by_row[d - 1, i + k, l], and those of p a_0 c_d, summed over k too, to by_column[d - 1, j + l].
    """

    def emit(lowering: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        *patches, tables_1, tables_2, count, row, column, rows, columns = arguments
        real, width, index = types.float64, lanes(types.float64), count.type
        rhos, weights, powers, slopes = ([*rows_of(builder, patch)] for patch in patches)
        vector = rhos[0].type
        fma, zero = vector_function(builder, "llvm.fma", vector, 3), ir.Constant(vector, [0.0] * width)
        absolute, least = vector_function(builder, "llvm.fabs", vector, 1), ir.Constant(vector, [LEAST] * width)
        order = [ir.Constant(index, d) for d in range(4)]
        group_1, group_2 = (builder.sdiv(x, index(WIDE)) for x in (row, column))
        part = builder.srem(row, index(WIDE))

        def begin(value: Any = zero) -> Any:
            return cgutils.alloca_once_value(builder, value)

        def not_negligible(k: int) -> Any:
            size, whole = (builder.call(absolute, [x]) for x in (powers[k], weights[k]))
            return builder.select(builder.fcmp_ordered("<", size, builder.fmul(whole, least)), zero, powers[k])

        def gain(total: Any, a: Any, b: Any) -> None:
            builder.store(builder.call(fma, [a, b, builder.load(total)]), total)

        def gather(total: Any, kind: Any, array: Any, place: list[Any]) -> None:
            before = load_vector(lowering, builder, kind, array, place, real, width)
            store_vector(lowering, builder, builder.fadd(before, total), kind, array, place)

        # half of the rows at a time: four vectors of each stay in registers
        for first in range(0, HEIGHT, HEIGHT // 2):
            half = range(first, first + HEIGHT // 2)
            p, total_slope = ({k: begin(of(k)) for k in half} for of in (not_negligible, slopes.__getitem__))
            down, across = [{k: begin() for k in half} for _ in range(2)], [begin() for _ in range(2)]
            with cgutils.for_range(builder, count) as loop:
                n, total = loop.index, zero
                places = ([group_2, n, d, order[0]] for d in order[:3])
                c = [load_vector(lowering, builder, of_2, tables_2, place, real, width) for place in places]
                for k in half:
                    places = ([group_1, n, d, plus(builder, part, k)] for d in order)
                    a = [builder.load(element(lowering, builder, of_1, tables_1, place)) for place in places]
                    a = [splat(builder, x, width) for x in a]
                    term = builder.fmul(builder.load(p[k]), c[0])
                    builder.store(builder.fmul(builder.load(p[k]), rhos[k]), p[k])
                    total = builder.call(fma, [a[0], builder.load(p[k]), total])
                    gain(down[0][k], a[1], term)
                    gain(down[1][k], a[2], term)
                    gain(total_slope[k], a[3], term)
                gain(across[0], c[1], total)
                gain(across[1], c[2], total)
            for d in range(2):
                gather(builder.load(across[d]), by_column, columns, [order[d], column])
                for k in half:
                    total = builder.fmul(builder.load(down[d][k]), rhos[k])
                    gather(total, by_row, rows, [order[d], plus(builder, row, k), order[0]])
            for k in half:
                powers[k], slopes[k] = builder.load(p[k]), builder.load(total_slope[k])
        results = [patch_of(builder, vectors) for vectors in (powers, slopes)]
        return lowering.make_tuple(builder, signature.return_type, results)

    integers = types.intp, types.intp, types.intp
    return types.UniTuple(rho, 2)(rho, weight, power, slope, of_1, of_2, *integers, by_row, by_column), emit
