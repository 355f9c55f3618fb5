"""Weak topics: Welch's test as scipy has it, Holm as statsmodels has it, and the level it promises."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ttest_ind
from statsmodels.stats.multitest import multipletests

from workbench.compare.weaknesses import topic_losses
from workbench.core.records import ScoreRow


def row(number: int, topic: str, value: float, weight: float = 1.0, cluster: str | None = None) -> ScoreRow:
    return ScoreRow(
        arm="round-0", suite="development", task="development", metric="nll", doc_hash=f"{number:016x}",
        doc_id=number, value=value, weight=weight, group=topic, cluster=cluster,
    )  # fmt: skip


def rows_of(losses: dict[str, np.ndarray]) -> list[ScoreRow]:
    found = [(topic, float(value)) for topic, values in losses.items() for value in values]
    return [row(number, topic, value) for number, (topic, value) in enumerate(found)]


def test_difference_interval_and_p_are_welchs_and_holms() -> None:
    chance = np.random.default_rng(0)
    losses = {
        "a": chance.normal(3.0, 0.4, 12), "b": chance.normal(4.0, 0.2, 9), "c": chance.normal(2.9, 0.7, 30),
    }  # fmt: skip
    found, too_few = topic_losses(rows_of(losses), 5, 0.05, 0.9)
    by_topic = {one.topic: one for one in found}
    oracles = {}
    for topic, own in losses.items():
        rest = np.concatenate([values for name, values in losses.items() if name != topic])
        oracles[topic] = ttest_ind(own, rest, equal_var=False, alternative="greater").pvalue
        interval = ttest_ind(own, rest, equal_var=False).confidence_interval(0.9)
        one = by_topic[topic]
        assert one.behind.value == pytest.approx(own.mean() - rest.mean())
        assert (one.behind.low, one.behind.high) == pytest.approx((interval.low, interval.high))
    corrected = multipletests([oracles[topic] for topic in "abc"], method="holm")[1]
    assert [by_topic[topic].p_value for topic in "abc"] == pytest.approx(list(corrected))
    assert [one.topic for one in found] == sorted(by_topic, key=lambda topic: -by_topic[topic].behind.value)
    assert too_few == 0
    assert [one.topic for one in found if one.weak] == ["b"]


def test_tokens_weigh_and_copies_of_a_document_are_one_unit() -> None:
    chance = np.random.default_rng(1)
    values = {topic: chance.normal(3, 0.5, 10) for topic in "ab"}
    plain = [row(n, topic, v, 20.0, f"{topic}{n}") for topic, own in values.items() for n, v in enumerate(own)]
    copied = [row(k, one.group or "", one.value or 0, 5.0, one.cluster) for one in plain for k in range(4)]
    assert [one.clusters for one in topic_losses(copied, 5, 0.05, 0.95)[0]] == [10, 10]
    for once, often in zip(topic_losses(plain, 5, 0.05, 0.95)[0], topic_losses(copied, 5, 0.05, 0.95)[0], strict=True):
        assert (once.loss, once.p_value) == pytest.approx((often.loss, often.p_value))
    heavy = [row(0, "a", 5.0, 90.0), *(row(n, "a", 1.0, 1.0) for n in range(1, 11)), *plain[10:]]
    (found,) = (one for one in topic_losses(heavy, 5, 0.05, 0.95)[0] if one.topic == "a")
    assert found.loss == pytest.approx((5.0 * 90 + 10) / 100)


def test_a_topic_with_too_few_independent_documents_is_not_judged() -> None:
    chance = np.random.default_rng(2)
    rows = rows_of({"a": chance.normal(3, 1, 10), "b": chance.normal(3, 1, 10), "few": chance.normal(9, 1, 4)})
    rows += [row(100 + n, "tied", 9.0 + n / 10, 1.0, "one") for n in range(10)]
    found, too_few = topic_losses(rows, 5, 0.05, 0.95)
    assert {one.topic for one in found} == {"a", "b"} and too_few == 2


@pytest.mark.parametrize("shape", ["normal", "skewed"])
def test_no_topic_is_called_weak_by_chance_more_often_than_the_level_says(shape: str) -> None:
    """600 simulations of 10 equal topics with 8 documents each: any weak topic at .05 in at most .05 + 3 errors."""
    chance = np.random.default_rng(3)
    repeats, false = 600, 0
    for _ in range(repeats):
        values = chance.normal(3, 0.5, (10, 8)) if shape == "normal" else chance.gamma(2, 0.5, (10, 8))
        found, _ = topic_losses(rows_of({f"t{n}": own for n, own in enumerate(values)}), 8, 0.05, 0.95)
        false += any(one.weak for one in found)
    assert false / repeats <= 0.05 + 3 * (0.05 * 0.95 / repeats) ** 0.5


def test_a_topic_that_is_really_worse_is_found() -> None:
    chance = np.random.default_rng(4)
    found = 0
    for _ in range(50):
        losses = {f"t{n}": chance.normal(3.8 if n == 0 else 3.0, 0.5, 8) for n in range(10)}
        weak = [one.topic for one in topic_losses(rows_of(losses), 8, 0.05, 0.95)[0] if one.weak]
        found += weak == ["t0"]
    assert found >= 35
