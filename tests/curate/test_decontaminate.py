from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from record_makers import chat, document, preference

from workbench.core.errors import IncompleteError, UsageError
from workbench.core.suites import Documents, Suite
from workbench.curate.stage import run
from workbench.text.containment import containment

QUESTION = "Which planet of the solar system has the shortest day, and how long does that day last?"
OTHER = chat("Name a river.", "Rhine", row=99)


def suite(name: str = "planets", **keys: Any) -> Suite:
    documents = keys.pop("documents", Documents(file=f"{name}.jsonl"))
    return Suite(name=name, kind="lm_eval", role="general", documents=documents, primary_metric="acc", **keys)


PLANETS = (suite(), [{"question": "What orbits Mars?"}, {"question": QUESTION, "choices": ["Mars", "Jupiter"]}])


@pytest.mark.parametrize(
    "record",
    [
        chat(QUESTION, "Jupiter."),
        chat(QUESTION.upper().replace(" ", "  "), "Jupiter."),
        document(f"Quiz night. {QUESTION} It is Jupiter."),
        preference("Ask me something.", QUESTION, "No."),
        preference("Ask me something.", "No.", QUESTION),
    ],
    ids=["prompt", "spelling", "document", "chosen", "rejected"],
)
def test_a_record_that_holds_a_suite_document_is_dropped(curate: Callable, record: Any) -> None:
    result = curate([record, OTHER], [PLANETS])
    assert result.records == [OTHER]
    assert result.reasons(0) == ["contaminated"]


def test_the_finding_names_suite_document_share_and_the_matched_span(curate: Callable) -> None:
    record = chat("A riddle: which PLANET of the solar system has the shortest day, and how long is it?", "Jupiter.")
    result = curate([record, OTHER], [PLANETS], decontamination={"drop_at": 0.3, "flag_at": 0.2})
    (finding,) = result.dropped[0].findings
    found = containment(QUESTION, record.full_text(), 8)
    assert found is not None
    assert found.span == "which PLANET of the solar system has the shortest day, and how long"
    assert finding.detail == f'suite planets, document 1: {found.share:.0%} of its 8-grams: "{found.span}"'


def test_between_the_two_thresholds_a_record_is_flagged_and_below_both_left_alone(curate: Callable) -> None:
    # 17 words, 10 8-grams; the record has the first 10 words: 3 of them.
    record = chat("Which planet of the solar system has the shortest ring?", "Saturn.")
    found = containment(QUESTION, record.full_text(), 8)
    assert found is not None and found.share == pytest.approx(0.2)
    outcomes = {}
    for flag_at, drop_at in [(0.1, 0.2), (0.2, 0.21), (0.21, 0.3)]:
        result = curate([record, OTHER], [PLANETS], decontamination={"drop_at": drop_at, "flag_at": flag_at})
        outcomes[flag_at] = [(finding.action, finding.reason) for finding in result.findings]
    assert outcomes == {0.1: [("drop", "contaminated")], 0.2: [("flag", "contaminated")], 0.21: []}


def test_a_short_document_drops_its_equal_and_flags_where_it_stands_inside(curate: Callable) -> None:
    short = (suite(), [{"question": "What is the capital of Peru?"}])
    equal, inside = chat("what is the capital of Peru?", "Lima"), chat("Quick: what is the capital of Peru?", "Lima")
    result = curate([equal, inside, OTHER], [short], near_duplicates={"enabled": False})
    assert [(f.row, f.action) for f in result.findings] == [(0, "drop"), (1, "flag")]
    assert "the same text" in result.findings[0].detail


def test_very_short_documents_do_not_match_by_chance(curate: Callable) -> None:
    words = (suite(text_fields=("text",)), [{"text": "positive"}, {"text": "3 + 4 ="}])
    rows = [chat("Is this a good film?", "positive"), chat("Count: 3, 4, 5", "6"), OTHER]
    assert len(curate(rows, [words]).records) == 3


def test_an_answer_shared_by_many_prompts_is_not_the_document(curate: Callable) -> None:
    heldout = suite(documents=Documents(dataset="data", part="heldout.jsonl"))
    answer = "positive, because the reviewer praises the actors and the music"
    prompts = [f"Film number {n}: I liked the actors, the music and scene {n * 7}." for n in range(3)]
    documents = [{"prompt": prompt, "text": answer} for prompt in prompts]
    record = chat("Film number 9: a feast for the eyes and for the ears, thanks to the band.", answer)
    assert record in curate([record, OTHER], [(heldout, documents)]).records


def test_every_suite_counts_and_each_is_named(curate: Callable) -> None:
    heldout = suite("heldout", documents=Documents(dataset="data", part="heldout.jsonl"))
    text = "The planet with the shortest day is Jupiter, which turns once in about ten hours."
    record = document(f"{QUESTION} {text}")
    result = curate([record, OTHER], [PLANETS, (heldout, [{"text": text}])])
    assert [finding.detail.split(",")[0] for finding in result.findings] == ["suite planets", "suite heldout"]
    count = next(count for count in result.funnel.reasons if count.reason == "contaminated")
    assert (count.rows, count.only) == (1, 1)


def test_the_fields_to_search_are_the_suites_and_a_suite_without_text_is_reported(curate: Callable) -> None:
    record = chat(QUESTION, "Jupiter.")
    kept = curate([record, OTHER], [(suite(text_fields=("passage",)), PLANETS[1])])
    assert record in kept.records
    assert any("suite planets" in event.message for event in kept.said if event.event == "node_message")
    gone = curate([record, OTHER], [(suite(text_fields=("passage",)), [{"passage": QUESTION}])])
    assert gone.records == [OTHER]


def test_documents_beyond_the_suites_limit_are_not_scored_and_not_searched(curate: Callable) -> None:
    record = chat(QUESTION, "Jupiter.")
    assert record in curate([record, OTHER], [(suite(limit=1), PLANETS[1])]).records


def test_decontamination_can_be_switched_off(curate: Callable) -> None:
    record = chat(QUESTION, "Jupiter.")
    assert record in curate([record, OTHER], [PLANETS], decontamination={"enabled": False}).records


def test_a_suite_whose_documents_are_missing_stops_the_stage(prepare: Callable) -> None:
    ready = prepare([OTHER], [PLANETS])
    (ready.context.project / "evals" / "planets.jsonl").unlink()
    with pytest.raises(UsageError, match=r"planets.jsonl does not exist"):
        run(ready.config, ready.inputs, ready.context)
    absent = suite(documents=Documents(dataset="data", part="choice.jsonl"))
    other = prepare([OTHER])
    config = other.config.model_copy(update={"suites": (absent,)})
    with pytest.raises(IncompleteError, match=r"no part 'choice.jsonl'"):
        run(config, other.inputs, other.context)
