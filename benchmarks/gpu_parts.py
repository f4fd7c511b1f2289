"""Parts of a run on a card, each in a process of its own; the file of results is written anew after each.

A peer that is missing, hangs, or takes the card's context with it costs its own numbers: its error stands in their
place, and the run goes on.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SECONDS = 300  # of a part: compiling takes most of it
LENGTH = 300  # characters of an error


def attempted(call: Callable[[], Any], errors: list[str], who: str) -> Any:
    """Return what the call returns; on an error None, with the message added to `errors`."""
    try:
        return call()
    except Exception as error:
        errors.append(f"{who}: {shortened(f'{type(error).__name__}: {error}')}")
        return None


def shortened(text: str) -> str:
    """The first line of an error."""
    return next(iter(text.strip().splitlines()), "no message")[:LENGTH]


def in_process(module: str, part: str, seconds: float = SECONDS) -> dict[str, Any]:
    """Run `python -m module --part part` and return the JSON of its last line, or {"failed": message}."""
    # JAX would take most of the card's memory
    settings = {**os.environ, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    command = [sys.executable, "-m", module, "--part", part]
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=settings, capture_output=True, text=True, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired:
        return {"failed": f"no result within {seconds:g} s"}
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"exit {done.returncode}"]
        return {"failed": shortened(said[-1])}
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def write(path: Path, found: Mapping[str, Any]) -> None:
    """Replace a file by the results, such that whoever stops the run finds a whole file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".part")
    unfinished.write_text(json.dumps(found, indent=1) + "\n")
    unfinished.replace(path)
