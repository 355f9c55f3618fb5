"""What is read for a set of requests: every path through the plan spells its request, and shared tokens stand once."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.models.choice_tree import Group, Row, plan
from workbench.models.likelihood import Pair

_IDS = st.lists(st.integers(0, 2), min_size=1, max_size=12)


def _spelled(group: Group, row: Row, predictors: list[int]) -> list[int]:
    """Ids from the beginning down to the last predicting node, found through the branches alone."""
    parents: dict[int, int | None] = {}
    for above, start, end in row.branches:
        for node in range(start, end):
            parents[node] = node - 1 if node > start else (above[-1] if above else None)
    path = []
    node: int | None = predictors[-1]
    while node is not None:
        path.append(node)
        node = parents[node]
    assert list(reversed(path))[-len(predictors) :] == predictors
    assert [row.depths[node] for node in reversed(path)] == list(range(len(path)))
    return group.prefix + [row.tokens[node] for node in reversed(path)]


def _check(requests: list[Pair], budget: int) -> list[Group]:
    groups = plan(requests, budget)
    seen = []
    for group in groups:
        for batch in group.batches:
            assert len(batch) == 1 or sum(len(row.tokens) for row in batch) <= budget
            for row in batch:
                for request, predictors in zip(row.requests, row.predictors, strict=True):
                    context, continuation = requests[request]
                    assert _spelled(group, row, predictors) == context + continuation[:-1]
                    assert len(predictors) == len(continuation)
                    seen.append(request)
    assert sorted(seen) == list(range(len(requests)))
    return groups


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(_IDS, _IDS), min_size=1, max_size=12), st.integers(1, 60))
def test_every_request_is_scored_once_on_its_own_tokens(requests: list[Pair], budget: int) -> None:
    _check(requests, budget)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), _IDS, st.lists(_IDS, min_size=1, max_size=4)), min_size=2, max_size=12))
def test_requests_after_shared_examples_are_scored_once_on_their_own_tokens(
    documents: list[tuple[int, list[int], list[list[int]]]],
) -> None:
    examples = [[7] * 300, [7] * 20 + [8] * 300, [9] * 40]
    requests = [(examples[kind] + own, choice) for kind, own, choices in documents for choice in choices]
    _check(requests, 2048)


def test_few_shot_examples_are_read_once_per_task_and_a_context_once_per_document() -> None:
    rng = random.Random(0)
    requests = []
    for _task in range(2):
        examples = [rng.randrange(1000) for _ in range(400)]
        for _ in range(10):
            question = [rng.randrange(1000) for _ in range(20)]
            requests += [(examples + question, [1000, 1001 + choice, 1010]) for choice in range(4)]
    groups = _check(requests, 2048)
    assert sorted(len(group.prefix) for group in groups) == [400, 400]
    rows = [row for group in groups for batch in group.batches for row in batch]
    # 20 question tokens, the first token of all choices, the second of each; the third is only predicted
    assert [len(row.tokens) for row in rows] == [25] * 20


def test_a_second_context_that_repeats_most_of_the_first_joins_its_row() -> None:
    common = list(range(30))
    groups = _check([([*common, 50], [1, 2]), ([*common, 51], [1, 2]), ([99] * 30, [1])], 2048)
    rows = [row for group in groups for batch in group.batches for row in batch]
    assert sorted(len(row.tokens) for row in rows) == [30, 34]


def test_hundreds_of_choices_after_one_context_are_read_in_several_rows() -> None:
    requests = [([1, 2], [10 + choice, 5, 6, 7, 8]) for choice in range(300)]
    rows = [row for group in _check(requests, 2048) for batch in group.batches for row in batch]
    assert len(rows) > 1
    assert max(len(row.tokens) for row in rows) <= 512


def test_requests_added_at_the_end_leave_full_batches_as_they_are() -> None:
    rng = random.Random(1)
    examples = [rng.randrange(900) for _ in range(100)]
    requests = [
        (start + [rng.randrange(900) for _ in range(rng.randrange(5, 40))], [rng.randrange(900)])
        for start in ([], examples)
        for _ in range(60)
    ]
    rng.shuffle(requests)

    def batches(count: int) -> list[tuple[list[int], list[list[int]]]]:
        return [
            (group.prefix, [row.tokens for row in batch])
            for group in plan(requests[:count], 200)
            for batch in group.batches
        ]

    first, all_of_them = batches(80), batches(120)
    assert len(first) > 10
    assert sum(batch in all_of_them for batch in first) >= len(first) - 2, (
        "the last batch of each group may be filled up"
    )
