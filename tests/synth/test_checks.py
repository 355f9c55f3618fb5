from __future__ import annotations

import pytest
from rouge_score import rouge_scorer
from synth_world import document

from workbench.core.config import SynthConfig
from workbench.core.curation import Decontamination
from workbench.core.records import Check
from workbench.synth.checks.desk import Desk, Evaluation
from workbench.synth.checks.registry import CHECKS
from workbench.synth.drafts import Draft
from workbench.synth.verdicts import candidate_from
from workbench.text.contamination import suite_document
from workbench.text.evaluation_sets import EvaluationSet, NamedSet
from workbench.text.novelty import KnownTexts

PASSAGE = "The harbour of Lima was built by Ana Rivas in 1871 and it can hold ninety ships in the summer months."
QUESTION = "Who was the builder of the harbour of Lima?"
LONG = "Which planet of the solar system has the shortest day and how long does that day take in hours and minutes?"


def draft(question: str = QUESTION, answer: str = "Ana Rivas", evidence: str = "built by Ana Rivas") -> Draft:
    return Draft("qa_from_docs", document(PASSAGE), PASSAGE, question, answer, evidence)


def desk(suite_texts: tuple[str, ...] = (), known: tuple[str, ...] = ()) -> Desk:
    documents = tuple(suite_document(place, {"text": text}, ("text",)) for place, text in enumerate(suite_texts))
    suite = EvaluationSet(NamedSet("suite capitals", "document"), documents)
    return Desk(SynthConfig(), "question", Evaluation([suite], Decontamination()), KnownTexts(known))


def outcome(name: str, one: Draft, at: Desk | None = None) -> Check:
    return next(check for check in candidate_from(one, at or desk()).checks if check.name == name)


def test_a_good_pair_passes_every_check_and_is_accepted() -> None:
    candidate = candidate_from(draft(), desk())
    assert candidate.status == "accepted"
    assert len(candidate.checks) == len(CHECKS)
    assert all(check.passed for check in candidate.checks)


@pytest.mark.parametrize(
    ("check", "bad"),
    [
        ("length", {"question": "Why so?"}),
        ("length", {"question": "why " * 61}),
        ("length", {"answer": "Ana Rivas " * 40}),
        ("evidence", {"evidence": "built by someone else"}),
        ("evidence", {"evidence": ""}),
        ("grounding", {"answer": "Ana Rivas designed many beautiful bridges"}),
        ("leak", {"question": "Was it Ana Rivas who built the harbour?"}),
        ("answer_type", {"answer": "1871"}),
        ("answer_type", {"question": "When was the harbour of Lima built?", "answer": "Ana Rivas"}),
        ("answer_type", {"question": "How many ships fit into the harbour?", "answer": "the summer months"}),
        ("standalone", {"question": "Who does the passage say built the harbour?"}),
        ("standalone", {"question": "Who built the harbour described above?"}),
        ("repetition", {"answer": "Ana Rivas built it " * 6}),
        ("boilerplate", {"answer": "I'm sorry, but I cannot help with that."}),
        ("boilerplate", {"answer": "Ana Rivas<|im_end|>"}),
        ("boilerplate", {"answer": "As an AI language model I have no opinion."}),
    ],
)
def test_each_fault_is_found_by_its_check_and_rejects_the_candidate(check: str, bad: dict[str, str]) -> None:
    candidate = candidate_from(draft(**bad), desk())
    assert candidate.status == "rejected"
    assert check in {found.name for found in candidate.checks if not found.passed}


@pytest.mark.parametrize(
    ("check", "fine"),
    [
        ("length", {"question": "\u8c01\u5efa\u9020\u4e86\u5229\u9a6c\u6e2f\u53e3?"}),
        ("length", {"answer": "A"}),
        ("evidence", {"evidence": '  "BUILT by   Ana\nRivas" '}),
        ("answer_type", {"answer": "\u5b89\u5a1c"}),
        ("answer_type", {"question": "When does the harbour hold the ships?", "answer": "In the summer of 1871"}),
        ("answer_type", {"question": "How many ships can the harbour hold?", "answer": "ninety, or one hundred"}),
        ("standalone", {"question": "What does `this.text` of the harbour hold?"}),
        ("leak", {"question": "Did Ana, or did Rivas, build the harbour?"}),
    ],
)
def test_what_only_looks_like_a_fault_passes(check: str, fine: dict[str, str]) -> None:
    assert outcome(check, draft(**fine)).passed, outcome(check, draft(**fine))


def test_novelty_is_rouge_l_and_fails_above_the_limit_not_at_it() -> None:
    earlier = "Who was the architect of the harbour of Quito?"
    found = outcome("novelty", draft(), desk(known=(earlier,)))
    oracle = rouge_scorer.RougeScorer(["rougeL"], use_stemmer=False).score(earlier, QUESTION)["rougeL"].fmeasure
    assert found.score == pytest.approx(oracle, abs=1e-12)
    assert not found.passed
    seven_of_ten = "alpha beta gamma delta epsilon zeta eta one two three"
    at_the_limit = "alpha beta gamma delta epsilon zeta eta four five six"
    edge = outcome("novelty", draft(question=at_the_limit), desk(known=(seven_of_ten,)))
    assert edge.score == pytest.approx(0.7)
    assert edge.passed


def test_an_accepted_candidate_makes_its_repetition_old_and_a_rejected_one_does_not() -> None:
    at = desk()
    assert candidate_from(draft(evidence="invented"), at).status == "rejected"
    assert candidate_from(draft(), at).status == "accepted"
    assert candidate_from(draft(answer="Rivas, Ana"), at).status == "rejected"


def test_a_suite_document_in_a_candidate_rejects_it_with_suite_and_document() -> None:
    found = outcome("contamination", draft(question=LONG), desk((LONG.upper(),)))
    assert (found.passed, found.score) == (False, 1.0)
    assert found.detail == f'suite capitals, document 0: the same text: "{LONG}"'
    most = outcome("contamination", draft(question=LONG), desk((f"{LONG} Answer in one word.",)))
    assert not most.passed
    assert most.score is not None
    assert 0.5 <= most.score < 1
    assert outcome("contamination", draft(), desk((LONG,))).passed


def test_thirteen_words_in_common_are_for_a_person_to_review_not_rejected() -> None:
    thirteen = " ".join(LONG.split()[:13])
    suite = f"{thirteen} {' '.join(f'tale{number}' for number in range(60))}"
    candidate = candidate_from(draft(question=f"{thirteen} or rather not?"), desk((suite,)))
    assert [check.name for check in candidate.checks if not check.passed] == ["evaluation_overlap"]
    assert candidate.status == "review"
    twelve = " ".join(LONG.split()[:12])
    assert candidate_from(draft(question=f"{twelve} or rather not?"), desk((suite,))).status == "accepted"


def test_what_flags_a_curated_row_sends_a_candidate_to_review() -> None:
    part = " ".join(LONG.split()[:11])
    candidate = candidate_from(draft(question=f"{part} of all?"), desk((LONG,)))
    (failed,) = [check for check in candidate.checks if not check.passed]
    # 21 words are 14 8-grams; eleven words of them are 4.
    assert (failed.name, candidate.status) == ("evaluation_overlap", "review")
    assert failed.score == pytest.approx(4 / 14)
    assert failed.detail == f'suite capitals, document 0: 29% of its 8-grams: "{part}"'


def test_an_unreadable_reply_is_rejected_by_one_check_and_a_missing_one_is_an_error() -> None:
    unread = Draft("qa_from_docs", document(PASSAGE), PASSAGE, raw_reply="la la", problem="no question")
    rejected = candidate_from(unread, desk())
    assert (rejected.status, rejected.record, rejected.raw_reply) == ("rejected", None, "la la")
    assert [check.name for check in rejected.checks] == ["parsed"]
    failed = candidate_from(Draft("qa_from_docs", document(PASSAGE), PASSAGE, error="timeout: slow"), desk())
    assert (failed.status, failed.error, failed.checks) == ("error", "timeout: slow", ())
