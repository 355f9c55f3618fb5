from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import product
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.mix.shares import Demand, Quota, largest_remainder, nearest, pick, quotas


def shares(wanted: dict[str, float]) -> Demand:
    return Demand(wanted, replayed=(), replay_share=0.05)


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


@given(st.lists(st.integers(0, 9), min_size=1, max_size=4), st.integers(0, 7))
def test_largest_remainder_is_the_nearest_division_there_is(weights: list[int], total: int) -> None:
    # Brute force: of all divisions of the total, none is nearer to the exact shares (sum of squares; Birkhoff 1976).
    named = dict(zip("abcd", map(float, weights), strict=False))
    parts = largest_remainder(named, total)
    if not sum(weights):
        return
    exact = [Fraction(total * weight, sum(weights)) for weight in weights]

    def distance(division: Sequence[int]) -> Fraction:
        return sum(((part - share) ** 2 for part, share in zip(division, exact, strict=True)), Fraction(0))

    divisions = [one for one in product(range(total + 1), repeat=len(weights)) if sum(one) == total]
    assert distance(list(parts.values())) == min(map(distance, divisions))


def test_parts_add_up_where_floats_would_not() -> None:
    # 0.7 / 0.1 and the like are not exact in binary; the parts are.
    assert largest_remainder({"a": 0.1, "b": 0.2, "c": 0.7}, 10) == {"a": 1, "b": 2, "c": 7}
    many = {f"{number:03}": 1 / 3 for number in range(999)}
    assert sum(largest_remainder(many, 10**15 + 1).values()) == 10**15 + 1


@given(
    st.dictionaries(st.sampled_from("abc"), st.integers(1, 10**6), min_size=1),
    st.floats(0, 0.9),
)
def test_without_shares_the_task_goes_in_once_and_replay_makes_its_share(task: dict[str, int], share: float) -> None:
    available = task | {"general": 500}
    wanted = Demand({}, ("general",), share).tokens(available)
    assert {name: wanted[name] for name in task} == task
    whole = sum(wanted.values())
    assert abs(wanted["general"] - share * whole) <= 1


@given(st.floats(0, 0.9), st.floats(0.01, 0.99))
def test_with_shares_they_divide_what_replay_leaves(replay: float, first: float) -> None:
    demand = Demand({"a": first, "b": 1 - first}, ("x", "y"), replay)
    available = {"a": 4000, "b": 6000, "x": 300, "y": 100}
    wanted = demand.tokens(available)
    assert wanted["a"] + wanted["b"] == 10_000
    assert abs(wanted["a"] - 10_000 * first) <= 1
    whole = sum(wanted.values())
    assert abs(wanted["x"] + wanted["y"] - replay * whole) <= 1
    assert abs(wanted["x"] - 3 * wanted["y"]) <= 3  # in proportion to what there is of each
    requested = demand.requested(available)
    assert sum(requested.values()) == pytest.approx(1)
    assert all(requested[name] == pytest.approx(wanted[name] / whole, abs=1e-3) for name in available)


@given(
    st.lists(st.integers(1, 30), min_size=1, max_size=12), st.integers(0, 150), st.integers(0, 12), st.integers(0, 3)
)
def test_no_exchange_of_rows_would_come_nearer(tokens: list[int], wanted: int, most: int, seed: int) -> None:
    taken = nearest(tokens, wanted, most, Random(seed))
    assert len(set(taken)) == len(taken) <= most
    off = wanted - sum(tokens[row] for row in taken)
    left = [row for row in range(len(tokens)) if row not in taken]
    exchanges = [tokens[into] - tokens[out] for into in left for out in taken]
    exchanges += [tokens[into] for into in left] if len(taken) < most else []
    assert all(abs(off - change) >= abs(off) for change in exchanges)


def test_many_rows_come_to_the_very_token() -> None:
    chance = Random(3)
    tokens = [chance.randint(5, 400) for _ in range(500)]
    for wanted in (20_000, 20_001, 33_333):
        assert sum(tokens[row] for row in nearest(tokens, wanted, 500, Random(0))) == wanted


def test_quotas_divide_the_tokens_there_are_and_limit_repeats() -> None:
    # 1000 task tokens in 10 rows, 5000 general ones in 50: 6000 in all, .95 and .05 of it wanted.
    tokens = {"task": [100] * 10, "general": [100] * 50}
    found = quotas(tokens, shares({"task": 0.95, "general": 0.05}), max_repeat=4, max_rows=None)
    assert found == {"task": Quota(5700, 40), "general": Quota(300, 200)}
    rows = {name: pick(tokens[name], quota, Random(0)) for name, quota in found.items()}
    assert len(rows["task"]) == 40 and len(rows["general"]) == 3


def test_a_source_without_a_share_adds_nothing_to_the_budget() -> None:
    found = quotas({"a": [10] * 5, "b": [10] * 500}, shares({"a": 1.0, "b": 0.0}), max_repeat=4, max_rows=None)
    assert (found["a"].tokens, found["b"].tokens) == (50, 0)


def test_a_limit_on_rows_shrinks_all_sources_in_proportion() -> None:
    # Equal shares of 2000 tokens are 10 rows of 100 and 100 rows of 10; 22 rows make 2 and 20 of that.
    tokens = {"long": [100] * 10, "short": [10] * 100}
    found = quotas(tokens, shares({"long": 0.5, "short": 0.5}), max_repeat=4, max_rows=22)
    assert found == {"long": Quota(200, 2), "short": Quota(200, 20)}


def test_a_limit_on_rows_keeps_the_shares_where_repeats_alone_could_not() -> None:
    # Half of 62,000 tokens would be 1550 rows of the small source, of which there may be 400. Of 500 rows in all it
    # takes 375 (20 tokens each) to balance 125 (60 tokens each), and that many there may be.
    tokens = {"large": [60] * 1000, "small": [20] * 100}
    found = quotas(tokens, shares({"large": 0.5, "small": 0.5}), max_repeat=4, max_rows=500)
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
