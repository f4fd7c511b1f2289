"""Install the newest wheel of `dist` into a clean environment without Numba, and test it at every level.

The levels are those that this machine runs; FASTMOMENTS_LEVEL asks for a lower one. The checkout's tests judge
the tables of accuracy of some activations, their matrices, gradients and layers. The bits have to be those of what
Numba compiles for the same level, in the environment that runs this.

usage: python tools/wheel_test.py [activation ...]       relu, gelu and npn if none is given
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

from fastmoments_kernels.ahead.levels import LEVELS

ROOT = Path(__file__).resolve().parents[1]
NEEDED = ("pytest", "pytest-xdist", "mpmath", "hypothesis", "tqdm")  # by the tests that run here
PYTEST = ("-m", "pytest", "-q", "-m", "slow or not slow")
FOUND = "from importlib.util import find_spec; print(find_spec('numba'), find_spec('llvmlite'))"
USABLE = "from fastmoments_kernels.ahead.levels import usable; print(*usable())"
NOT_RUN = """
import os
from fastmoments_kernels.ahead.levels import FOLDER, usable
print(*({name.removesuffix(".so") for name in os.listdir(FOLDER)} - set(usable())))
"""


def main(*names: str) -> None:
    """Install and test; raises at the first failure."""
    chosen = names or ("relu", "gelu", "npn")
    wheels = sorted((ROOT / "dist").glob("fastmoments-*-manylinux*.whl"), key=lambda path: path.stat().st_mtime)
    if not wheels:
        raise SystemExit("no wheel in dist: make wheel")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        python = _environment(folder / "environment", wheels[-1])
        shutil.copy(ROOT / "pyproject.toml", folder)  # pytest's settings
        shutil.copytree(ROOT / "tests", folder / "tests", ignore=shutil.ignore_patterns("__pycache__"))
        for level in _installed([python, "-c", USABLE], folder, "").split():
            print(f"{wheels[-1].name} at {level}", flush=True)
            _judge(python, folder, level, chosen)
        left = _installed([python, "-c", NOT_RUN], folder, "").split()
    if left:
        raise SystemExit(f"not run, because this processor cannot: {', '.join(left)}")


def _environment(folder: Path, wheel: Path) -> Path:
    """A new environment with the wheel and what the tests need."""
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    install = [python, "-m", "pip", "install", "--disable-pip-version-check", "-q", "-c", ROOT / "constraints.txt"]
    subprocess.run([*install, wheel, *NEEDED], check=True)
    # what passes here might need them
    assert _installed([python, "-c", FOUND], folder, "") == "None None\n"
    return python


def _judge(python: Path, folder: Path, level: str, names: tuple[str, ...]) -> None:
    bits = ["tests/bits.py", *names]
    assert _installed([python, *bits], folder, level) == _compiled(bits, level), f"{level}: other bits than Numba's"
    tables = [f"tests/test_conformance.py::test_conformance[{name}-cpu]" for name in (*names, "bivariate_normal")]
    _installed([python, *PYTEST, "tests/test_ahead.py", *tables], folder, level)
    files = "tests/test_matrices.py", "tests/test_linear.py"
    collected = [python, "-m", "pytest", "-q", "--collect-only", *files]
    listed = _installed(collected, folder, level, shown=False).split()
    of_names = re.compile(rf"[\[-]({'|'.join(names)})[\]-]")
    # without the slow ones: they test schedules, which the bits above have compared with Numba's already
    _installed([python, "-m", "pytest", "-q", "-n", "2", *filter(of_names.search, listed)], folder, level)


def _installed(command: list[object], folder: Path, level: str, shown: bool = True) -> str:
    """Run the wheel's package at a level, away from the checkout; what it prints."""
    others = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return _printed(command, folder, others | {"FASTMOMENTS_LEVEL": level}, shown)


def _compiled(command: list[str], level: str) -> str:
    """Run the checkout's package, compiled by Numba for a level; what it prints."""
    of = LEVELS[level]
    settings = {"NUMBA_CPU_NAME": of.processor, "NUMBA_CPU_FEATURES": of.features, "FASTMOMENTS_LEVEL": "none"}
    return _printed([sys.executable, *command], ROOT, os.environ | settings)


def _printed(command: list[object], folder: Path, environment: dict[str, str], shown: bool = True) -> str:
    done = subprocess.run(list(map(str, command)), cwd=folder, env=environment, text=True, stdout=subprocess.PIPE)
    if done.returncode:
        raise SystemExit(f"{done.stdout}\nexit {done.returncode}: {' '.join(map(str, command))}")
    if shown:
        print(done.stdout, end="", flush=True)
    return done.stdout


if __name__ == "__main__":
    main(*sys.argv[1:])
