"""From judge calls to wins."""

from __future__ import annotations

import math

import pytest
from scored_arms import judgment

from workbench.compare.judgments import judged_pairs, win


@pytest.mark.parametrize(
    ("before_first", "after_first", "expected"),
    [
        ([1.0], [1.0], 1.0),
        ([0.9], [0.8], 0.85),
        ([0.0], [0.0], 0.0),
        ([1.0], [0.0], 0.5),
        ([0.9], [0.2], 0.5),
        ([1.0], [0.5], 0.75),
        ([1.0, 0.0, 1.0], [1.0], (2 / 3 + 1) / 2),
        ([1.0, None], [1.0], 1.0),
    ],
)
def test_a_win_is_the_mean_of_both_orders_and_a_contradiction_is_a_tie(
    before_first: list[float | None], after_first: list[float | None], expected: float
) -> None:
    assert win({"before_first": before_first, "after_first": after_first}) == pytest.approx(expected)


@pytest.mark.parametrize("orders", [{"before_first": [1.0]}, {"before_first": [1.0], "after_first": [None]}, {}])
def test_one_order_alone_is_no_verdict(orders: dict[str, list[float | None]]) -> None:
    assert math.isnan(win(orders))


def test_judgments_of_other_arms_and_suites_are_left_out_and_order_does_not_matter() -> None:
    calls = [judgment(document, order, 1.0) for document in (2, 1) for order in ("before_first", "after_first")]
    others = [
        judgment(3, "before_first", 1.0).model_copy(update={"after": "sham"}),
        judgment(4, "before_first", 1.0, of="other"),
    ]
    found = judged_pairs([*calls, *others], "answers", "base@nf4", "candidate")
    assert [key[1] for key in found.keys] == [f"{document:016x}" for document in (1, 2)]
    assert found.after.tolist() == [1.0, 1.0] and found.before.tolist() == [0.5, 0.5]
    assert judged_pairs([*reversed(calls)], "answers", "base@nf4", "candidate").keys == found.keys
    assert judged_pairs(calls, "answers", "base", "candidate").keys == []
