from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.mix.shares import Quota, largest_remainder, pick, quotas

WEIGHTS = st.dictionaries(st.sampled_from("abcdef"), st.floats(0, 1000), min_size=1)


def test_largest_remainder_on_a_published_example() -> None:
    # Hamilton's method, the standard textbook case: 100,000 votes for 10 seats.
    votes = {"yellow": 47_000, "white": 16_000, "red": 15_800, "green": 12_000, "blue": 6_100, "pink": 3_100}
    # Quotas 4.7, 1.6, 1.58, 1.2, 0.61, 0.31: floors 4+1+1+1+0+0 = 7; the three largest remainders are .7, .61, .6.
    assert largest_remainder(votes, 10) == {"yellow": 5, "white": 2, "red": 1, "green": 1, "blue": 1, "pink": 0}


@given(WEIGHTS, st.integers(0, 10_000))
def test_largest_remainder_adds_up_and_stays_within_one_of_the_exact_share(weights: dict, total: int) -> None:
    parts = largest_remainder(weights, total)
    whole = sum(weights.values())
    if whole == 0:
        assert set(parts.values()) == {0}
        return
    assert sum(parts.values()) == total
    assert all(abs(parts[name] - total * weights[name] / whole) < 1 + 1e-6 for name in weights)


def test_quotas_divide_the_tokens_there_are_and_limit_repeats() -> None:
    # 1000 task tokens in 10 rows, 5000 general ones in 50: 6000 in all, .95 and .05 of it wanted.
    tokens = {"task": [100] * 10, "general": [100] * 50}
    found = quotas(tokens, {"task": 0.95, "general": 0.05}, max_repeat=4, max_rows=None)
    assert found == {"task": Quota(5700, 40), "general": Quota(300, 200)}
    rows = {name: pick(tokens[name], quota, Random(0)) for name, quota in found.items()}
    assert len(rows["task"]) == 40 and len(rows["general"]) == 3


def test_a_source_without_a_share_adds_nothing_to_the_budget() -> None:
    found = quotas({"a": [10] * 5, "b": [10] * 500}, {"a": 1.0, "b": 0.0}, max_repeat=4, max_rows=None)
    assert (found["a"].tokens, found["b"].tokens) == (50, 0)


def test_a_limit_on_rows_shrinks_all_sources_in_proportion() -> None:
    # Equal shares of 2000 tokens are 10 rows of 100 and 100 rows of 10; 22 rows make 2 and 20 of that.
    tokens = {"long": [100] * 10, "short": [10] * 100}
    found = quotas(tokens, {"long": 0.5, "short": 0.5}, max_repeat=4, max_rows=22)
    assert found == {"long": Quota(200, 2), "short": Quota(200, 20)}


def test_a_limit_on_rows_keeps_the_shares_where_repeats_alone_could_not() -> None:
    # Half of 62,000 tokens would be 1550 rows of the small source, of which there may be 400. Of 500 rows in all it
    # takes 375 (20 tokens each) to balance 125 (60 tokens each), and that many there may be.
    tokens = {"large": [60] * 1000, "small": [20] * 100}
    found = quotas(tokens, {"large": 0.5, "small": 0.5}, max_repeat=4, max_rows=500)
    assert {name: quota.rows for name, quota in found.items()} == {"large": 125, "small": 375}
    used = {name: sum(tokens[name][row] for row in pick(tokens[name], found[name], Random(0))) for name in tokens}
    assert used["large"] == used["small"] == 7500


@given(
    st.lists(st.integers(1, 50), min_size=1, max_size=30),
    st.integers(0, 3000),
    st.integers(0, 100),
    st.integers(0, 5),
)
def test_picked_rows_respect_the_quota_and_use_every_row_before_repeating(
    tokens: list[int], wanted: int, rows: int, seed: int
) -> None:
    picked = pick(tokens, Quota(wanted, rows), Random(seed))
    assert len(picked) <= rows
    used = [picked.count(row) for row in range(len(tokens))]
    total = sum(tokens[row] for row in picked)
    assert total - wanted <= max(tokens)
    if len(picked) < rows:
        assert abs(total - wanted) <= max(tokens)
    if total < wanted and len(picked) == rows:
        assert max(used) - min(used) <= 1
    assert picked == pick(tokens, Quota(wanted, rows), Random(seed))


def test_a_row_much_larger_than_what_is_missing_is_passed_over() -> None:
    assert pick([500], Quota(100, 10), Random(0)) == []
    assert pick([500, 90], Quota(100, 10), Random(0)) == [1]
    assert pick([150], Quota(100, 10), Random(0)) == [0]


def test_rounds_have_different_orders() -> None:
    picked = pick([1] * 50, Quota(100, 100), Random(0))
    assert sorted(picked[:50]) == sorted(picked[50:]) == list(range(50))
    assert picked[:50] != picked[50:]


@pytest.mark.parametrize("quota", [Quota(0, 10), Quota(10, 0)])
def test_nothing_is_picked_for_an_empty_quota_or_source(quota: Quota) -> None:
    assert pick([1, 2], quota, Random(0)) == []
    assert pick([], Quota(10, 10), Random(0)) == []
