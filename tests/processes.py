"""Python in a process of its own, at the repository's root."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LAST = 4000  # characters of each stream that a failure prints


def python(*arguments, **environment):
    """Run `python arguments...` and return its output; keywords set environment variables, None unsets one."""
    given = {name: value for name, value in {**os.environ, **environment}.items() if value is not None}
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, env=given, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"exit {done.returncode}\n{done.stdout[-LAST:]}\n{done.stderr[-LAST:]}"
    return done.stdout
