"""Build the source distribution and the wheel, look at what they hold, and use the wheel in clean environments.

Nothing that runs here sees the checkout: the pages' code is copied beside, and runs on what pip installed.

usage: python tools/release_check.py [python ...]     e.g. python3.12 python3.13, beside the one that runs this
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DIST = ROOT / "dist"
PACKAGES = {"fastmoments": "fastmoments", "kernels/fastmoments_kernels": "fastmoments_kernels"}
EXTRAS = "examples,triton,jax,dask,figures"  # what the pages' code uses
BARE = """
import importlib.util, sys
import numpy as np
import fastmoments as fm

present = {name for name in ("torch", "jax", "dask", "tqdm", "matplotlib") if importlib.util.find_spec(name)}
assert not present, f"not a bare environment: {present}"
mean, cov = fm.relu_moments([0.0, 0.0], [[1.0, 0.5], [0.5, 1.0]])
np.testing.assert_allclose(mean, 1 / np.sqrt(2 * np.pi), rtol=1e-14)
np.testing.assert_allclose(np.diag(cov), 0.5 - 0.5 / np.pi, rtol=1e-14)
layers = [fm.compare.Residual("relu", np.eye(2))]
sampled = fm.compare.monte_carlo(layers, np.zeros(2), np.eye(2), samples=2**16, seed=0)
np.testing.assert_allclose(sampled.mean, mean, atol=0.02)
try:
    fm.nn
except ImportError as error:
    assert "pip install fastmoments[torch]" in str(error), error
else:
    raise AssertionError("fm.nn without PyTorch")
print(f"fastmoments {fm.__version__} on Python {sys.version.split()[0]}: {fm.__file__}")
"""


def main(*pythons: str) -> None:
    """Build, check and use; raises at the first failure."""
    wheel = built()
    look_into(wheel)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for i, python in enumerate((sys.executable, *pythons)):
            bare = environment(folder / f"bare-{i}", python, str(wheel))
            run([bare, "-c", BARE], folder)
        pinned = ("-c", str(ROOT / "constraints.txt"))
        full = environment(folder / "full", sys.executable, f"{wheel}[{EXTRAS}]", "mypy", *pinned)
        shutil.copy(ROOT / "tests" / "typed_user.py", folder)
        run([full, "-m", "mypy", "--strict", "typed_user.py"], folder)
        for page, (code, prints) in pages().items():
            use(full, folder, page, code, prints)


def built() -> Path:
    """Build both distributions, the wheel from the other, and check how an index would show them."""
    for old in DIST.glob("fastmoments-*.tar.gz"), DIST.glob("fastmoments-*-none-any.whl"):
        for path in old:
            path.unlink()
    run([sys.executable, "-m", "build", "--outdir", DIST, ROOT], ROOT)
    (source,), (wheel,) = DIST.glob("fastmoments-*.tar.gz"), DIST.glob("fastmoments-*-none-any.whl")
    run([sys.executable, "-m", "twine", "check", "--strict", source, wheel], ROOT)
    return wheel


def look_into(wheel: Path) -> None:
    """Compare the wheel's files with those that git has of the packages, and its page's links with an index's."""
    expected = set()
    for folder, package in PACKAGES.items():
        listed = run(["git", "ls-files", folder], ROOT, shown=False).split()
        expected |= {f"{package}{path.removeprefix(folder)}" for path in listed}
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (metadata,) = (archive.read(name).decode() for name in names if name.endswith(".dist-info/METADATA"))
    found = {name for name in names if ".dist-info/" not in name}
    assert found == expected, f"in the wheel or in git alone: {sorted(found ^ expected)}"
    assert {"fastmoments/py.typed", "fastmoments/__init__.pyi", "fastmoments_kernels/py.typed"} <= found
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names), "no license"
    relative = [link for link in re.findall(r"\]\(([^)]*)\)", metadata) if not link.startswith(("https://", "#"))]
    assert not relative, f"README.md: an index does not follow {relative}"


def environment(folder: Path, python: str, *what: str) -> Path:
    """Make an environment with what pip is given, and return its Python."""
    run([python, "-m", "venv", folder], folder.parent)
    found = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    run([found, "-m", "pip", "install", "--disable-pip-version-check", "-q", *what], folder.parent)
    return found


def pages() -> dict[str, tuple[str, str | None]]:
    """The code of README.md, of each page and of each notebook of docs, and what it prints, if it says so."""
    found: dict[str, tuple[str, str | None]] = {}
    docs = [path for path in sorted((ROOT / "docs").rglob("*")) if "_build" not in path.parts]
    for path in [ROOT / "README.md", *docs]:
        if path.suffix == ".ipynb":
            cells = [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]
            code, prints = ["".join(cell["source"]) for cell in cells], []
        elif path.suffix == ".md":
            text = path.read_text()
            code, prints = (re.findall(rf"^```{kind}\n(.*?)^```", text, re.S | re.M) for kind in ("python", "text"))
        else:
            continue
        if code:
            found[str(path.relative_to(ROOT))] = "\n".join(code), "".join(prints) or None
    return found


def use(python: Path, folder: Path, page: str, code: str, prints: str | None) -> None:
    """Run a page's code from a file, and compare what it prints."""
    wanted = set(re.findall(r"^\s*(?:import|from) (\w+)", code, re.M))
    absent = f"from importlib.util import find_spec; print(*(x for x in {sorted(wanted)} if not find_spec(x)))"
    missing = run([python, "-c", absent], folder, shown=False).split()
    if missing:
        print(f"not run: {page} needs {', '.join(missing)}")
        return
    script = folder / "page.py"
    script.write_text(code)
    # Triton's page runs without a card
    out = run([python, script], folder, shown=False, TRITON_INTERPRET="1" if "triton" in wanted else None)
    assert prints is None or out == prints, f"{page} prints\n{out}\nnot\n{prints}"
    print(f"runs: {page}", flush=True)


def run(command: list[str | Path], folder: Path, shown: bool = True, **settings: str | None) -> str:
    """Run a command away from the checkout's modules; what it prints."""
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    others = {name: value for name, value in settings.items() if value is not None}
    text = list(map(str, command))
    done = subprocess.run(text, cwd=folder, env=kept | others, text=True, capture_output=True)
    if done.returncode:
        raise SystemExit(f"{done.stdout[-4000:]}\n{done.stderr[-4000:]}\nexit {done.returncode}: {' '.join(text)}")
    if shown:
        print(done.stdout, end="", flush=True)
    return done.stdout


if __name__ == "__main__":
    main(*sys.argv[1:])
