"""The cells of docs/frameworks.md: which framework has which feature, and the tests that prove it.

A test is marked `@pytest.mark.feature("PyTorch", "forward mode")`. A third word, such as "refused", stands in the
cell in place of yes. The marks are read from the source: collecting imports every framework.
"""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "frameworks.md"
TITLES = {
    "NumPy": "frameworks/numpy.md",
    "PyTorch": "frameworks/torch.md",
    "JAX": "frameworks/jax.md",
    "Dask": "frameworks/dask.md",
    "CuPy": "frameworks/cupy.md",
    "Numba code": "frameworks/njit.md",
    "Triton code": "frameworks/triton.md",
}
TEXT = """# Frameworks

<!-- Written by `make frameworks`, which runs the tests and writes this page if all pass; do not edit. -->

Each cell is tested. A cell with another word than yes says what happens instead, which is tested too. An empty cell
says that the feature does not apply or does not exist.

{table}

```{{toctree}}
:hidden:
:glob:

frameworks/*
```
"""


def cells():
    """(feature, framework) -> (the cell's text, names of its tests), in the order of the sources."""
    found = {}
    for path in sorted((ROOT / "tests").glob("test_*.py")):
        for function in ast.parse(path.read_text()).body:
            for framework, feature, *said in _marks(function):
                says, names = found.setdefault((feature, framework), (said[0] if said else "yes", []))
                assert says == (said[0] if said else "yes"), f"{framework}, {feature}: says both {says} and {said}"
                names.append(f"{path.name}::{function.name}")
    return found


def _marks(function):
    for call in getattr(function, "decorator_list", []):
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "pytest.mark.feature":
            yield [ast.literal_eval(argument) for argument in call.args]


def page():
    """The text of docs/frameworks.md."""
    found = cells()
    frameworks = [name for name in TITLES if any(framework == name for _, framework in found)]
    features = list(dict.fromkeys(feature for feature, _ in sorted(found, key=lambda cell: cell[0].lower())))
    rows = [["", *(f"[{name}]({TITLES[name]})" for name in frameworks)]]
    rows += [[feature, *(found.get((feature, name), ("",))[0] for name in frameworks)] for feature in features]
    lines = [f"| {' | '.join(row)} |" for row in rows]
    lines.insert(1, "|---|" + ":-:|" * len(frameworks))
    return TEXT.format(table="\n".join(lines))
