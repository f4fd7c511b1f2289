"""Runs the notebooks of docs/notebooks and writes what they print and draw into them.

usage: python tools/notebooks.py [NAME ...]
"""

import os
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "notebooks"


def executed(path: Path) -> nbformat.NotebookNode:
    """The notebook with the outputs of a new run, without what differs from one run to the next."""
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(path.parent)}})
    client.execute(env=os.environ | {"FASTMOMENTS_COMPILE": "never"})  # NumPy's answers are the same everywhere
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        if "outputs" in cell:
            cell.outputs = _settled(cell.outputs)
    notebook.metadata.language_info = {"name": "python"}
    return notebook


def printed(notebook: nbformat.NotebookNode) -> list[str]:
    """Return the text that each cell prints."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    return [output.text for output in outputs if output.output_type == "stream"]


def _settled(outputs: list[nbformat.NotebookNode]) -> list[nbformat.NotebookNode]:
    """Outputs without standard error, and all that was printed as one: when it comes in parts is chance."""
    kept = [output for output in outputs if output.output_type != "stream"]
    text = "".join(output.text for output in outputs if output.get("name") == "stdout")
    return [nbformat.v4.new_output("stream", name="stdout", text=text), *kept] if text else kept


if __name__ == "__main__":
    for path in sorted(FOLDER.glob("*.ipynb")):
        if not sys.argv[1:] or path.stem in sys.argv[1:]:
            nbformat.write(executed(path), path)
            print(path)
