"""Pairing by task, hash and occurrence; reading rows; conditions of arms."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scored_arms import arm_info, rows, suite

from workbench.compare.conditions import arm_obstacles, suite_obstacles
from workbench.compare.pairing import Paired, pair
from workbench.compare.rows import Column, primary_filter, read_columns
from workbench.compare.rows import column as column_of
from workbench.core.errors import IncompleteError
from workbench.core.records import ScoreRow

CAPITALS = suite()

documents = st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 2)), unique=True, max_size=12)


def column(keys: list[tuple[str, int]], values: dict[tuple[str, int], float]) -> Column:
    made = [
        row.model_copy(update={"doc_hash": doc_hash, "occurrence": occurrence, "value": values[doc_hash, occurrence]})
        for row, (doc_hash, occurrence) in zip(rows([0.0] * len(keys), CAPITALS), keys, strict=True)
    ]
    return read_columns(made, [CAPITALS]).get(("capitals", "none"), column_of(()))


def fields(paired: Paired) -> tuple[object, ...]:
    arrays = (paired.before, paired.after, paired.weights, paired.clusters)
    return (paired.keys, *(array.tolist() for array in arrays), paired.groups.tolist(), paired.unpaired)


@given(documents, documents, st.randoms(use_true_random=False))
@settings(max_examples=80, deadline=None)
def test_pairs_are_the_shared_documents_whatever_the_order_and_the_rest_is_counted(
    left: list[tuple[str, int]], right: list[tuple[str, int]], shuffler: random.Random
) -> None:
    values = {key: float(index % 2) for index, key in enumerate(sorted({*left, *right}))}
    opposite = {key: 1 - value for key, value in values.items()}
    found = pair(column(left, values), column(right, opposite))
    shared = sorted(set(left) & set(right))
    assert [(doc_hash, occurrence) for _, doc_hash, occurrence in found.keys] == shared
    assert found.before.tolist() == [values[key] for key in shared]
    assert found.after.tolist() == [opposite[key] for key in shared]
    assert found.unpaired == len(set(left) ^ set(right))
    shuffled_left, shuffled_right = shuffler.sample(left, len(left)), shuffler.sample(right, len(right))
    again = pair(column(shuffled_left, values), column(shuffled_right, opposite))
    assert fields(again) == fields(found)


def test_position_in_the_suite_is_no_key() -> None:
    before = rows([1.0, 0.0], CAPITALS, doc_hash=["a", "b"], doc_id=[0, 1])
    after = rows([0.0, 1.0], CAPITALS, doc_hash=["b", "a"], doc_id=[0, 1])
    columns = [read_columns(arm, [CAPITALS])["capitals", "none"] for arm in (before, after)]
    assert not (pair(*columns).after - pair(*columns).before).any()


def test_equal_documents_are_paired_by_occurrence_and_share_a_cluster() -> None:
    before = rows([1.0, 0.0, 1.0], CAPITALS, doc_hash=["a", "a", "b"], occurrence=[0, 1, 0])
    after = rows([0.0, 1.0, 1.0], CAPITALS, doc_hash=["a", "a", "b"], occurrence=[1, 0, 0])
    columns = [read_columns(arm, [CAPITALS])["capitals", "none"] for arm in (before, after)]
    found = pair(*columns)
    assert found.before.tolist() == found.after.tolist() == [1.0, 0.0, 1.0]
    assert found.clusters[0] == found.clusters[1] != found.clusters[2]


def test_named_clusters_join_different_documents() -> None:
    before = rows([1.0] * 4, CAPITALS, cluster=["p1", "p1", "p2", None])
    found = pair(*[read_columns(before, [CAPITALS])["capitals", "none"]] * 2)
    assert len(np.unique(found.clusters)) == 3


def test_two_values_of_one_document_are_refused() -> None:
    repeated = rows([1.0, 0.0], CAPITALS, doc_hash=["a", "a"])
    with pytest.raises(IncompleteError, match="two values"):
        read_columns(repeated, [CAPITALS])


def test_only_the_primary_metric_is_read() -> None:
    others = [row.model_copy(update={"metric": "acc_norm"}) for row in rows([0.0, 0.0], CAPITALS)]
    assert read_columns([*rows([1.0], CAPITALS), *others], [CAPITALS])["capitals", "none"].values.tolist() == [1.0]


def test_the_first_listed_filter_decides_then_none_then_the_first_by_name() -> None:
    listed = suite(task={"filter_list": [{"name": "strict", "filter": []}, {"name": "flexible", "filter": []}]})
    assert primary_filter(listed, {"flexible", "strict"}) == "strict"
    assert primary_filter(CAPITALS, {"b", "none", "a"}) == "none"
    assert primary_filter(CAPITALS, {"b", "a"}) == "a"
    assert primary_filter(CAPITALS, set()) == "none"


def test_a_row_that_is_not_a_number_never_becomes_a_score() -> None:
    with pytest.raises(ValueError, match="finite"):
        ScoreRow.model_validate_json(rows([1.0], CAPITALS)[0].model_dump_json().replace('"value":1.0', '"value":NaN'))


@pytest.mark.parametrize(
    ("purpose", "change", "obstacles"),
    [
        ("candidate", {}, 0),
        ("candidate", {"precision": "bf16"}, 1),
        ("candidate", {"batch_size": 4}, 1),
        ("candidate", {"system_prompt": "Be brief."}, 1),
        ("candidate", {"conditions": {"compute_dtype": "bfloat16", "max_length": "256", "batch_rule": "fixed"}}, 2),
        ("sham", {}, 0),
        ("sham", {"model_fingerprint": "0" * 64}, 1),
        ("noise", {"adapter": None, "adapter_sha256": None, "batch_size": 5}, 0),
        ("noise", {"batch_size": 5}, 1),
        ("noise", {"adapter": None, "adapter_sha256": None, "batch_size": 5, "precision": "bf16"}, 1),
        ("quantisation", {"adapter": None, "adapter_sha256": None, "precision": "bf16"}, 0),
        ("quantisation", {"adapter": None, "adapter_sha256": None, "precision": "bf16", "batch_size": 1}, 1),
        ("prompt", {"adapter": None, "adapter_sha256": None, "system_prompt": "Be brief."}, 0),
        ("other", {"model": "pypi:another"}, 0),
    ],
)
def test_only_what_a_pair_is_for_may_differ(purpose: str, change: dict[str, object], obstacles: int) -> None:
    found = arm_obstacles(arm_info("base@nf4"), arm_info("candidate", **change), purpose)
    assert len(found) == obstacles
    assert all("differs" in sentence and "base@nf4" in sentence for sentence in found)


def test_prompts_that_differ_at_the_end_differ() -> None:
    first, second = ("x" * 500 + end for end in "ab")
    found = arm_obstacles(arm_info("base", system_prompt=first), arm_info("base", system_prompt=second), "noise")
    assert len(found) == 1 and len(found[0]) < 300


def test_other_documents_of_a_suite_concern_that_suite_alone() -> None:
    before, after = (arm_info("base", conditions={"suite:capitals": name, "suite:copying": "c"}) for name in "ab")
    assert arm_obstacles(before, after, "noise") == ()
    assert len(suite_obstacles(before, after, "capitals")) == 1
    assert suite_obstacles(before, after, "copying") == ()
