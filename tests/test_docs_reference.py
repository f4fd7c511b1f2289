"""The reference: an entry for every function of every activation, with an example and the measured error."""

import doctest
import importlib
import json
from pathlib import Path

import pytest

pytest.importorskip("sphinx")

import fastmoments as fm  # noqa: E402 (the site's tools are optional)
from fastmoments.functions import Functions  # noqa: E402
from fastmoments_kernels.catalogue import CATALOGUE  # noqa: E402
from tests.settings import chosen  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def reference():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "docs" / "_sphinx")
        yield importlib.import_module("activation_pages")


def test_every_activation_has_a_page(reference):
    names = [name.removesuffix("_moments_vjp") for name in dir(fm) if name.endswith("_moments_vjp")]
    assert {row.name for row in CATALOGUE} < set(names)
    for name in set(names) - {""}:
        page = reference.page(name)
        assert all(f".. autofunction:: {name}_{kind}\n" in page for kind in Functions._fields)
        assert f"activations/{name}.md" in reference.table()


@pytest.mark.parametrize("kind", Functions._fields)
def test_examples_run(reference, kind):
    """The sessions in the entries, as Python's own doctest reads them."""
    with chosen("never"):
        for name in reference.NAMES:
            function = getattr(fm, f"{name}_{kind}")
            text = reference.completed(function.__doc__, f"{name}_{kind}")
            test = doctest.DocTestParser().get_doctest(text, {"fm": fm}, name, None, None)
            assert any(f"fm.{name}_{kind}(" in example.source for example in test.examples)
            assert doctest.DocTestRunner().run(test).failed == 0


def test_the_error_of_an_entry_is_the_recorded_one(reference):
    record = json.loads((ROOT / "tests" / "accuracy.json").read_text())
    worst = max(
        record[key]
        for backend in ("cpu", "eager", "eager.on_torch", "xla", "gpu")
        for key in (f"relu/{backend}/float64/cov", f"relu/{backend}/float64/cov/unseen")
        if key in record
    )
    text = reference.completed(fm.relu_cov.__doc__, "relu_cov")
    assert f"Measured: at most {worst:.2g} in float64" in text


def test_an_activation_to_a_tolerance_claims_no_eps(reference):
    page = reference.page("tanh")
    assert f"{fm.Custom.tol:g}" in page
    assert "eps" not in page
    assert "Measured" not in reference.completed(fm.tanh_cov.__doc__, "tanh_cov")
