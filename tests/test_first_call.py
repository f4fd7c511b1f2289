"""Calls that nothing has compiled: which kernels answer, what is said, and compilation ahead of use."""

import io
import time
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import fastmoments as fm
from fastmoments import __main__ as command
from fastmoments_kernels import storage
from fastmoments_kernels.background import marks, process, program
from fastmoments_kernels.background.entries import LARGE, Entry, from_text
from fastmoments_kernels.serving import choice
from tests.settings import chosen

SETTING = "fastmoments_kernels.serving.compilation._chosen"
ENTRY = Entry("mean", "relu", 2, "float64")


@pytest.fixture
def fresh(monkeypatch, tmp_path):
    """A process that knows nothing of what is compiled, with an empty cache; returns what it compiles."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    for state in ("_by_numpy", "_told", "_said"):
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


def forget():
    """As another process, which knows marks on disk alone: nothing was compiled but by name."""
    fm.set_compilation("background")


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
    assert "; `python -m fastmoments warm-up relu_mean --dtypes float64` does so ahead of time" in line
    assert not choice.by_numpy(ENTRY, 10) and fresh == [ENTRY]
    assert marks.has(ENTRY.text)


@pytest.mark.parametrize(
    ("name", "waited_for"),
    [
        ("relu_mean", "mean-relu-2-float32"),
        ("relu_cov_partials", "cov_partials-relu-5-float32"),
        ("npn_moments", "large_moments-npn-4-float32"),
        ("npn_moments_vjp", "parameter_vjp-npn-4-float32"),
        ("gelu_layer", "linear_marginals-gelu-0-float32"),
        ("bivariate_normal_cdf", "bivariate_normal_cdf-none-3-float32"),
    ],
)
def test_the_command_that_is_told_compiles_what_was_waited_for(name, waited_for, fresh, capsys):
    fm.warm_up(name, dtypes="float32")
    assert waited_for in {entry.text for entry in fresh}
    capsys.readouterr()
    choice.compile_here(from_text(waited_for))
    assert f"; `python -m fastmoments warm-up {name} --dtypes float32` does so" in capsys.readouterr().err


def test_no_command_is_told_where_none_compiles_the_function(fresh, capsys):
    for text in ("moments-gaussian_mixture-6-float64", "block-relu-0-float64", "mean_dvar-relu-2-float64"):
        choice.compile_here(from_text(text))
    assert "warm-up" not in capsys.readouterr().err


def test_layers_of_few_neurons_never_wait(fresh, capsys, monkeypatch):
    """NumPy's products serve until another process has compiled the kernel, and without Numba."""
    entry, given = Entry("congruence", "none", 0, "float64"), (np.zeros(2), np.eye(2), np.ones((3, 2)))
    wanted = np.full((3, 3), 2.0)
    assert not choice.at_hand(entry, 10**12)
    assert np.array_equal(fm.affine_moments(*given).cov, wanted)
    assert fm.plan(0.0).routes == {"layers of few neurons (float64)": "numpy"}
    forget()
    marks.put(entry.text)
    assert choice.at_hand(entry, 1)
    forget()
    monkeypatch.setattr(marks, "has", lambda text: False)

    def check():
        raise ModuleNotFoundError

    monkeypatch.setattr(choice, "check_installed", check)
    for when in ("background", "wait", "never"):
        fm.set_compilation(when)
        assert np.array_equal(fm.affine_moments(*given).cov, wanted)
    assert fresh == [] and not capsys.readouterr().err


def test_many_small_calls_wait_in_the_end(fresh, capsys):
    """Where the other process gets no time, an entry is compiled after 20 s of NumPy's."""
    calls = next(k for k in range(10**4) if not choice.by_numpy(ENTRY, 10**7))
    assert 10 < calls < 30 and fresh == [ENTRY]


def test_waiting_says_what_it_waits_for(fresh, capsys):
    fm.set_compilation("wait")
    assert not choice.by_numpy(ENTRY, 1) and not choice.by_numpy(ENTRY, 1)
    assert fresh == [ENTRY] and capsys.readouterr().err.count("\n") == 1


def test_threads_that_wait_say_it_once(fresh, capsys):
    """One compiles, and the others go on with what it compiled."""
    fm.set_compilation("wait")
    with ThreadPoolExecutor(4) as pool:
        with marks.alone(ENTRY.text, wait=False):
            answers = [pool.submit(choice.by_numpy, ENTRY, 1) for _ in range(4)]
            time.sleep(4 * storage.PAUSE)
            assert fresh == []
    assert not any(answer.result() for answer in answers)
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
        # nor does waiting help: a program that runs goes on
        assert all(choice.by_numpy(ENTRY, 10**7) for _ in range(30)) and fresh == []


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

    assert cpu.small.SMALL == LARGE


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        (("relu_cov",), {"cov-relu-5-float64"}),
        (("bivariate_normal_cdf",), {"bivariate_normal_cdf-none-3-float64"}),
        (("tanh",), {"mean-heaviside-2-float64"}),
        (("relu",), {"linear_marginals-relu-0-float64", "congruence-none-0-float64"}),
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
    forget()
    fm.warm_up(*names, dtypes="float64")
    assert capsys.readouterr().err.endswith(" is compiled\n")


def test_warm_up_compiles_mixtures_of_every_size(fresh):
    fm.warm_up(*(fm.GaussianMixture([1.0] * k, [1.0] * k) for k in (1, 2)), dtypes="float64")
    assert {entry.given for entry in fresh if entry.function == "moments"} == {3, 6}


@pytest.mark.parametrize(
    ("wrong", "options", "message"),
    [
        ("rellu", {}, "got 'rellu'; did you mean \"relu\""),
        ("relu_mean_of", {}, "or the name of one and _moments, .*got 'relu_mean_of'"),
        ("gaussian_mixture", {}, r"an object, such as GaussianMixture\(weights, taus\), got 'gaussian_mixture'"),
        ("gaussian_mixture_cov", {}, "an object, such as GaussianMixture"),
        (fm.GaussianMixture, {}, "an object, such as GaussianMixture"),
        (np.tanh, {}, 'did you mean "tanh"'),
        ("relu", {"dtypes": "float16"}, 'dtypes: expected "float32", "float64" or both, got \'float16\''),
        ("relu", {"dtypes": ()}, "dtypes: expected"),
    ],
)
def test_warm_up_refuses_what_it_does_not_know(wrong, options, message, fresh):
    with pytest.raises(ValueError, match=message):
        fm.warm_up(wrong, **options)
    assert fresh == []


def test_warm_up_does_not_change_the_setting(fresh):
    """It compiles for other processes, and NumPy goes on in this one."""
    fm.set_compilation("never")
    fm.warm_up("relu_mean", dtypes="float64")
    assert fresh == [ENTRY] and choice.by_numpy(ENTRY, 1) and marks.has(ENTRY.text)


def test_the_command(fresh, capsys):
    assert command.main(["warm-up", "--dtypes", "float64", "relu_mean"]) == 0 and fresh == [ENTRY]
    forget()
    assert command.main(["warm-up", "relu_mean", "--dtypes", "float32", "--dtypes", "float64"]) == 0
    assert fresh == [ENTRY, ENTRY._replace(dtype="float32")]
    with pytest.raises(SystemExit) as end:
        command.main(["warm-up", "rellu"])
    assert end.value.code == 2 and "did you mean" in capsys.readouterr().err


@pytest.mark.parametrize("is_closed", [True, False])
def test_nobody_has_to_read_what_is_said(fresh, monkeypatch, is_closed):
    """Standard error that is closed, or that was never there."""
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr("sys.stderr", closed if is_closed else None)
    fm.warm_up("relu_mean", dtypes=np.float64)
    choice.compile_here(ENTRY._replace(function="var"))
    assert [entry.function for entry in fresh] == ["mean", "var"]
