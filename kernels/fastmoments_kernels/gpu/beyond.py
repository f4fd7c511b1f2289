"""The pairs that the series does not reach: a bounded list on the device, and how elementwise kernels work it off.

Every tile of the upper triangle has a segment of the list: `positions` is (count, segment), int16, and `counts`
(count,), int32, for `count` tiles of all matrices, numbered as in tiles.py. A tile's program writes how many of its
pairs are beyond reach and, row by row, their positions r TILE + c in the tile (`list_beyond`, `list_none`). No
program waits for another, the host waits for none, and no order of programs changes what is written where.

A tile with more pairs than its segment holds is overfull: its positions are of no use, and its pairs are all TILE^2
of it, of which those on or below the diagonal or outside the matrix have to be left out. A list in which every tile
is overfull is that of all pairs: `counts` filled with TILE^2. Kernels pass (positions_ptr, counts_ptr, segment) on
as `listing`.

Programs of an elementwise kernel take the pairs of GROUP tiles, group, group + groups ..., as one sequence, block
by block in turn:

    share, first, total, step = load_share(listing, program, programs, count, GROUP, OVERFULL, BLOCK)
    for block in tl.range(first, total, step, num_stages=1):
        inside, m, i, j, tile, slot = listed(listing, share, block + tl.arange(0, BLOCK), n, tiles, TILE)

Their time grows with the number of pairs, and not with that of the tiles that hold one.
"""

import triton.language as tl

from fastmoments_kernels.gpu.tiles import columns_of, is_above, load_correlations, place_of
from fastmoments_kernels.vocabulary import Real, Reals

PART = 1024  # pairs of a tile that are read at a time to list them


def list_beyond(
    listing: Reals,
    inverse_ptr: Real,
    cov_ptr: Real,
    tile: Real,
    i: Real,
    j: Real,
    limit: Real,
    n: Real,
    TILE: tl.constexpr,
    WIDTH: tl.constexpr,
    EDGE: tl.constexpr,
) -> None:
    """Write the positions of a tile's pairs with |rho| >= limit or nan to its segment, row by row, and the number.

    The tile begins at (i, j) of the matrix at `cov_ptr`. Only at an EDGE some of it is not above the diagonal and
    inside. It is read again, PART pairs at a time: held in registers it would leave no room for a series.
    """
    positions_ptr, counts_ptr, segment = listing
    segment_ptr = positions_ptr + tile.to(tl.int64) * segment
    r, c = tl.arange(0, PART // TILE), columns_of(TILE, WIDTH)
    found = 0 * tile
    for part in tl.range(TILE * TILE // PART, disable_licm=True, num_stages=1):
        start = i + part * (PART // TILE)
        beyond = ~(tl.abs(load_correlations(inverse_ptr, cov_ptr, start, j, r, c, n, EDGE)) < limit)
        if EDGE:
            beyond = beyond & is_above(start + r, j + c, n)
        one = tl.reshape(tl.permute(beyond.to(tl.int32), (1, 0, 2)), (PART,))
        last = found + tl.cumsum(one, 0)
        slot = last - one
        position = part * PART + tl.arange(0, PART)
        tl.store(segment_ptr + slot, position.to(tl.int16), mask=(one > 0) & (slot < segment))
        found = tl.max(last, 0)
    tl.store(counts_ptr + tile, found)


def list_none(listing: Reals, tile: Real) -> None:
    """Write that the series reaches all pairs of a tile."""
    tl.store(listing[1] + tile, 0)


def load_share(
    listing: Reals,
    program: Real,
    programs: Real,
    count: Real,
    GROUP: tl.constexpr,
    OVERFULL: tl.constexpr,
    BLOCK: tl.constexpr,
) -> Reals:
    """(share, first, total, step): a program's group of tiles, and its blocks of the sequence of the group's pairs.

    There are `count` tiles. A share is (ends, group, groups), where ends (GROUP,) are those of the tiles in the
    sequence. An overfull tile counts as OVERFULL pairs: TILE^2, or 0 where another kernel computes it.
    """
    _, counts_ptr, segment = listing
    groups = tl.cdiv(count, GROUP)
    group = program % groups
    tile = group + groups * tl.arange(0, GROUP)
    own = tl.load(counts_ptr + tile, mask=tile < count, other=0)
    ends = tl.cumsum(tl.where(own > segment, OVERFULL, own), 0)
    return (ends, group, groups), program // groups * BLOCK, tl.max(ends, 0), programs // groups * BLOCK


def listed(listing: Reals, share: Reals, number: Real, n: Real, tiles: Real, TILE: tl.constexpr) -> Reals:
    """(inside, matrix, i, j, tile, slot) of the pairs `number` of a share's sequence.

    `inside` says whether there is such a pair, i < j < n; `slot` is its place in the tile's segment.
    """
    positions_ptr, counts_ptr, segment = listing
    ends, group, groups = share
    passed = ends[None, :] <= number[:, None]
    inside = number < tl.max(ends, 0)
    tile = tl.where(inside, group + groups * tl.sum(passed.to(tl.int32), 1), 0)
    slot = number - tl.max(tl.where(passed, ends[None, :], 0), 1)
    overfull = tl.load(counts_ptr + tile) > segment
    place_ptr = positions_ptr + tile.to(tl.int64) * segment + slot
    position = tl.load(place_ptr, mask=inside & ~overfull, other=0).to(tl.int32)
    # the pairs of an overfull tile follow each other in squares of 8 x 8, which are whole sectors of memory in the
    # matrix and in its mirror image
    square, within = slot // 64, slot % 64
    row = tl.where(overfull, square // (TILE // 8) * 8 + within // 8, position // TILE)
    column = tl.where(overfull, square % (TILE // 8) * 8 + within % 8, position % TILE)
    m, tile_i, tile_j = place_of(tile, tiles)
    i, j = tile_i * TILE + tl.where(inside, row, 0), tile_j * TILE + tl.where(inside, column, 0)
    return inside & (i < j) & (j < n), m, i, j, tile, slot
