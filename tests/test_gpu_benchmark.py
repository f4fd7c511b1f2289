"""`make gpu-bench` times what it says, at sizes that need no card, and shows a run's results."""

import json
from itertools import product

import numpy as np
import pytest

import fastmoments as fm

torch = pytest.importorskip("torch")

from benchmarks import gpu, gpu_parts, gpu_section  # noqa: E402

SMALL = gpu.Sizes(matrix=9, batch=(3, 4), layer=(5, 6))


@pytest.mark.parametrize("data", [gpu.typical, gpu.strong])
def test_data_are_covariances_of_that_kind(data):
    mu, cov = data(64, torch.float64, "cpu")
    fm.relu_moments(mu, cov, check=True)
    sd = cov.diagonal().sqrt()
    rho = (cov / torch.outer(sd, sd)).fill_diagonal_(0.0).abs()
    assert rho.max() <= (0.95 if data is gpu.strong else 6 / 8)
    assert rho.max() >= (0.8 if data is gpu.strong else 1 / 8)


@pytest.mark.parametrize("by", ["formula", "quadrature"])
def test_references_compute_the_same(by, monkeypatch):
    mu, cov = gpu.typical(9, torch.float64, "cpu")
    want = fm.relu_moments(mu, cov)
    if by == "formula":
        mean, full = gpu.composed(mu, cov)
    else:
        # not compiled: compilation needs a compiler, and takes as long as the rest of this file
        monkeypatch.setattr(torch, "compile", lambda function: function)
        pairs = gpu.quadrature("torch")
        mean, full, own = pairs(mu, cov)
        full = torch.where(torch.eye(9, dtype=torch.bool), own, full)
    # the quadrature's own error at these correlations, as the CPU's benchmark allows it
    scale = want.cov.diagonal().sqrt()
    assert ((full - want.cov).abs() / torch.outer(scale, scale)).max() <= 1e-6
    assert ((mean - want.mean).abs() / want.mean).max() <= 1e-12


@pytest.mark.parametrize(
    "figure", [f for f in gpu.FIGURES if "torch.compile" not in f.reference and "jit" not in f.reference]
)
def test_both_sides_of_a_ratio_run(figure):
    for call in figure.make(SMALL, "cpu"):
        call()


def write_counts(folder):
    """What gpu-check found of four kernels."""
    used = {"target": "sm_90", "activation": "relu", "kernel": "pairs", "dtype": "float32", "warps": 4}
    registers = {"versions": {"triton": "3"}, "rows": [used | {"registers": 99, "spilled": 0, "shared": 8}]}
    (folder / "gpu-registers.json").write_text(json.dumps(registers))
    counts = {"terms": [8, 64], "typical": 1379, "strong": 5705, "beyond": 2419, "load": 16, "store": 4}
    row = used | {"registers": 99, "size": "16", "programs": 4, "spilled": 0, "approximate": 0, "counts": counts}
    named = product(("pairs_whole", "pairs_beyond"), ("float32", "float64"))
    rows = [row | {"kernel": kernel, "dtype": dtype} for kernel, dtype in named]
    counted = {"versions": {}, "rows": rows}
    (folder / "gpu-counts.json").write_text(json.dumps(counted))
    passed = {"data": "strong", "dtype": "float32", "terms": 64.0, "pairs": 0.005, "listing": 1.0, "bytes": 3e6}
    both = [
        passed | {"direction": "forward", "instructions": {"neurons": 1e6, "pairs_whole": 2e6, "listing": 1e6}},
        passed | {"direction": "backward", "bytes": 6e6, "instructions": {"neurons": 1e6, "pairs_vjp_whole": 9e6}},
    ]
    (folder / "gpu-pass.json").write_text(json.dumps({"rows": both}))


def test_a_run_is_shown_and_none_is_not_invented(tmp_path):
    write_counts(tmp_path)
    before = gpu_section.section(tmp_path)
    assert "No card has run this yet" in before and "| 128 | 99 | 0 | 8 |" in before
    assert (
        "| pairs_whole | float32 | 16 k | sm_90 | 99 | 4 | 8, 64 | 1,379 | 5,705 | 2,419 | 43 | 16 | 4 |" in before
    )
    assert "| strong | float32 | forward | 64 | 0.50% | 100% | 4 | 25.0% | 0.50 | 3 |" in before
    assert "| strong | float32 | 2.50 | 2.00 |" in before and "but in" not in before
    row = {"what": "a", "reference": "b", "goal": 2.0, "ms": 3.0, "reference_ms": 1.5, "ratio": 2.0}
    run = {"card": "Card", "architecture": "sm_90", "date": "2020-01-01", "versions": {"torch": "2"}, "rows": [row]}
    run["accuracy"] = {"relu": {"float32": np.float64(1.25), "float64": 0.5}}
    (tmp_path / "card-2020-01-01.json").write_text(json.dumps(run))
    after = gpu_section.section(tmp_path)
    assert "No card" not in after and "Card (sm_90), 2020-01-01; torch 2." in after and "failed" not in after
    assert "| a | 3 | b | 1.5 | **2** | 2 |" in after and "| relu | 1.25 | 0.5 |" in after


def test_failures_are_shown_in_place_of_numbers(tmp_path):
    write_counts(tmp_path)
    row = {"what": "a", "reference": "b", "goal": 2.0, "ms": 3.0, "reference_ms": None, "failed": "b: no compiler"}
    run = {"card": "Card", "architecture": "sm_90", "date": "2020-01-01", "versions": {}, "rows": [row]}
    run["accuracy"] = {"relu": {"failed": "no tables"}}
    (tmp_path / "card-2020-01-01.json").write_text(json.dumps(run))
    shown = gpu_section.section(tmp_path)
    assert "| a | 3 | b | failed | **failed** | 2 |" in shown and "| relu | failed | failed |" in shown
    assert "* a: `b: no compiler`" in shown and "* relu: `no tables`" in shown


def fails(*_):
    raise RuntimeError("no compiler\nand more")


@pytest.mark.parametrize("failing", ["neither", "reference", "ours", "data"])
def test_a_failing_side_costs_its_own_number(failing):
    calls = {name: fails if failing == name else lambda name=name: name for name in ("ours", "reference")}
    make = fails if failing == "data" else lambda sizes, device: (calls["ours"], calls["reference"])
    figure = gpu.Figure("what", "a peer", 2.0, make)
    row = gpu.measure(figure, SMALL, "cpu", time=lambda call: {"ours": 3.0, "reference": 2.0}[call()])
    message = {
        "reference": "a peer: RuntimeError: no compiler",
        "ours": "fastmoments: RuntimeError: no compiler",
        "data": "data: RuntimeError: no compiler",
    }
    assert row.get("failed") == message.get(failing)
    assert row.get("ms") == (3.0 if failing in ("neither", "reference") else None)
    assert row.get("reference_ms") == (2.0 if failing in ("neither", "ours") else None)
    assert row.get("ratio") == (1.5 if failing == "neither" else None)


def test_parts_run_in_processes_of_their_own(tmp_path, monkeypatch):
    """One that fails, dies or hangs leaves a message."""
    (tmp_path / "part_of_a_run.py").write_text(
        "import os, sys, time\n"
        "part = sys.argv[-1]\n"
        "print('by the way')\n"
        "if part == 'fails': raise RuntimeError('out of memory')\n"
        "if part == 'dies': os.abort()\n"
        "if part == 'hangs': time.sleep(60)\n"
        "print('{\"ms\": 1.5}')\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    found = {part: gpu_parts.in_process("part_of_a_run", part) for part in ("works", "fails", "dies")}
    assert found["works"] == {"ms": 1.5} and found["fails"] == {"failed": "RuntimeError: out of memory"}
    assert found["dies"].keys() == {"failed"}
    assert gpu_parts.in_process("part_of_a_run", "hangs", seconds=0.5) == {"failed": "no result within 0.5 s"}


def test_results_are_written_after_each_part(tmp_path, monkeypatch):
    """Whoever stops the run keeps what there is."""
    path, answers = tmp_path / "results" / "card.json", iter([{"torch": "2"}, {"ms": 1.0}, {"failed": "gone"}])

    def next_part(module, part):
        if part == "2":
            raise KeyboardInterrupt
        return next(answers)

    monkeypatch.setattr(gpu, "in_process", next_part)
    with pytest.raises(KeyboardInterrupt):
        gpu.run(path, {"card": "Card"})
    found = json.loads(path.read_text())
    assert found["card"] == "Card" and found["versions"] == {"torch": "2"} and found["accuracy"] == {}
    assert [row.get("ms") for row in found["rows"]] == [1.0, None] and found["rows"][1]["failed"] == "gone"
    assert found["rows"][0]["what"] == gpu.FIGURES[0].what and [path] == list(path.parent.iterdir())


def test_without_a_card_it_says_so(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit, match="no CUDA device"):
        gpu.main([])
