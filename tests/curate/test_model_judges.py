"""What the stage makes of what models say about rows: the judges themselves are tested with their modules."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from record_makers import chat, document

from workbench.core.records import Record
from workbench.core.stage import Cancelled
from workbench.curate.filters.contract import Verdict
from workbench.curate.semantic import SemanticFound
from workbench.curate.survivors import ModelVerdicts

PAGE = " ".join(f"word{number}" for number in range(60))
ROWS = [
    document(PAGE, row=0),
    document(PAGE + " and more of it", row=1),
    chat("Say nothing.", "", row=2),
    chat("What is the capital of Peru?", "Lima is the capital.", row=3),
    chat("Which city is the seat of the government of Peru?", "It is Lima.", row=4),
]
FILTERS = ("empty_output",)


class Judge:
    """Stands for a model: notes which rows it was asked about."""

    def __init__(self, answer: Callable[[dict[int, Record]], Any]) -> None:
        self._answer = answer
        self.asked: list[list[int]] = []

    def __call__(self, survivors: Callable[[], Iterator[tuple[int, Record]]], count: int, *_: object) -> Any:
        rows = dict(survivors())
        assert count == len(rows) == len(dict(survivors())), "survivors can be read twice"
        self.asked.append(sorted(rows))
        return self._answer(rows)


def test_of_near_duplicates_the_better_rated_stays_though_it_is_shorter(
    curate: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = Judge(lambda rows: ModelVerdicts({3: [Verdict("low_rating", "drop", "1.0")]}, {0: 4.5, 1: 2.0, 3: 1.0}))
    monkeypatch.setattr("workbench.curate.rating.judge", judge)
    assert curate(ROWS, filters=FILTERS).records == [ROWS[1], ROWS[3], ROWS[4]]
    rated = curate(ROWS, filters=FILTERS, rating={"reward_model": "some/model"})
    assert judge.asked == [[0, 1, 3, 4]], "near-duplicates are rated before one of them goes"
    assert rated.records == [ROWS[0], ROWS[4]]
    assert rated.reasons(1) == ["near_duplicate"] and rated.reasons(3) == ["low_rating"]


def test_semantic_duplicates_name_the_row_that_stays_and_follow_the_action(
    curate: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = Judge(lambda rows: SemanticFound([(3, 4, 0.97)], [[3, 4]]))
    monkeypatch.setattr("workbench.curate.semantic.clusters", judge)
    flagged = curate(ROWS, filters=FILTERS, semantic_duplicates={"model": "some/model"})
    assert judge.asked == [[1, 3, 4]]
    assert flagged.reasons(3, "flag") == ["semantic_duplicate"], "the shorter one of the two"
    assert flagged.detail(3, "semantic_duplicate") == f"cosine 0.970 with row 4 ({ROWS[4].id}, data row 4)"
    dropped = curate(ROWS, filters=FILTERS, semantic_duplicates={"model": "some/model", "action": "drop"})
    assert dropped.records == [ROWS[1], ROWS[4]]


def test_ifd_sees_only_what_is_left_and_its_verdicts_count(curate: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    judge = Judge(lambda rows: ModelVerdicts({4: [Verdict("ifd", "drop", "1.2")], 3: [Verdict("low_ifd", "flag", "")]}))
    monkeypatch.setattr("workbench.curate.ifd.judge", judge)
    result = curate(ROWS, filters=FILTERS, ifd={"enabled": True}, actions={"low_ifd": "off"})
    assert judge.asked == [[1, 3, 4]]
    assert result.records == [ROWS[1], ROWS[3]] and result.reasons(4) == ["ifd"]
    assert not [finding for finding in result.findings if finding.row == 3]


def test_a_judge_that_is_stopped_stops_the_stage(prepare: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    from workbench.curate.stage import run

    monkeypatch.setattr("workbench.curate.ifd.judge", Judge(lambda rows: None))
    ready = prepare(ROWS, filters=FILTERS, ifd={"enabled": True})
    assert run(ready.config, ready.inputs, ready.context) == Cancelled()
    assert not list(ready.context.out_dir.iterdir())
