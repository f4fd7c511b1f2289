"""Compute an experiment's missing cases one after the other; write the page and the figure of the present ones."""

import json
import os
from importlib import import_module
from pathlib import Path
from typing import Any

# Before NumPy: the matrices are small, and a second BLAS thread costs more than it gains.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from tqdm import tqdm

from experiments.figures import sign
from experiments.tables import wrapped

ROOT = Path(__file__).resolve().parents[1]
DOCS, FAST_DOCS = ROOT / "docs", ROOT / ".experiments"
DIGITS = 4  # digits that are kept


def load(name: str) -> Any:
    """The module of an experiment."""
    return import_module(f"experiments.{name}")


def name_of(experiment: Any) -> str:
    return str(experiment.__name__).rpartition(".")[2]


def results_path(experiment: Any, docs: Path) -> Path:
    return docs / "experiments" / f"{name_of(experiment)}.json"


def page_path(experiment: Any, docs: Path) -> Path:
    return docs / "experiments" / f"{name_of(experiment)}.md"


def figure_path(experiment: Any, docs: Path) -> Path:
    return docs / "figures" / f"{name_of(experiment)}.png"


def run(experiment: Any, docs: Path, fast: bool = False, again: bool = False) -> None:
    """Compute what is missing; results of another size are missing too, where more differs than the activations."""
    size, path = experiment.FAST if fast else experiment.FULL, results_path(experiment, docs)
    kept = json.loads(path.read_text()) if path.exists() and not again else {"size": {}, "results": {}}
    results = kept["results"] if _of_a_case(kept["size"]) == _of_a_case(size) else {}
    path.parent.mkdir(parents=True, exist_ok=True)
    cases = experiment.cases(size)
    for case, compute in tqdm(cases.items(), desc=name_of(experiment), unit="case"):
        if case not in results:
            results[case] = rounded(compute())
            _store(path, {"size": size, "results": {name: results[name] for name in cases if name in results}})


def _of_a_case(size: dict[str, Any]) -> dict[str, Any]:
    """A size without the list of activations, which says which cases there are and not how much each computes."""
    return {name: value for name, value in size.items() if name != "activations"}


def write(experiment: Any, docs: Path) -> None:
    """Write page and figure from the results."""
    kept = json.loads(results_path(experiment, docs).read_text())
    page_path(experiment, docs).write_text(page(experiment, kept))
    figure = figure_path(experiment, docs)
    figure.parent.mkdir(exist_ok=True)
    experiment.draw(kept["size"], kept["results"], figure)
    sign(figure, results_path(experiment, docs))


def page(experiment: Any, kept: dict[str, Any]) -> str:
    """The text of an experiment's page."""
    return wrapped(experiment.page(kept["size"], kept["results"]))


def rounded(value: Any) -> Any:
    """The results with all numbers rounded to a few digits."""
    if isinstance(value, dict):
        return {str(key): rounded(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(part) for part in value]
    return value if isinstance(value, int | str) else float(f"{float(value):.{DIGITS}g}")


def _store(path: Path, kept: dict[str, Any]) -> None:
    """Replace the file in one step: an interruption leaves the old file."""
    part = path.with_suffix(".part")
    part.write_text(json.dumps(kept, indent=1) + "\n")
    part.replace(path)
