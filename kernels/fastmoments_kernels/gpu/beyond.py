"""The pairs that the series does not reach: a bounded list on the device, and how elementwise kernels work it off.

Every tile of the upper triangle has a segment of the list: `positions` is (count, segment), int16, and `counts`
(count,), int32, for `count` tiles of all matrices, numbered as in tiles.py. A tile's program writes how many of its
pairs are beyond reach and, row by row, their positions r TILE + c in the tile (`append`). No program waits for
another, the host waits for none, and no order of programs changes what is written where.

A tile with more pairs than its segment holds is overfull: its positions are of no use, and its pairs are all TILE^2
of it, of which those on or below the diagonal or outside the matrix have to be left out. A list in which every tile
is overfull is that of all pairs: `counts` filled with TILE^2.

Programs of an elementwise kernel take the pairs of GROUP tiles, group, group + groups ..., as one sequence, block
by block in turn:

    ends = load_ends(counts_ptr, group, groups, count, segment, GROUP, TILE * TILE)
    for first in range(share * BLOCK, tl.max(ends, 0), shares * BLOCK):
        number = first + tl.arange(0, BLOCK)
        tile, row, column = listed(positions_ptr, counts_ptr, ends, number, group, groups, segment, TILE)
        inside = number < tl.max(ends, 0)

Their time grows with the number of pairs, and not with that of the tiles that hold one.
"""

import triton.language as tl

from fastmoments_kernels.vocabulary import Real, Reals


def append(positions_ptr: Real, counts_ptr: Real, tile: Real, beyond: Real, segment: Real) -> None:
    """Write the positions of a tile's pairs where `beyond` (TILE, TILE) holds, row by row, and their number."""
    one = beyond.to(tl.int32)
    of_rows = tl.sum(one, 1)
    slot = (tl.cumsum(of_rows, 0) - of_rows)[:, None] + (tl.cumsum(one, 1) - one)
    r, c = tl.arange(0, beyond.shape[0]), tl.arange(0, beyond.shape[1])
    position = r[:, None] * beyond.shape[1] + c[None, :]
    segment_ptr = positions_ptr + tile.to(tl.int64) * segment
    tl.store(segment_ptr + slot, position.to(tl.int16), mask=beyond & (slot < segment))
    tl.store(counts_ptr + tile, tl.sum(of_rows, 0))


def load_ends(
    counts_ptr: Real,
    group: Real,
    groups: Real,
    count: Real,
    segment: Real,
    GROUP: tl.constexpr,
    OVERFULL: tl.constexpr,
) -> Real:
    """Where each of a group's tiles ends (GROUP,) in the sequence of the group's pairs.

    An overfull tile counts as OVERFULL pairs: TILE^2, or 0 where another kernel computes it.
    """
    tile = group + groups * tl.arange(0, GROUP)
    own = tl.load(counts_ptr + tile, mask=tile < count, other=0)
    return tl.cumsum(tl.where(own > segment, OVERFULL, own), 0)


def listed(
    positions_ptr: Real,
    counts_ptr: Real,
    ends: Real,
    number: Real,
    group: Real,
    groups: Real,
    segment: Real,
    TILE: tl.constexpr,
) -> Reals:
    """(tile, row and column in it) of the pairs `number` of a group's sequence; what is beyond its end is 0."""
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
    return tile, tl.where(inside, row, 0), tl.where(inside, column, 0)
