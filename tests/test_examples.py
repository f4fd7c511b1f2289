"""The demo runs from any folder, and shows what it claims."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


def run_demo(figure):
    command = [sys.executable, str(EXAMPLES / "california_housing.py"), "--fast", "--figure", str(figure)]
    run = subprocess.run(command, cwd=figure.parent, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return run.stdout


def divergences(output, method):
    """KL divergence from Monte Carlo with one hidden layer, and with two."""
    lines = [line.removeprefix(method) for line in output.splitlines() if line.startswith(f"{method}  ")]
    return [float(line.split()[2]) for line in lines]


def test_the_demo_shows_what_it_claims(tmp_path):
    figure = tmp_path / "figure.png"
    output = run_demo(figure)
    one_layer, two_layers = divergences(output, "fastmoments")
    # exact: the difference is the reference's own error, some 0.1 % of a standard deviation
    assert one_layer < 1e-4
    for method in ("unscented 1995", "unscented 2002", "linearised", "mean-field"):
        assert two_layers < divergences(output, method)[1]
    assert str(figure) in output
    assert imread(figure).std() > 0.05


def run_example(name, *arguments):
    command = [sys.executable, "-W", "ignore", str(EXAMPLES / name), "--fast", *arguments]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return [line for line in run.stdout.splitlines() if line]


def test_missing_features_are_not_taken_for_certain():
    """With most measurements missing the log loss is lower than with expected values filled in."""
    pytest.importorskip("sklearn")
    rows = [line.split() for line in run_example("missing_features.py")[2:]]
    assert [row[0] for row in rows] == ["0%", "30%", "60%", "90%"]
    filled, carried = map(float, rows[-1][3:])
    assert carried < filled
    # nothing missing: the same numbers
    assert rows[0][3] == rows[0][4]


def test_a_kalman_filter_of_moments_knows_its_uncertainty():
    pytest.importorskip("torch")
    densities = [float(line.split()[-1]) for line in run_example("kalman_filter.py")[1:]]
    assert densities[0] > densities[1]


def test_a_bayesian_network_forecasts_volatility(tmp_path):
    """Forecasts of simulated returns, and of bars from a file, are clearly better than a constant variance."""
    pytest.importorskip("torch")
    returns = np.random.default_rng(0).standard_normal(3000) * np.tile(np.repeat([0.001, 0.004], 100), 15)
    bars = tmp_path / "bars.csv"
    close = 100 * np.exp(np.cumsum(returns))
    bars.write_text("open_time,open,close\n" + "".join(f"2020-01-01,1.0,{price}\n" for price in close))
    for arguments in ([], ["--bars", str(bars)]):
        lines = run_example("volatility.py", *arguments)
        qlike = {line[:26].strip(): float(line[26:35]) for line in lines[1:-2]}
        assert qlike["network, one pass"] < qlike["constant variance"] - 0.03
        assert qlike["network, one pass"] == pytest.approx(qlike["network, 50 sampled passes"], abs=0.03)


def run_page(page, **environment):
    code = (EXAMPLES.parent / page).read_text().split("```python\n")[1].split("```")[0]
    with tempfile.TemporaryDirectory() as folder:
        # from a file: Numba and Triton read the source
        path = Path(folder, "page.py")
        path.write_text(code)
        run = subprocess.run([sys.executable, path], env=os.environ | environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_the_readme_runs():
    pytest.importorskip("torch")
    run_page("README.md")


@pytest.mark.feature("NumPy", "example runs")
def test_numpy_page():
    run_page("docs/frameworks/numpy.md")


@pytest.mark.feature("PyTorch", "example runs")
def test_torch_page():
    pytest.importorskip("torch")
    run_page("docs/frameworks/torch.md")


@pytest.mark.feature("JAX", "example runs")
def test_jax_page():
    pytest.importorskip("jax")
    run_page("docs/frameworks/jax.md")


@pytest.mark.feature("Dask", "example runs")
def test_dask_page():
    pytest.importorskip("dask")
    run_page("docs/frameworks/dask.md")


@pytest.mark.gpu
def test_cupy_page():
    pytest.importorskip("cupy")
    run_page("docs/frameworks/cupy.md")


@pytest.mark.feature("Numba code", "example runs")
def test_njit_page():
    run_page("docs/frameworks/njit.md")


@pytest.mark.feature("Triton code", "example runs")
@pytest.mark.skipif(sys.platform != "linux", reason="Triton has wheels for Linux only")
def test_triton_page():
    pytest.importorskip("torch")
    run_page("docs/frameworks/triton.md", TRITON_INTERPRET="1")


def test_training_gradient(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    import house_network

    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((20, 8)), rng.standard_normal(20)
    for depth in (1, 2, 3):
        theta = 0.3 * rng.standard_normal(sum(np.prod(shape) for shape in house_network._shapes(depth)))
        direction = rng.standard_normal(theta.shape)

        def loss(step, theta=theta, direction=direction, depth=depth):
            return house_network._squared_error(house_network._network(theta + step * direction, depth), x, y)

        # The loss is piecewise quadratic, so that a central difference has rounding errors only: eps / step.
        slope = (loss(1e-6)[0] - loss(-1e-6)[0]) / 2e-6
        assert loss(0)[1] @ direction == pytest.approx(slope, rel=1e-7)
