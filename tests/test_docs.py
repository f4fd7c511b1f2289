"""The pages: their code prints their outputs, the site builds, and formulas refer to functions that exist."""

import importlib
import json
import re
import runpy
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest

import fastmoments as fm
from experiments.figures import digest, shown
from fastmoments_kernels.formulas import bivariate, near_one
from tests.conformance import BOUND

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
# those of single activations are written by the site's build, and have a test of their own
PAGES = [str(page.relative_to(ROOT)) for page in sorted(DOCS.rglob("*.md")) if page.parent.name != "activations"]
# pages of frameworks need the framework, or a device, and have tests of their own
WITH_CODE = [page for page in PAGES if "frameworks/" not in page and "```python\n" in (ROOT / page).read_text()]
FORMULAS = ROOT / "kernels" / "fastmoments_kernels" / "formulas"


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```", (ROOT / page).read_text(), re.S | re.M)


@pytest.mark.parametrize("page", WITH_CODE)
def test_the_code_of_a_page_prints_what_it_says(page, tmp_path, capsys):
    torch = pytest.importorskip("torch")
    script = tmp_path / "page.py"
    script.write_text("\n".join(blocks(page, "python")))
    threads = torch.get_num_threads()
    try:
        runpy.run_path(str(script))
    finally:
        torch.set_num_threads(threads)
    assert capsys.readouterr().out == "".join(blocks(page, "text"))


def test_the_site_builds_without_a_warning_and_has_every_function(tmp_path):
    pytest.importorskip("sphinx")
    site = tmp_path / "site"  # notebooks leave a folder beside it
    command = [sys.executable, "-m", "sphinx", "--fail-on-warning", "--keep-going", "-q", str(DOCS), str(site)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    pages = [page.read_text() for page in site.rglob("*.html")]
    assert len(pages) > len(PAGES)
    assert not any("<mtext>\\" in page for page in pages)
    index = (site / "searchindex.js").read_text()
    found = json.loads(index.removeprefix("Search.setIndex(").removesuffix(")"))["objects"]
    entries = {f"{module}.{name}" for module, names in found.items() for *_, name in _named(names)}
    for module in (fm, importlib.import_module("fastmoments.compare"), importlib.import_module("fastmoments.nn")):
        for name in _public(module):
            assert f"{module.__name__}.{name}" in entries, f"{module.__name__}.{name} has no entry"


def _named(names):
    """The rows of an index of objects, by name in a dictionary or with the name last in a list."""
    return [(name,) for name in names] if isinstance(names, dict) else names


def _public(module):
    """The functions and classes of a module that users call; fm.nn.propagate is another name of fm.propagate."""
    named = {name: value for name, value in vars(module).items() if not name.startswith("_") and callable(value)}
    return [name for name, value in named.items() if module is fm or value is not fm.propagate]


@pytest.mark.parametrize("page", PAGES)
def test_a_page_names_no_test(page):
    """Comments may, which readers do not see; the mathematics names the files of the formulas."""
    text = re.sub(r"<!--.*?-->", "", (ROOT / page).read_text(), flags=re.S)
    assert not re.search(r"tests/|test_\w+\.py|do not edit", text)


@pytest.mark.parametrize(
    "module", ["benchmarks.page", "benchmarks.peers_page", "accuracy_page", "readme_figures", "when_to_use"]
)
def test_a_page_says_what_the_results_say(module, monkeypatch):
    """A page equals the one made from the committed results; experiments' pages have tests of their own."""
    monkeypatch.syspath_prepend(ROOT / "tools")
    if module.startswith("benchmarks"):
        pytest.importorskip("threadpoolctl")
    page = importlib.import_module(module)
    assert page.text() == page.PAGE.read_text()


def test_a_changed_result_changes_the_readme(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(ROOT / "tools")
    page = importlib.import_module("readme_figures")
    for path in page.RESULTS.glob("*.json"):
        (tmp_path / path.name).write_text(path.read_text())
    cpu = json.loads((tmp_path / "cpu.json").read_text())
    cpu["targets"][0]["ratio"] *= 1.1
    (tmp_path / "cpu.json").write_text(json.dumps(cpu))
    monkeypatch.setattr(page, "RESULTS", tmp_path)
    assert page.text() != page.PAGE.read_text()


def test_the_accuracy_figure_shows_its_results(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "tools")
    pytest.importorskip("tqdm")
    figure = importlib.import_module("accuracy_figure")
    assert shown(figure.FIGURE) == digest(figure.RESULTS)


@pytest.mark.parametrize("page", ["README.md", "docs/faq.md", "docs/frameworks/torch.md", "docs/performance.md"])
def test_a_page_says_that_no_card_has_run_the_kernels_until_one_has(page):
    results = [json.loads(path.read_text()) for path in (ROOT / "benchmarks" / "results").glob("*.json")]
    says = re.search(r"no card has run", " ".join((ROOT / page).read_text().split()), re.I)
    assert (says is None) == any("card" in result for result in results)


TOLERANCE = f"{fm.Custom.tol:g}"


@pytest.mark.parametrize(
    ("page", "says"),
    [
        ("README.md", f"promised are {BOUND}"),
        ("docs/accuracy.md", f"the contract is {BOUND}"),
        ("docs/mathematics.md", rf"\le {BOUND}\, \text{{eps}}"),
        ("docs/mathematics.md", f"{2 * len(bivariate.LONGEST)} Gauss-Legendre nodes"),
        ("docs/mathematics.md", rf"\max(1, b) \le {Fraction(near_one.NEAR)}"),
        ("docs/migration.md", f"are exact, or to {TOLERANCE}"),
        ("docs/networks.md", f"by quadrature to {TOLERANCE}"),
    ],
)
def test_a_page_says_what_the_code_says(page, says):
    """Numbers in prose equal the constants of the code."""
    assert says in " ".join((ROOT / page).read_text().split())


def test_the_most_features_are_those_of_the_code():
    pytest.importorskip("torch")
    limit = importlib.import_module("fastmoments.graph.propagate").LIMIT
    assert f"{limit} features" in " ".join((DOCS / "networks.md").read_text().split())


def test_the_counted_kernels_are_those_of_the_code():
    pytest.importorskip("triton", reason="Triton has wheels for Linux only")
    matrices = importlib.import_module("fastmoments_kernels.gpu.matrices")
    most = " or ".join(f"{layout.terms} ({dtype})" for dtype, layout in matrices.LAYOUTS.items())
    page = (DOCS / "performance.md").read_text()
    assert f"at most {most}" in page
    assert f"{matrices.SWEEP} to N terms" in page


def test_the_inputs_of_the_peers_are_those_of_the_page():
    pytest.importorskip("threadpoolctl")
    peers = importlib.import_module("benchmarks.peers")
    (low, high, _), (tail_low, tail_high, _) = peers.BANDS["0.9"], peers.BANDS["tail"]
    page = " ".join((DOCS / "peers.md").read_text().split())
    assert f"means between {low:g} and {high:g}" in page
    assert f"means between {tail_low:g} and {tail_high:g}" in page


@pytest.mark.parametrize("page", [page for page in PAGES if "mathematics" in page])
def test_every_function_the_mathematics_names_exists(page):
    named = re.findall(r"`([a-z_/0-9]+\.py):(\w+)`", (ROOT / page).read_text())
    assert named
    for file, function in named:
        if file == "file.py":
            continue
        folders = (FORMULAS, FORMULAS.parent, ROOT / "fastmoments")
        source = next(folder / file for folder in folders if (folder / file).exists()).read_text()
        assert re.search(rf"^(def|class) {function}\b|^{function} = ", source, re.M), f"{file}:{function}"
