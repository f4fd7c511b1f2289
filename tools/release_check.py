"""Build the source distribution and the wheel, look at what they hold, and use the wheel in clean environments.

Nothing that runs here sees the checkout: the pages' code is copied beside, and runs on what pip installed.

usage: python tools/release_check.py [python ...]     e.g. python3.12 python3.13, beside the one that runs this
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DIST = ROOT / "dist"
PACKAGES = {"fastmoments": "fastmoments", "kernels/fastmoments_kernels": "fastmoments_kernels"}
EXTRAS = "torch,triton,jax,dask,figures"  # what the pages' code uses
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
        full = environment(folder / "full", sys.executable, f"{wheel}[{EXTRAS}]", "-c", str(ROOT / "constraints.txt"))
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
    listed = run(["git", "ls-files", *PACKAGES], ROOT, shown=False).split()
    expected = {f"{PACKAGES[folder]}{path[len(folder) :]}" for path in listed for folder in PACKAGES if _in(path, folder)}
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (metadata,) = (archive.read(name).decode() for name in names if name.endswith(".dist-info/METADATA"))
    found = {name for name in names if ".dist-info/" not in name}
    assert found == expected, f"in the wheel or in git alone: {sorted(found ^ expected)}"
    assert {"fastmoments/py.typed", "fastmoments/__init__.pyi", "fastmoments_kernels/py.typed"} <= found
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names), "no license"
    relative = [link for link in re.findall(r"\]\(([^)]*)\)", metadata) if not link.startswith(("https://", "#"))]
    assert not relative, f"README.md: an index does not follow {relative}"


def _in(path: str, folder: str) -> bool:
    return path.startswith(f"{folder}/")


def environment(folder: Path, python: str, *what: str) -> Path:
    """Make an environment with what pip is given, and return its Python."""
    run([python, "-m", "venv", folder], folder.parent)
    found = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    run([found, "-m", "pip", "install", "--disable-pip-version-check", "-q", *what], folder.parent)
    return found


def pages() -> dict[str, tuple[str, str | None]]:
    """The code of README.md, of each page and of each notebook of docs, and what it prints, if it says so."""
    found: dict[str, tuple[str, str | None]] = {}
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "docs").rglob("*.ipynb"))]:
        name = str(path.relative_to(ROOT))
        if "_build" in path.parts:
            continue
        if path.suffix == ".ipynb":
            cells = json.loads(path.read_text())["cells"]
            found[name] = "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"), None
            continue
        code, prints = (re.findall(rf"^```{kind}\n(.*?)^```", path.read_text(), re.S | re.M) for kind in ("python", "text"))
        if code:
            # pages of frameworks show what they print for people alone
            found[name] = "\n".join(code), "".join(prints) if prints else None
    return found


def use(python: Path, folder: Path, page: str, code: str, prints: str | None) -> None:
    """Run a page's code from a file, and compare what it prints."""
    wanted = set(re.findall(r"^\s*(?:import|from) (\w+)", code, re.M))
    looked_for = f"import importlib.util as u; print(*(n for n in {sorted(wanted)} if not u.find_spec(n)))"
    missing = run([python, "-c", looked_for], folder, shown=False).split()
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
    done = subprocess.run(
        list(map(str, command)), cwd=folder, env=kept | others, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    if done.returncode:
        raise SystemExit(f"{done.stdout}\n{done.stderr}\nexit {done.returncode}: {' '.join(map(str, command))}"[-8000:])
    if shown:
        print(done.stdout, end="", flush=True)
    return done.stdout


if __name__ == "__main__":
    main(*sys.argv[1:])
