"""The state of a suite in the terminal's comparison: equal scores hide neither an obstacle nor doubt."""

from __future__ import annotations

import pytest

from workbench.tui.screens.compare import state_cell


@pytest.mark.parametrize("state", ["not comparable", "inconclusive"])
def test_equal_scores_do_not_hide_a_state_that_says_more(state: str) -> None:
    assert state_cell(state, nothing_changed=True).plain.endswith(state)


@pytest.mark.parametrize("state", ["non-inferior", "not informative", None])
def test_equal_scores_are_no_change_where_nothing_stands_against_it(state: str | None) -> None:
    assert state_cell(state, nothing_changed=True).plain == "= no change"
