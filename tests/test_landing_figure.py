"""The landing page's figure on a phone: text is large enough to read, nothing is cut off, nothing overlaps."""

from itertools import combinations

import pytest

pytest.importorskip("matplotlib")

from tools.landing_figure import FIGURE, drawn

PHONE = 342.0  # pixels that the page leaves a figure on a screen of 390


def test_the_figure_on_a_phone():
    figure = drawn()
    figure.draw_without_rendering()
    width, height = figure.bbox.size
    (legend,) = figure.legends
    titles = [axis.title for axis in figure.axes]
    boxes = [legend.get_window_extent(), *(title.get_window_extent() for title in titles)]
    assert all(0 <= box.x0 and box.x1 <= width and 0 <= box.y0 and box.y1 <= height for box in boxes)
    panels = [axis.get_window_extent() for axis in figure.axes]
    assert not any(one.overlaps(two) for one, two in combinations([*boxes, *panels], 2))
    for text in (*titles, *legend.get_texts()):
        assert text.get_fontsize() / 72.0 * figure.dpi * PHONE / width >= 9.0


def test_the_file_is_what_the_tool_draws():
    """By its shape; pixels differ between versions of matplotlib."""
    image = pytest.importorskip("matplotlib.image").imread(FIGURE)
    width, height = drawn().bbox.size
    assert image.shape[1] / image.shape[0] == pytest.approx(width / height, rel=0.01)
