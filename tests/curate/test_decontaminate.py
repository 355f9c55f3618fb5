from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from record_makers import chat, document, preference

from workbench.core.curation import Decontamination
from workbench.core.errors import IncompleteError, UsageError
from workbench.core.parts import write_documents, write_rows
from workbench.core.records import Record, Source
from workbench.core.suites import Documents, Suite
from workbench.curate.decontaminate import Contaminants
from workbench.curate.stage import run
from workbench.text.containment import containment
from workbench.text.contamination import record_document
from workbench.text.evaluation_sets import EvaluationSet, NamedSet
from workbench.text.leaks import EvaluationData

if TYPE_CHECKING:
    from conftest import Prepared

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


def with_datasets(ready: Prepared, **rows: list[Record]) -> Prepared:
    """The same, with further evaluation sets."""
    for name, records in rows.items():
        root = ready.context.project / name
        write_rows(root / "records.jsonl", records)
        artifact = ready.inputs["ingest:data"]
        ready.inputs[f"ingest:{name}"] = replace(artifact, path=root)
    return ready


def from_file(record: Record, *, split: str | None = None, file: str = "train.jsonl", row: int = 0) -> Record:
    source = Source(dataset="data", file=file, row=row, split=split)
    return record.model_copy(update={"source": source})


def test_rows_of_named_datasets_are_evaluation_data(prepare: Callable) -> None:
    asked = chat(QUESTION, "It is Jupiter.", row=12)
    records = [chat(f"Quiz. {QUESTION}", "Mars."), OTHER]
    result = with_datasets(prepare(records, decontamination={"datasets": ("exam",)}), exam=[asked]).run()
    assert result.records == [OTHER]
    detail = result.detail(0, "contaminated")
    assert detail.startswith('dataset exam, row 12: 100% of its question\'s 8-grams: "Which planet of the solar')


def test_rows_that_an_evaluation_sets_card_holds_out_are_looked_for_too(prepare: Callable) -> None:
    ready = prepare([chat(f"Quiz. {QUESTION}", "Mars."), OTHER], decontamination={"datasets": ("exam",)})
    ready = with_datasets(ready, exam=[chat("Name the largest moon of Saturn.", "Titan.")])
    write_documents(ready.inputs["ingest:exam"].part("heldout.jsonl"), [{"prompt": QUESTION, "text": "It is Jupiter."}])
    result = ready.run()
    assert result.records == [OTHER]
    assert result.detail(0, "contaminated").startswith("held-out rows of dataset exam, row 0: 100%")


def test_a_dataset_cannot_be_trained_on_and_be_an_evaluation_set(prepare: Callable) -> None:
    ready = prepare([OTHER], decontamination={"datasets": ("data",)})
    with pytest.raises(UsageError, match="data is data to train on and an evaluation set at once") as hit:
        ready.run()
    assert hit.value.where == "curate.decontamination.datasets"


@pytest.mark.parametrize("split", ["test", "validation"])
def test_own_splits_are_left_out_and_looked_for(curate: Callable, split: str) -> None:
    kept_back = from_file(chat(QUESTION, "It is Jupiter."), split=split, file="t.jsonl", row=4)
    leaking = from_file(chat(f"Quiz. {QUESTION}", "Mars."), row=1)
    result = curate([from_file(OTHER), leaking, kept_back], near_duplicates={"enabled": False})
    assert result.records == [from_file(OTHER)]
    assert [result.reasons(row) for row in (1, 2)] == [["contaminated"], ["evaluation_split"]]
    assert result.detail(1, "contaminated").startswith(f"{split} split of data, row 4: 100% of its question's 8-grams")
    assert result.detail(2, "evaluation_split").startswith(f"{split} split of data")
    assert any("1 rows are kept for evaluation" in event.message for event in result.said if hasattr(event, "message"))


def test_own_splits_are_ordinary_data_where_there_is_nothing_else_or_it_is_switched_off(curate: Callable) -> None:
    kept_back = from_file(chat(QUESTION, "It is Jupiter."), split="test", file="t.jsonl")
    assert curate([kept_back]).records == [kept_back]
    result = curate([from_file(OTHER), kept_back], decontamination={"splits": False})
    assert result.records == [from_file(OTHER), kept_back]


def test_only_what_is_certain_drops_and_the_rest_is_flagged(curate: Callable) -> None:
    asked = "Tom buys 12 apples for 30 coins and gives 3 of them to each of his 4 friends. How many has he left?"
    other = "Tom buys 15 apples for 20 coins and gives 2 of them to each of his 5 friends. How many has he left?"
    result = curate([chat(other, "5"), OTHER], [(suite(), [{"question": asked}])])
    assert result.reasons(0) == [] and result.reasons(0, "flag") == ["contaminated"]
    assert "100% of its 8-grams with other numbers" in result.detail(0, "contaminated")


def test_an_answer_without_its_question_is_flagged(prepare: Callable) -> None:
    solution = "First he gives three apples to each of his friends, which makes twelve, so Tom is left with nothing."
    asked = chat("Tom buys 12 apples and gives 3 of them to each of his 4 friends. How many has he left?", solution)
    ready = prepare([chat("Go on.", solution), OTHER], decontamination={"datasets": ("exam",)})
    result = with_datasets(ready, exam=[asked]).run()
    assert result.reasons(0, "flag") == ["contaminated"]
    assert "its answer without its question" in result.detail(0, "contaminated")


def test_the_search_is_sent_to_workers(prepare: Callable, in_workers: None) -> None:
    records = [chat(f"What is number {number} called?", f"Name {number}.", row=number) for number in range(7)]
    leaking = chat(f"Quiz. {QUESTION}", "Mars.", row=7)
    result = prepare([*records, leaking], [PLANETS], near_duplicates={"enabled": False}).run()
    assert result.records == records
    assert result.reasons(7) == ["contaminated"]


@pytest.fixture(scope="module")
def gsm8k() -> Contaminants:
    """GSM8K's test set, as a named dataset."""
    root = Path(__file__).resolve().parents[2]
    data = Path(os.environ.get("WORKBENCH_SHARED_DATA", root.parent / "shared" / "data")) / "benchmarks"
    if not data.is_dir():
        pytest.skip(f"{data} is not there (set WORKBENCH_SHARED_DATA)")
    rows = [json.loads(line) for line in (data / "gsm8k_test.jsonl").open(encoding="utf-8")]
    documents = tuple(record_document(number, chat(row["question"], row["answer"])) for number, row in enumerate(rows))
    known = EvaluationSet(NamedSet("dataset gsm8k", "row"), documents)
    return Contaminants(EvaluationData.of([known], Decontamination()))


def gsm8k_rows(part: str, count: int) -> list[tuple[str, str]]:
    root = Path(__file__).resolve().parents[2]
    data = Path(os.environ.get("WORKBENCH_SHARED_DATA", root.parent / "shared" / "data")) / "benchmarks"
    with (data / f"gsm8k_{part}.jsonl").open(encoding="utf-8") as stream:
        rows = [json.loads(line) for line, _ in zip(stream, range(count), strict=False)]
    return [(row["question"], row["answer"]) for row in rows]


def test_a_benchmarks_training_set_is_not_its_test_set(gsm8k: Contaminants) -> None:
    rows = gsm8k_rows("train", 3000)
    verdicts = [gsm8k.verdicts(chat(question, answer)) for question, answer in rows]
    actions = {row: verdict.action for row, of_row in enumerate(verdicts) for verdict in of_row}
    # Read by hand: stamps, two films, a train (a plane in the test) and three books, with other names and numbers.
    assert actions == {20: "flag", 406: "flag", 1314: "drop", 2600: "flag"}


@pytest.mark.parametrize(
    "planted",
    [
        lambda question: chat(question, "I do not know."),
        lambda question: chat(re.sub(r"\d[\d,]*(\.\d+)?", "17", question), "17"),
        lambda question: chat("* " + question.replace(". ", ".\n* "), "I do not know."),
        lambda question: chat(re.sub(r"[^\w\s]", "", question).upper(), "I do not know."),
        lambda question: document(f"{'A page about apples. ' * 90}{question}{' And about pears.' * 90}"),
    ],
    ids=["verbatim", "other numbers", "as a list", "capitals without punctuation", "in a long document"],
)
def test_planted_test_rows_are_found(gsm8k: Contaminants, planted: Callable[[str], Record]) -> None:
    rows = [planted(question) for question, _ in gsm8k_rows("test", 100)]
    assert [number for number, row in enumerate(rows) if not gsm8k.verdicts(row)] == []


def test_rows_that_share_an_instruction_alone_are_flagged_and_say_so(prepare: Callable) -> None:
    instruction = "You are given a sentence from a novel. Decide whether its narrator is reliable, and say yes or no."
    exam = [chat(f"{instruction} Sentence: {' '.join(f'w{n}x{m}' for m in range(6))}", "yes", row=n) for n in range(10)]
    exam += [chat(" ".join(f"v{n}x{m}" for m in range(20)), "x", row=10 + n) for n in range(30)]
    own = chat(f"{instruction} Sentence: I never slept again after that night.", "no", row=0)
    leaked = chat(f"<p>{instruction}</p> <b>Sentence:</b> <i>{' '.join(f'w3x{m}' for m in range(6))}</i>", "no", row=1)
    result = with_datasets(prepare([own, leaked], decontamination={"datasets": ("exam",)}), exam=exam).run()
    assert result.records == [own]
    assert result.reasons(0, "flag") == ["contaminated"]
    assert "% of its question's 8-grams, shared with other documents of the set:" in result.detail(0, "contaminated")
    assert result.detail(1, "contaminated").startswith("dataset exam, row 3: ")


def test_a_piece_of_what_several_documents_share_is_flagged(prepare: Callable) -> None:
    passage = " ".join(f"word{number}" for number in range(120))
    exam = [chat(f"{passage} {' '.join(f'q{n}x{m}' for m in range(12))}?", "x", row=n) for n in range(3)]
    others = [chat(" ".join(f"v{n}x{m}" for m in range(20)), "x", row=3 + n) for n in range(9)]
    piece = chat("Go on.", " ".join(passage.split()[10:80]), row=0)
    result = with_datasets(prepare([piece, OTHER], decontamination={"datasets": ("exam",)}), exam=exam + others).run()
    assert result.records == [piece, OTHER] and result.reasons(0, "flag") == ["contaminated"]
    alone = with_datasets(prepare([piece, OTHER], decontamination={"datasets": ("exam",)}), exam=exam[:1]).run()
    assert alone.records == [OTHER]
