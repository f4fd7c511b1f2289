"""`make gpu-bench` times what it says, at sizes that need no card, and shows a run's results."""

import json
from itertools import product

import numpy as np
import pytest

import fastmoments as fm

torch = pytest.importorskip("torch")

from benchmarks import gpu, gpu_section  # noqa: E402

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


def test_a_run_is_shown_and_none_is_not_invented(tmp_path):
    used = {"target": "sm_90", "activation": "relu", "kernel": "pairs", "dtype": "float32", "warps": 4}
    registers = {"versions": {"triton": "3"}, "rows": [used | {"registers": 99, "spilled": 0, "shared": 8}]}
    (tmp_path / "gpu-registers.json").write_text(json.dumps(registers))
    counts = {"typical": 1379, "strong": 5705, "listing": 2419, "load": 16, "store": 4}
    row = used | {"registers": 99, "size": "16", "programs": 4, "counts": counts}
    named = product(("pairs_whole", "pairs_beyond"), ("float32", "float64"))
    rows = [row | {"kernel": kernel, "dtype": dtype} for kernel, dtype in named]
    counted = {"versions": {}, "rows": rows}
    (tmp_path / "gpu-counts.json").write_text(json.dumps(counted))
    before = gpu_section.section(tmp_path)
    assert "No card has run this yet" in before and "| 128 | 99 | 0 | 8 |" in before
    assert "| 16 k | sm_90 | 99 | 4 | 1,379 | 5,705 | 2,419 | 16 | 4 |" in before
    row = {"what": "a", "reference": "b", "goal": 2.0, "ms": 3.0, "reference_ms": 1.5, "ratio": 2.0}
    run = {"card": "Card", "date": "2020-01-01", "versions": {"torch": "2"}, "rows": [row]}
    run["accuracy"] = {"relu": {"float32": np.float64(1.25), "float64": 0.5}}
    (tmp_path / "card-2020-01-01.json").write_text(json.dumps(run))
    after = gpu_section.section(tmp_path)
    assert (
        "No card" not in after and "| a | 3 | b | 1.5 | **2** | 2 |" in after and "| relu | 1.25 | 0.5 |" in after
    )


def test_without_a_card_it_says_so(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit, match="no CUDA device"):
        gpu.main()
