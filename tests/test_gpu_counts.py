"""What the kernels of pairs take of a card, counted in their machine code, and the rules of the counting."""

import json
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.processes import python

pytest.importorskip("triton", reason="Triton has wheels for Linux only")

# tools is no package
COUNT = """
import json, sys
sys.path.append("tools")
import gpu_check
usage = [gpu_check.usage("90", "relu", *kernel.split()) for kernel in sys.argv[1:]]
print(json.dumps([row._asdict() | {"counts": row.counts and row.counts._asdict()} for row in usage]))
"""
RESULTS = Path("benchmarks/results")
KERNEL = {"forward": "pairs_whole", "backward": "pairs_vjp_whole"}


def used(*kernels):
    """What tools/gpu_check.py says of relu's kernels for sm_90, compiled in another process."""
    return json.loads(python("-c", COUNT, *kernels, TRITON_INTERPRET=None))


@pytest.fixture(scope="module")
def float32():
    return used(*(f"{name} float32 16" for name in ("pairs_whole", "pairs_beyond", "pairs_vjp_whole")))


def test_whole_tiles_leave_room_for_four_programs(float32):
    whole = float32[0]
    assert whole["registers"] <= 128 and whole["programs"] == 4
    assert whole["spilled"] == 0 and whole["approximate"] == 0


def test_whole_tiles_move_16_bytes_a_thread(float32):
    counts = float32[0]["counts"]
    assert counts["load"] == 16 and counts["store"] == 16


def test_instructions_of_a_tile(float32):
    counts = float32[0]["counts"]
    # 32 pairs a thread: a multiply and a multiply-add a term are 512 of them
    assert 512 < counts["typical"] <= 2000
    assert counts["strong"] > 8 * 512


def test_pairs_beyond_cost_less_than_twice_the_series(float32):
    whole, beyond = (row["counts"] for row in float32[:2])
    series = 4 * whole["strong"]
    listed = 4 * whole["beyond"] + 0.009 * 64 * 64 / 32 * beyond["beyond"]
    assert listed <= 2 * series


def test_backward_tiles(float32):
    """Bytes are those of cov and its gradient, and twice half of cov_bar."""
    forward, _, backward = float32
    assert backward["spilled"] == 0 and backward["approximate"] == 0
    assert backward["counts"]["load"] == 16 and backward["counts"]["store"] == 16
    assert backward["warps"] * backward["counts"]["typical"] <= 4 * forward["warps"] * forward["counts"]["typical"]


def results(name):
    return json.loads((RESULTS / f"{name}.json").read_text())


def test_the_counts_on_the_page_are_these(float32):
    """If not: make gpu-registers."""
    known = results("gpu-counts")
    if known["versions"]["triton"] != version("triton"):
        pytest.skip("counted with another Triton")
    for row in float32:
        (shown,) = [x for x in known["rows"] if all(x[k] == row[k] for k in ("kernel", "dtype", "target", "size"))]
        assert abs(shown["registers"] - row["registers"]) <= 8
        for data in ("typical", "strong", "beyond"):
            assert shown["counts"][data] == pytest.approx(row["counts"][data], rel=0.05), (row["kernel"], data)


@pytest.mark.parametrize("dtype", ("float32", "float64"))
@pytest.mark.parametrize("data", ("typical", "strong"))
def test_backward_within_four_forwards(data, dtype):
    """Of whole passes, pairs beyond the series included."""
    rows = {x["direction"]: x for x in results("gpu-pass")["rows"] if (x["data"], x["dtype"]) == (data, dtype)}
    forward, backward = rows["forward"], rows["backward"]
    assert {"cov_beyond", "beyond_mu", "beyond_var", "add_beyond"} < set(backward["instructions"])
    assert sum(backward["instructions"].values()) <= 4 * sum(forward["instructions"].values())
    assert backward["bytes"] <= 4 * forward["bytes"]


def test_what_counting_assumes_of_tiles_is_what_was_found():
    rows = [row for row in results("gpu-counts")["rows"] if row["size"] == "16"]
    counted = {(row["kernel"], row["dtype"]): row["counts"]["terms"] for row in rows}
    for row in results("gpu-terms")["rows"]:
        most = max(row["tiles"], key=lambda terms: row["tiles"][terms])
        typical, strong = counted[KERNEL[row["direction"]], row["dtype"]]
        assert int(most) == {"typical": typical, "strong": strong}[row["data"]]


@pytest.mark.slow  # a dozen kernels to compile
@pytest.mark.parametrize("size", ("16", "any", "1"))
def test_no_kernel_of_pairs_spills(size):
    names = ("pairs_whole", "pairs_edges", "pairs_vjp_whole", "pairs_vjp_edges")
    names = names if size != "1" else names[1::2]
    for row in used(*(f"{name} {dtype} {size}" for name in names for dtype in ("float32", "float64"))):
        assert row["spilled"] == 0 and row["approximate"] == 0 and row["programs"] * row["warps"] >= 8, row


CODE = """
        /*0000*/                   MOV R1, c[0x0][0x28] ;
        /*0010*/                   @!P0 BRA 0x40 ;
        /*0020*/                   MOV R2, 0x40 ;
        /*0030*/                   CALL.REL.NOINC 0x200 ;
        /*0040*/                   LDG.E.128 R4, desc[UR4][R2.64] ;
        /*0050*/                   LDG.E R8, desc[UR4][R2.64] ;
        /*0060*/                   @!P1 BRA 0xa0 ;
        /*0070*/                   STG.E.U16 desc[UR4][R2.64], R4 ;
        /*0080*/                   @P2 BRA 0x70 ;
        /*0090*/                   NOP ;
        /*00a0*/                   FFMA R0, R0, R4, R4 ;
        /*00b0*/                   ISETP.NE.AND P3, PT, R9, 0x18, PT ;
        /*00c0*/                   FMUL R0, R0, R4 ;
        /*00d0*/                   @P3 BRA 0xc0 ;
        /*00e0*/                   IADD3 R9, R9, 0x1, RZ ;
        /*00e8*/                   ISETP.NE.AND P3, PT, R9, 0x5, PT ;
        /*00f0*/                   @P3 BRA 0xe0 ;
        /*0100*/                   STG.E.64 desc[UR4][R2.64], R4 ;
        /*0110*/                   EXIT ;
        /*0200*/                   RET.REL.NODEC R2 0x0 ;
"""


@pytest.fixture
def counts(monkeypatch):
    monkeypatch.syspath_prepend("tools")
    import gpu_counts

    yield gpu_counts
    del sys.modules["gpu_counts"]


def test_loops_count_by_their_passes(counts):
    # two loops are given: the one that lists, 7 passes, and one at 0xc0 that compares outside itself, 3
    found = counts.counted(counts.parsed(CODE), (7, 3))
    # without the call (2), the listing (3) and the routine (1); the loop to 5 is of three instructions
    once = 20 - 2 - 3 - 1 - 2 - 3
    assert found.instructions == once + 3 * 2 + 5 * 3
    assert found.beyond == 7 * 2 + 1
    assert (found.load, found.store) == (16, 8)


# from 10 to 0 by 2, with a branch around all stores
DOWN = """
        /*0000*/                   MOV R9, 0xa ;
        /*0010*/                   @!P1 BRA 0x60 ;
        /*0020*/                   IADD3 R9, R9, -0x2, RZ ;
        /*0030*/                   LDG.E R8, desc[UR4][R2.64] ;
        /*0040*/                   STG.E desc[UR4][R2.64], R4 ;
        /*0050*/                   ISETP.NE.AND P3, PT, R9, RZ, PT ;
        /*0058*/                   @P3 BRA 0x20 ;
        /*0060*/                   EXIT ;
        /*0070*/                   NOP ;
"""


def test_loops_count_down_and_branches_around_stores_are_apart(counts):
    found = counts.counted(counts.parsed(DOWN), of_list=True)
    assert (found.instructions, found.beyond) == (3, 5 * 5)


def test_loops_that_are_missing(counts):
    code = counts.parsed(DOWN)
    with pytest.raises(AssertionError, match="1 loops fewer than given"):
        counts.counted(code, (7,))
    assert counts.counted(code, (7,), all_loops=False) == counts.counted(code)


def test_loops_of_unknown_length_are_refused(counts):
    with pytest.raises(AssertionError, match="unknown length at 0xc0"):
        counts.counted(counts.parsed(CODE), (7,))


@pytest.mark.parametrize(
    "registers, warps, shared, expected", [(128, 4, 16384, 4), (129, 4, 0, 3), (64, 8, 8192, 4), (32, 4, 60000, 3)]
)
def test_programs(counts, registers, warps, shared, expected):
    # 65,536 registers are 512 threads of 128; in units of 8, 129 are 136; 228 kibibytes hold 3 of 60,000 bytes
    assert counts.programs(90, registers, warps, shared) == expected
