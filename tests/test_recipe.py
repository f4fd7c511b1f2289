"""CONTRIBUTING's "Adding an activation", followed in a copy of the tree by relu under another name."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("torch")

from fastmoments_kernels.catalogue import CATALOGUE, row_of  # noqa: E402
from fastmoments_kernels.formulas.identity import interface_of  # noqa: E402
from tests import draw_unseen, new_activation, points, recipe  # noqa: E402
from tests.processes import ROOT  # noqa: E402

OLD, NAME = "relu", "rectified"
# Compiled modules are copied: Python would compile all of them anew
NOT_COPIED = (".*", "_build", "build", "dist")
# What the commands after `make activation` write
LATER = ("tests/accuracy.json", "docs/experiments/")


def section():
    return (ROOT / "CONTRIBUTING.md").read_text().partition("\n## Adding an activation\n")[2].partition("\n## ")[0]


def files():
    """The files that the recipe's steps name, in order."""
    return [path.replace("<name>", NAME) for path in re.findall(r"\*\*`([^`]+)`\*\*", section())]


def commands():
    return [
        line.partition("#")[0].strip() for line in re.search(r"```sh\n(.*?)```", section(), re.S)[1].splitlines()
    ]


def public_names(text):
    block = re.search(rf"\(\n    {OLD}_moments,.*?_functions_of\(ReLU\)\n", text, re.S)[0]
    return text + "from fastmoments_kernels.catalogue import Rectified as Rectified\n" + renamed(block)


def renamed(text):
    return text.replace(OLD, NAME).replace("ReLU", "Rectified")


def entered(text):
    row, kind = f'    Row("{OLD}", ReLU, {OLD}, kinks=(0.0,)),\n', "@dataclass(frozen=True, eq=False)\nclass ReLU"
    assert row in text and kind in text
    text = text.replace(row, row + renamed(row))
    text = text.replace(
        kind, f'@dataclass(frozen=True, eq=False)\nclass Rectified(Parameters):\n    """."""\n\n\n{kind}'
    )
    return f"from fastmoments_kernels.formulas import {NAME}\n{text}"


# What is written into each file, given the text that is there
STEPS = {
    recipe.FORMULA.format(NAME): lambda text: (ROOT / recipe.FORMULA.format(OLD)).read_text(),
    recipe.ROWS: entered,
    "fastmoments/__init__.py": public_names,
    "fastmoments/graph/frontends/torch_elementwise.py": lambda text: text.replace("ReLU", "Rectified").replace(
        "LeakyRectified", "LeakyReLU"
    ),
    "README.md": lambda text: f"{text}\n{NAME}\n",
    "docs/mathematics/activations.md": lambda text: f"{text}\n{NAME}\n",
}


@pytest.fixture
def copy(tmp_path):
    """The tree without what tools leave behind."""
    return Path(shutil.copytree(ROOT, tmp_path / "tree", ignore=shutil.ignore_patterns(*NOT_COPIED)))


def follow(copy, names):
    for name in names:
        path = copy / name
        before = path.read_text() if path.exists() else ""
        after = STEPS[name](before)
        assert after != before, name
        path.write_text(after)


def run(copy, *command, **environment):
    """Run a command in the copy; return its exit status and what it prints."""
    paths = os.pathsep.join(map(str, (copy, copy / "kernels")))
    given = os.environ | environment | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=copy, env=given, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def judged_on_numpy(copy):
    """`make activation` without a compiler."""
    program = f"import sys; from tests.new_activation import main; sys.exit(not main({NAME!r}, 'eager'))"
    return run(copy, sys.executable, "-c", program)


def take_rows(copy):
    """Rows of the other name: drawing takes half a minute."""
    table = copy / "tests" / "data" / "unseen.csv"
    header, *lines = table.read_text().splitlines()
    lines += [line.replace(OLD, NAME, 1) for line in lines if line.startswith(f"{OLD},")]
    table.write_text("\n".join((header, *lines)) + "\n")


def starred(output):
    return [line[2:] for line in output.splitlines() if line.startswith("* ")]


def test_the_page_names_every_file_and_command():
    assert files() == list(STEPS)
    assert commands()[0] == "make activation NAME=<name>"
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M)
    assert {line.split()[1] for line in commands() if line.startswith("make ")} <= set(targets)
    assert len(section().splitlines()) <= 40


def test_nothing_is_missing_of_what_there_is(one_thread):
    for row in CATALOGUE:
        assert not recipe.without_which_nothing_runs(row.name) + new_activation.inconsistent(row)
        assert not recipe.missing(row.name)


def test_every_step_left_out_is_missed(copy):
    formula, row, *others = files()
    status, output = judged_on_numpy(copy)
    assert status and [line.split(":")[0] for line in starred(output)] == [formula, row]
    follow(copy, (formula, row))
    take_rows(copy)
    _stub(copy / formula, "cov_20", "0.0 * cov_12")
    _stub(copy / formula, "var_partials", "0.0 * neuron[0], 0.0 * neuron[0]")
    _stub(copy / formula, "series_step", "0.0 * last")
    status, output = judged_on_numpy(copy)
    large = {line.split()[1] for line in output.splitlines() if line.endswith("too large")}
    assert status and large == {"cov_20", "var_partials"}
    assert any(line.startswith("series, series_step, coefficient: ") for line in starred(output))
    assert {line.split(":")[0] for line in starred(output)} >= {*others, "tests/accuracy.json"}
    assert f'"{NAME}/' not in (copy / "tests" / "accuracy.json").read_text()


def _stub(path, function, value):
    """A function that returns the value, as one writes before its formula is found."""
    text, count = re.subn(
        rf"(def {function}\(.*?:\n    \"\"\".*?\"\"\"\n)", rf"\1    return {value}\n", path.read_text()
    )
    assert count == 1
    path.write_text(text)


def test_the_recipe_on_numpy(copy):
    follow(copy, files())
    take_rows(copy)
    _, output = judged_on_numpy(copy)
    assert "All are within 8" in output, output
    assert all(line.startswith(LATER) for line in starred(output)), output
    assert f'"{NAME}/eager/' in (copy / "tests" / "accuracy.json").read_text()


def test_rows_are_drawn_again_where_f_has_changed(tmp_path, monkeypatch):
    header, *lines = points.UNSEEN.read_text().splitlines()
    drawn = []
    monkeypatch.setattr(points, "UNSEEN", tmp_path / "unseen.csv")
    monkeypatch.setattr(draw_unseen, "main", drawn.append)
    for other, times in (("relu", 0), ("heaviside", 1)):
        row = next(line for line in lines if line.startswith(f"{other},"))
        points.UNSEEN.write_text("\n".join((header, row.replace(other, "relu", 1))) + "\n")
        new_activation.truth_of(row_of("relu"))
        assert len(drawn) == times


def changed(row, function, value):
    """The row with another function of its formula."""
    own = interface_of(row.formula) | {name: getattr(row.formula, name) for name in recipe.ALSO}
    return row._replace(formula=SimpleNamespace(**own | {function: value}))


@pytest.mark.parametrize("function", recipe.ALONG)
def test_a_stub_along_parameters_is_seen(function):
    row = changed(row_of("npn"), function, lambda *neurons: (0.0,) * 4)
    (line,) = new_activation.inconsistent(row)
    assert line.startswith(function)


def test_a_kink_that_is_not_named_is_seen():
    (line,) = recipe._kinks(row_of("relu")._replace(kinks=()))
    assert "breaks near -0.000" in line


def test_what_binding_refuses_is_said_before_anything_is_compiled():
    (line,) = recipe._unbound(changed(row_of("relu"), "mean", lambda neuron: neuron[0]))
    assert "is a lambda" in line


@pytest.mark.slow  # draws truth, and compiles the kernels
@pytest.mark.skipif(shutil.which("make") is None, reason="no make")
def test_the_recipe(copy, tmp_path):
    follow(copy, files())
    command = commands()[0].replace("<name>", NAME).split()
    # in the environment that runs this
    installed = (f"BIN={Path(sys.executable).parent}", "-o", ".venv/.installed-test")
    cache = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "NUMBA_CACHE_DIR": ""}
    _, output = run(copy, *command, *installed, **cache)
    assert "All are within 8" in output, output
    assert all(line.startswith(LATER) for line in starred(output)), output
    assert f'"{NAME}/cpu/' in (copy / "tests" / "accuracy.json").read_text()
    judge = ("tests/test_conformance.py", "-k", f"{NAME}-cpu", "-m", "slow or not slow")
    conformance = ("-m", "pytest", "-q", "-p", "no:cacheprovider", *judge)
    status, output = run(copy, sys.executable, *conformance, **cache)
    assert not status and "1 passed" in output, output
