"""The notebooks print what they say."""

import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_prints_what_it_says(path, monkeypatch):
    for module in ("nbclient", "matplotlib", "sklearn", "torch", "jax"):
        pytest.importorskip(module)
    monkeypatch.syspath_prepend(ROOT / "tools")
    notebooks = importlib.import_module("notebooks")
    said = notebooks.printed(notebooks.nbformat.read(path, as_version=4))
    assert said
    assert notebooks.printed(notebooks.executed(path)) == said
