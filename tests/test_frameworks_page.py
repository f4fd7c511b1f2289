"""docs/frameworks.md has the cells with which tests are marked, and no others."""

from tests import features


def test_the_page_lists_the_cells_that_are_tested():
    assert features.PAGE.read_text() == features.page(), "run make frameworks"


def test_every_framework_of_a_mark_is_known():
    assert {framework for _, framework in features.cells()} <= set(features.TITLES)
