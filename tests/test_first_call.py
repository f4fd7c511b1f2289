"""Calls that nothing has compiled: what NumPy answers, which kernels answer, and the setting."""

import math
import warnings
from contextlib import contextmanager

import numpy as np
import pytest

import fastmoments as fm
from fastmoments import __main__ as command
from fastmoments_kernels.background import marks, process, program
from fastmoments_kernels.background.entries import LARGE, Entry, from_text
from fastmoments_kernels.catalogue import row_of
from fastmoments_kernels.serving import choice, compilation
from tests import test_matrices, test_parameters, truth
from tests.test_inputs import gaussian

AT_ZERO = 1.0 / math.sqrt(2.0 * math.pi)  # the mean of relu at N(0, 1)
EPS = np.finfo(np.float64).eps
SETTING = "fastmoments_kernels.serving.compilation._chosen"
ENTRY = Entry("mean", "relu", 2, "float64")


@contextmanager
def chosen(when):
    """Another setting for a while."""
    before, compiled, ufuncs = fm.compilation(), compilation.compiled.copy(), compilation.ufuncs.copy()
    fm.set_compilation(when)
    yield
    fm.set_compilation(before)
    compilation.compiled.update(compiled)
    compilation.ufuncs.update(ufuncs)


@pytest.fixture
def never():
    with chosen("never"):
        yield


@pytest.fixture
def fresh(monkeypatch, tmp_path):
    """A process that knows nothing of what is compiled, with an empty cache; returns what it compiles."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    for state in ("_by_numpy", "_told"):
        monkeypatch.setattr(choice, state, type(getattr(choice, state))())
    compiled = []
    monkeypatch.setattr(choice, "compile_entry", compiled.append)
    monkeypatch.setattr(process, "give", lambda entry: True)
    with chosen("background"):
        for forget in (marks.folder.cache_clear, marks._store.cache_clear):
            forget()
        yield compiled
    for forget in (marks.folder.cache_clear, marks._store.cache_clear):
        forget()


@pytest.mark.parametrize(
    "name, kind", [("relu", "typical"), ("relu", "zero_variance"), ("npn", "typical"), ("gelu", "tails")]
)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_numpy_keeps_the_contract_of_matrices(name, kind, dtype, never):
    test_matrices.judge(row_of(name), kind, 5, dtype, count=1)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_numpy_keeps_the_contract_of_gradients(dtype, never):
    test_matrices.test_gradient(row_of("relu"), "typical", 5, dtype)


def test_chunks_of_pairs_are_the_whole(never, monkeypatch):
    """Some pairs at a time, in place, of a batch: the bits of all at once."""
    mu, cov = (np.stack(x) for x in zip(gaussian(20), gaussian(20, seed=3), strict=True))
    bars = gaussian(20, seed=1)
    expected = *fm.gelu_moments(mu, cov), *fm.gelu_moments_vjp(mu, cov, *(np.stack([x, x]) for x in bars))
    monkeypatch.setattr("fastmoments_kernels.eager.matrices.CHUNK", 100)
    found = *fm.gelu_moments(mu, cov), *fm.gelu_moments_vjp(mu, cov, *(np.stack([x, x]) for x in bars))
    assert all(np.array_equal(a, b) for a, b in zip(expected[:2], found[:2], strict=True))
    for a, b in zip(expected[2:], found[2:], strict=True):  # sums in another order
        assert np.allclose(a, b, rtol=64 * EPS, atol=64 * EPS)
    out = mu.copy(), cov.copy()
    fm.gelu_moments(*out, out=out)
    assert all(np.array_equal(a, b) for a, b in zip(expected, out, strict=False))


def test_numpy_takes_any_layout(never):
    mu, cov = gaussian(6)
    wide = np.zeros((12, 12))
    wide[::2, ::2] = cov
    strided = wide[::2, ::2]
    strided.setflags(write=False)
    assert np.array_equal(fm.relu_moments(mu, strided).cov, fm.relu_moments(mu, cov).cov)
    assert fm.relu_moments(np.zeros(0), np.zeros((0, 0))).cov.shape == (0, 0)
    assert fm.relu_mean(np.zeros((0, 3)), 1.0).shape == (0, 3)
    one = np.ones((2, 1)), np.ones((2, 1, 1))
    assert fm.relu_moments_vjp(*one, *one).mu_bar.shape == (2, 1)


def test_a_layer_by_numpy(never):
    """Against sums in extended precision and integrals of relu."""
    mu, var, weight, weight_var = (
        np.array([0.5, -1.0]),
        np.array([0.3, 2.0]),
        np.array([[1.0, 0.7]]),
        np.full((1, 2), 0.1),
    )
    mean, spread = (mu @ weight.T)[0], (var @ (weight**2 + weight_var).T + mu**2 @ weight_var.T)[0]
    found = fm.bayes_linear_marginals(mu, var, weight, weight_var)
    assert np.allclose(found, [[mean], [spread]], rtol=4 * EPS, atol=0)
    want = truth.neuron_truth(truth.activation(row_of("relu")), found.mean[0], found.var[0])
    found = fm.bayes_linear_marginals(mu, var, weight, weight_var, activation="relu")
    for got, name in zip(found, ("mean", "var"), strict=True):
        assert float(got[0]) == pytest.approx(float(want[name].value), rel=16 * EPS, abs=0)


def test_gradients_along_parameters_by_numpy(never):
    test_parameters.test_vjp_along_parameters(row_of("gaussian"), "float64")


def test_blocks_by_numpy(never, synchronous):
    """Dask's blocks, on and off the diagonal, are parts of the matrix that is judged above."""
    dask = pytest.importorskip("dask.array")
    mu, cov = gaussian(7)
    mean_bar, cov_bar = gaussian(7, seed=1)
    lazy = [dask.from_array(x, chunks=3) for x in (mu, cov, mean_bar, cov_bar)]
    assert np.allclose(
        fm.relu_moments(*lazy[:2]).cov.compute(), fm.relu_moments(mu, cov).cov, rtol=8 * EPS, atol=EPS
    )
    want = fm.relu_moments_vjp(mu, cov, mean_bar, cov_bar)
    for got, of in zip(fm.relu_moments_vjp(*lazy), want, strict=True):
        assert np.allclose(got.compute(), of, rtol=64 * EPS, atol=64 * EPS)


def test_options_of_ufuncs_by_numpy(never):
    mu, out = np.zeros(3), np.full(3, 7.0)
    assert fm.relu_mean(mu, 1.0, out=out, where=[True, False, True]) is out
    assert out == pytest.approx([AT_ZERO, 7.0, AT_ZERO], rel=8 * EPS)
    pair = np.empty(3), np.empty(3)
    assert fm.relu_marginals(mu, 1.0, out=pair).mean is pair[0]
    assert pair[1] == pytest.approx(0.5 - 0.5 / math.pi, rel=8 * EPS)
    assert fm.relu_mean(mu, 1.0, dtype="float32").dtype == np.float32
    wider = fm.relu_mean(np.zeros(2, np.float32), np.float32(1.0), dtype="float64")
    assert wider.dtype == np.float64 and wider == pytest.approx(AT_ZERO, rel=8 * EPS)
    with pytest.raises(TypeError):
        fm.relu_mean(mu, 1.0, out=np.zeros(3, int))
    with pytest.raises(ValueError, match="read-only"):
        fm.relu_mean(mu, 1.0, out=np.broadcast_to(0.0, 3))
    with pytest.raises(RuntimeError, match=r"relu_var \(float32\): NumPy's ufuncs are compiled, but .* never"):
        _ = fm.ufuncs.relu_var


def test_the_setting():
    with chosen("never"), pytest.MonkeyPatch.context() as monkeypatch:
        assert fm.compilation() == "never"
        with pytest.raises(ValueError, match='when: expected "background", "wait" or "never", got \'always\''):
            fm.set_compilation("always")
        monkeypatch.setattr(SETTING, None)
        monkeypatch.delenv("FASTMOMENTS_COMPILE")
        assert fm.compilation() == "background"
        monkeypatch.setattr(SETTING, None)
        monkeypatch.setenv("FASTMOMENTS_COMPILE", "soon")
        with pytest.raises(ValueError, match="FASTMOMENTS_COMPILE: expected"):
            fm.relu_mean(0.0, 1.0)


def test_what_is_small_is_answered_and_what_is_large_waits(fresh, capsys):
    assert choice.by_numpy(ENTRY, 10) and fresh == []
    assert not choice.by_numpy(ENTRY, 10**9) and fresh == [ENTRY]
    line = capsys.readouterr().err
    assert line.count("\n") == 1 and "compiling relu_mean (float64), about 1 s, kept in" in line
    assert "python -m fastmoments warm-up" in line
    assert not choice.by_numpy(ENTRY, 10) and fresh == [ENTRY]
    assert marks.has(ENTRY.text)


def test_many_small_calls_wait_in_the_end(fresh, capsys):
    """Where the other process gets no time, an entry is compiled after 20 s of NumPy's."""
    calls = next(k for k in range(10**4) if not choice.by_numpy(ENTRY, 10**7))
    assert 10 < calls < 30 and fresh == [ENTRY]


def test_waiting_says_what_it_waits_for(fresh, capsys):
    fm.set_compilation("wait")
    assert not choice.by_numpy(ENTRY, 1) and not choice.by_numpy(ENTRY, 1)
    assert fresh == [ENTRY] and capsys.readouterr().err.count("\n") == 1


def test_without_another_process_calls_wait(fresh, monkeypatch, capsys):
    monkeypatch.setattr(process, "give", lambda entry: False)
    assert not choice.by_numpy(ENTRY, 1) and fresh == [ENTRY]


def test_what_cannot_be_compiled_is_said_once(fresh, monkeypatch):
    def fail(entry):
        raise process.CannotCompileError("ImportError: no module")

    monkeypatch.setattr(process, "give", fail)
    with pytest.warns(RuntimeWarning, match=r"relu_mean \(float64\) is answered by NumPy, slowly.*no module"):
        assert choice.by_numpy(ENTRY, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert choice.by_numpy(ENTRY, 1)


def test_one_process_compiles_an_entry(fresh, monkeypatch):
    """An entry that another process is at, or was, is left to it; a lock that is left behind holds nobody."""
    done = []
    monkeypatch.setattr("fastmoments_kernels.background.entries.compile_entry", done.append)
    with marks.alone(ENTRY.text, wait=True) as mine:
        assert mine
        program.compile_alone(ENTRY.text)
    assert done == []
    program.compile_alone(ENTRY.text)
    program.compile_alone(ENTRY.text)
    assert done == [ENTRY] and marks.has(ENTRY.text)


def test_a_failure_is_known_to_the_parent(fresh, monkeypatch):
    def fail(entry):
        raise RuntimeError("no compiler")

    monkeypatch.setattr("fastmoments_kernels.background.entries.compile_entry", fail)
    program.compile_alone(ENTRY.text)
    assert marks.failure(ENTRY.text, 0.0) == "RuntimeError: no compiler"
    assert marks.failure(ENTRY.text, 1e12) is None and not marks.has(ENTRY.text)


def test_the_plan_says_which_answered(fresh):
    x = np.zeros(1)
    fm.relu_mean(x, x)
    choice._now_compiled(ENTRY._replace(function="var"))
    plan = fm.plan(x)
    assert plan.routes == {"relu_mean (float64)": "numpy", "relu_var (float64)": "compiled"}
    assert str(plan).splitlines()[3:] == [
        "  background: NumPy answers small calls until a process has compiled their kernels (fm.set_compilation)",
        "  answered by NumPy so far: relu_mean (float64)",
        "  compiled: relu_var (float64)",
    ]


def test_entries_are_their_texts():
    for entry in (ENTRY, Entry("log_bivariate_normal_cdf", "none", 3, "float32")):
        assert from_text(entry.text) == entry
    from fastmoments_kernels import cpu

    assert cpu.matrices.SMALL == LARGE


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        (("relu_cov",), {"cov-relu-5-float64"}),
        (("bivariate_normal_cdf",), {"bivariate_normal_cdf-none-3-float64"}),
        (("tanh",), {"mean-heaviside-2-float64"}),
        ((fm.ReLU6(), "exp"), {"moments-relu-0-float64", "mean-relu-2-float64"}),
        (("npn",), {"moments_vjp-npn-4-float64", "parameter_vjp-npn-4-float64", "large_moments-npn-4-float64"}),
        ((fm.GaussianMixture([1.0, 2.0], [1.0, 2.0]),), {"moments-gaussian_mixture-6-float64"}),
    ],
)
def test_warm_up_knows_every_function(names, wanted, fresh, capsys):
    fm.warm_up(*names, dtypes="float64")
    assert {entry.text for entry in fresh} >= wanted
    first, *lines = capsys.readouterr().err.splitlines()
    assert "compiling" in first and " s and half a gigabyte, kept in " in first and len(lines) == len(names)
    fm.warm_up(*names, dtypes="float64")
    assert capsys.readouterr().err.endswith(" is compiled\n")


def test_warm_up_refuses_what_it_does_not_know(fresh, capsys):
    with pytest.raises(ValueError, match="got 'rellu'; did you mean \"relu\""):
        fm.warm_up("rellu")
    assert command.main(["warm-up", "relu_mean", "--dtypes", "float64"]) == 0 and fresh == [ENTRY]
    with pytest.raises(SystemExit) as end:
        command.main(["warm-up", "rellu"])
    assert end.value.code == 2 and "did you mean" in capsys.readouterr().err
