"""The gradients of the pairs that the series does not reach (beyond.py), by the formulas.

One kernel for each kind of derivative: with all of a pair's derivatives, one kernel would spill registers. The
gradients along mu and var are products, kept beside the list and added tile by tile, in the list's order, to the
tile's shares. An overfull tile is computed anew, all of its pairs by the formulas, in parts of PART x PART.

Loops are told not to compute ahead (disable_licm) where a formula needs all registers.
"""

import triton.language as tl

from fastmoments_kernels.formulas import identity as formula  # `bind` exchanges it for an activation's
from fastmoments_kernels.gpu.beyond import listed, load_share
from fastmoments_kernels.gpu.covariance import load_features
from fastmoments_kernels.gpu.covariance_vjp import weigh
from fastmoments_kernels.gpu.tiles import place_of, row_stride
from fastmoments_kernels.vocabulary import Real, Reals


def along_mu(one: Real, two: Real, cov_12: Real, slack: Real) -> Real:
    return formula.cov_10(one, two, cov_12, slack)


def along_var(one: Real, two: Real, cov_12: Real, slack: Real) -> Real:
    return 0.5 * formula.cov_20(one, two, cov_12, slack)


def cov_beyond(
    features_ptr: Real,
    positions_ptr: Real,
    counts_ptr: Real,
    cov_ptr: Real,
    cov_bar_ptr: Real,
    cov_grad_ptr: Real,
    n: Real,
    tiles: Real,
    count: Real,
    segment: Real,
    slack: Real,
    FEATURES: tl.constexpr,
    TILE: tl.constexpr,
    GROUP: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """Write the gradients along the listed pairs' covariances; `count` is the number of tiles of all matrices."""
    listing = positions_ptr, counts_ptr, segment
    program, programs = tl.program_id(0), tl.num_programs(0)
    share, first, total, step = load_share(listing, program, programs, count, GROUP, TILE * TILE, BLOCK)
    for block in tl.range(first, total, step, num_stages=1, disable_licm=True):
        inside, m, i, j, _, _ = listed(listing, share, block + tl.arange(0, BLOCK), n, tiles, TILE)
        cov_12, weight = load_pair(cov_ptr, cov_bar_ptr, m, i, j, n, inside)
        one, two = load_both(features_ptr, m, i, j, n, FEATURES)
        value = weigh(0.5 * weight, formula.product_11(one, two, cov_12, slack))
        tl.store(cov_grad_ptr + m * n * n + i.to(tl.int64) * n + j, value, mask=inside)
        tl.store(cov_grad_ptr + m * n * n + j.to(tl.int64) * n + i, value, mask=inside)


def neurons_beyond(
    features_ptr: Real,
    positions_ptr: Real,
    counts_ptr: Real,
    cov_ptr: Real,
    cov_bar_ptr: Real,
    products_ptr: Real,
    n: Real,
    tiles: Real,
    count: Real,
    segment: Real,
    slack: Real,
    BODY: tl.constexpr,
    FEATURES: tl.constexpr,
    TILE: tl.constexpr,
    GROUP: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """Write the listed pairs' weights times BODY, (2, count, segment): of the row's neuron and of the column's.

    Every second program has the pairs with their neurons exchanged.
    """
    listing = positions_ptr, counts_ptr, segment
    exchanged, program, programs = tl.program_id(0) % 2, tl.program_id(0) // 2, tl.num_programs(0) // 2
    share, first, total, step = load_share(listing, program, programs, count, GROUP, 0, BLOCK)
    products_ptr += exchanged.to(tl.int64) * count * segment
    for block in tl.range(first, total, step, num_stages=1):
        inside, m, i, j, tile, slot = listed(listing, share, block + tl.arange(0, BLOCK), n, tiles, TILE)
        cov_12, weight = load_pair(cov_ptr, cov_bar_ptr, m, i, j, n, inside)
        own, other = tl.where(exchanged == 0, i, j), tl.where(exchanged == 0, j, i)
        one, two = load_both(features_ptr, m, own, other, n, FEATURES)
        value = weigh(weight, BODY(one, two, cov_12, slack))
        tl.store(products_ptr + tile.to(tl.int64) * segment + slot, value, mask=inside)


def add_beyond(
    positions_ptr: Real,
    counts_ptr: Real,
    mu_products_ptr: Real,
    var_products_ptr: Real,
    mu_shares_ptr: Real,
    var_shares_ptr: Real,
    n: Real,
    tiles: Real,
    count: Real,
    segment: Real,
    TILE: tl.constexpr,
    BLOCK: tl.constexpr,
) -> None:
    """Add the products of the listed pairs to their tiles' shares of the gradients of mu and var."""
    for tile in tl.range(tl.program_id(0), count, tl.num_programs(0), num_stages=1):
        number = tl.load(counts_ptr + tile)
        if (number > 0) & (number <= segment):
            m, tile_i, tile_j = place_of(tile, tiles)
            start, others = segment.to(tl.int64) * tile, segment.to(tl.int64) * count
            mu_1, mu_2 = sum_of_listed(positions_ptr + start, mu_products_ptr + start, others, number, TILE, BLOCK)
            var_1, var_2 = sum_of_listed(
                positions_ptr + start, var_products_ptr + start, others, number, TILE, BLOCK
            )
            if tile_i == tile_j:
                mu_1 += mu_2
                var_1 += var_2
            else:
                j = tile_j * TILE + tl.arange(0, TILE)
                add(mu_shares_ptr + (m * tiles + tile_i) * n + j, mu_2, j < n)
                add(var_shares_ptr + (m * tiles + tile_i) * n + j, var_2, j < n)
            i = tile_i * TILE + tl.arange(0, TILE)
            add(mu_shares_ptr + (m * tiles + tile_j) * n + i, mu_1, i < n)
            add(var_shares_ptr + (m * tiles + tile_j) * n + i, var_1, i < n)


def sum_of_listed(
    positions_ptr: Real, products_ptr: Real, others: Real, number: Real, TILE: tl.constexpr, BLOCK: tl.constexpr
) -> Real:
    """The sums of a segment's products by row, and by column of the products that are `others` further on."""
    real: tl.constexpr = products_ptr.dtype.element_ty
    of_rows, of_columns = tl.zeros((TILE,), real), tl.zeros((TILE,), real)
    c = tl.arange(0, TILE)[:, None]
    for first in range(0, number, BLOCK):
        slot = first + tl.arange(0, BLOCK)
        position = tl.load(positions_ptr + slot, mask=slot < number, other=0).to(tl.int32)[None, :]
        along_row = tl.load(products_ptr + slot, mask=slot < number, other=0.0)[None, :]
        along_column = tl.load(products_ptr + others + slot, mask=slot < number, other=0.0)[None, :]
        of_rows += tl.sum(tl.where(position // TILE == c, along_row, 0.0), 1)
        of_columns += tl.sum(tl.where(position % TILE == c, along_column, 0.0), 1)
    return of_rows, of_columns


def add(ptr: Real, value: Real, mask: Real) -> None:
    tl.store(ptr, tl.load(ptr, mask=mask, other=0.0) + value, mask=mask)


def neurons_overfull(
    features_ptr: Real,
    counts_ptr: Real,
    cov_ptr: Real,
    cov_bar_ptr: Real,
    shares_ptr: Real,
    n: Real,
    tiles: Real,
    count: Real,
    segment: Real,
    slack: Real,
    BODY: tl.constexpr,
    FEATURES: tl.constexpr,
    TILE: tl.constexpr,
    PART: tl.constexpr,
    GROUP: tl.constexpr,
) -> None:
    """Write the shares of overfull tiles, of the gradients along BODY: PART rows or columns at a time.

    A program has one of a tile's 2 TILE / PART parts, for tiles group, group + groups ... Of GROUP of these it asks
    at once whether any is overfull: few are.
    """
    parts: tl.constexpr = TILE // PART
    arrays = features_ptr, cov_ptr, cov_bar_ptr, n, slack
    part, group = tl.program_id(0) % (2 * parts), tl.program_id(0) // (2 * parts)
    groups = tl.num_programs(0) // (2 * parts)
    for first in tl.range(group, count, groups * GROUP, num_stages=1, disable_licm=True):
        some = first + groups * tl.arange(0, GROUP)
        if tl.max(tl.load(counts_ptr + some, mask=some < count, other=0), 0) > segment:
            last = tl.minimum(first + groups * GROUP, count)
            for tile in tl.range(first, last, groups, num_stages=1, disable_licm=True):
                m, tile_i, tile_j = place_of(tile, tiles)
                # the rows of a tile on the diagonal have all of its pairs
                if (tl.load(counts_ptr + tile) > segment) & ((part < parts) | (tile_i != tile_j)):
                    tile_1, tile_2 = tl.where(part < parts, tile_i, tile_j), tl.where(part < parts, tile_j, tile_i)
                    own = tile_1 * TILE + part % parts * PART + tl.arange(0, PART)
                    share = share_of_part(arrays, m, own, tile_2 * TILE, BODY, FEATURES, TILE, PART)
                    tl.store(shares_ptr + (m * tiles + tile_2) * n + own, share, mask=own < n)


def share_of_part(
    arrays: Reals,
    m: Real,
    own: Real,
    start: Real,
    BODY: tl.constexpr,
    FEATURES: tl.constexpr,
    TILE: tl.constexpr,
    PART: tl.constexpr,
) -> Real:
    """The sums, for neurons `own`, over their pairs with the TILE neurons from `start` on."""
    features_ptr, cov_ptr, cov_bar_ptr, n, slack = arrays
    share = tl.zeros((PART,), cov_ptr.dtype.element_ty)
    for first in tl.range(0, TILE, PART, num_stages=1, disable_licm=True):
        other = start + first + tl.arange(0, PART)
        i, j = own[:, None], other[None, :]
        inside = (i != j) & (i < n) & (j < n)
        low, high = tl.minimum(i, j), tl.maximum(i, j)
        cov_12, weight = load_pair(cov_ptr, cov_bar_ptr, m, low, high, n, inside)
        one, two = load_both(features_ptr, m, i, j, n, FEATURES)
        value = weigh(weight, BODY(one, two, cov_12, slack))
        share += tl.sum(tl.where(inside, value, 0.0), 1)
    return share


def load_pair(cov_ptr: Real, cov_bar_ptr: Real, m: Real, i: Real, j: Real, n: Real, inside: Real) -> Real:
    """The covariances of pairs i < j, and their weights: cov_bar plus its mirror image."""
    straight, mirrored = m * n * n + i.to(tl.int64) * n + j, m * n * n + j.to(tl.int64) * n + i
    bar = tl.load(cov_bar_ptr + straight, mask=inside, other=0.0)
    bar += tl.load(cov_bar_ptr + mirrored, mask=inside, other=0.0)
    return tl.load(cov_ptr + straight, mask=inside, other=0.0), bar


def load_both(features_ptr: Real, m: Real, i: Real, j: Real, n: Real, FEATURES: tl.constexpr) -> Real:
    """The features of neurons i and of neurons j."""
    stride = row_stride(n)
    row_ptr = features_ptr + m * (FEATURES + 2) * stride
    return load_features(row_ptr + i, i < n, stride, FEATURES), load_features(row_ptr + j, j < n, stride, FEATURES)
