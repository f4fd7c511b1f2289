"""The style of the figures, and the digest of the results that each keeps."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
from PIL import Image
from PIL.PngImagePlugin import PngInfo

matplotlib.use("Agg")

import matplotlib.pyplot as plt

COLORS = {
    "fastmoments": "#d1495b",
    "mean-field": "#4a9d7c",
    "mean-field, joint inputs": "#8ccfae",
    "linearised": "#edae49",
    "unscented 1995": "#6fa8dc",
    "unscented 2002": "#b5651d",
    "noise ignored": "#9a8c98",
    "DVI": "#6fa8dc",
    "Monte Carlo": "#222222",
}
SHOWS = "Results"  # the key, in a figure's file, of the digest of its results
STYLE = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 12,
    "legend.frameon": False,
    "font.size": 11,
}


@contextmanager
def panels(path: Path, columns: int, size: tuple[float, float], **options: Any) -> Iterator[Any]:
    """Axes in a row, saved to a file at the end."""
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1, columns, figsize=size, layout="constrained", squeeze=False, **options)
        yield axes[0]
        figure.savefig(path, dpi=130)
        plt.close(figure)


def sign(figure: Path, results: Path) -> None:
    """Write the digest of the results into a figure's file, so that a test finds an outdated figure."""
    text = PngInfo()
    text.add_text(SHOWS, digest(results))
    with Image.open(figure) as image:
        image.save(figure, pnginfo=text, dpi=image.info["dpi"], optimize=True)


def shown(figure: Path) -> Any:
    """The digest of the results that a figure shows."""
    with Image.open(figure) as image:
        return image.info.get(SHOWS)


def digest(results: Path) -> str:
    return hashlib.sha256(results.read_bytes()).hexdigest()
