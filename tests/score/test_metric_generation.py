"""The kind `generation`, and the workbench's metrics on lm-eval's generated answers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from score_surroundings import Runner, suite_of, values

from workbench.compare.gain import Settings
from workbench.compare.pairing import pair
from workbench.compare.rows import read_columns
from workbench.compare.suite import Policy, compare_suite
from workbench.core.errors import UsageError
from workbench.core.parts import read_rows
from workbench.core.records import ScoreRow
from workbench.core.stage import Done
from workbench.core.suites import Suite
from workbench.models.generate import Generated
from workbench.models.loading import LoadedModel
from workbench.score.kinds import generation, lm_eval
from workbench.score.metrics.registry import METRICS
from workbench.score.scoring import Job
from workbench.score.stage import run
from workbench.score.tasks import check_suite

QUESTIONS = [
    {"prompt": "Capital of Peru?", "answer": ["Lima", "Ciudad de los Reyes"], "kind": "a"},
    {"prompt": "Two and two?", "answer": 4, "kind": "b"},
    {"prompt": "Say nothing.", "answer": "x", "kind": "a"},
    {"prompt": "Ramble.", "answer": "end", "kind": "b"},
]
SAID = {
    "Peru": "The answer is Lima.\n\nQ: next",
    "two": "so 4",
    "nothing": "\n",
    "Ramble": "The answer is the red end",
}
SETTINGS: dict[str, Any] = {"kind": "generation", "primary_metric": "token_f1", "max_new_tokens": 6}


@pytest.fixture
def says(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, str]], None]:
    """Puts answers into the model's mouth, by a word of the prompt."""

    def put(said: dict[str, str]) -> None:
        def speak(loaded: LoadedModel, prompts: list[list[int]], *args: object, **more: object) -> list[Generated]:
            texts = [loaded.tokenizer.decode(ids) for ids in prompts]
            return [Generated(next(said[key] for key in said if key in text), 5, "stop") for text in texts]

        monkeypatch.setattr("workbench.models.generate.generate", speak)

    return put


def test_answers_are_measured_against_the_documents_right_ones(
    job: Callable[..., Job], says: Callable[[dict[str, str]], None]
) -> None:
    says(SAID)
    task = {"metric_list": [{"metric": "token_f1"}, {"metric": "contains"}], "until": ["\n\n"]}

    scored = generation.score(job(QUESTIONS, **SETTINGS, task=task, groups="kind"))

    f1 = [row for row in scored.rows if row.metric == "token_f1"]
    # "answer is lima" against "lima": precision 1/3, recall 1; "so 4": 1/2, 1; "answer is red end": 1/4, 1.
    assert [row.value for row in f1] == pytest.approx([0.5, 2 / 3, 0.0, 0.4])
    assert [row.parsed for row in f1] == [True, True, False, True]
    assert values(scored.rows, "contains") == [1, 1, 0, 1]
    assert [row.target for row in f1] == ["Lima", "4", "x", "end"]
    assert [row.group for row in f1] == ["a", "b", "a", "b"]
    assert f1[0].output == "The answer is Lima.\n\nQ: next", "the raw answer is kept"


def test_a_pattern_picks_the_part_of_the_answer_that_counts(
    job: Callable[..., Job], says: Callable[[dict[str, str]], None]
) -> None:
    says(SAID)
    task = {"metric_list": [{"metric": "exact_match"}], "answer_pattern": r"answer is (?:the red )?(\w+)"}

    rows = generation.score(job(QUESTIONS, **{**SETTINGS, "primary_metric": "exact_match"}, task=task)).rows

    assert [(row.value, row.parsed) for row in rows] == [(1, True), (0, False), (0, False), (1, True)]


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ({"answer": "x"}, "no `prompt`"),
        ({"prompt": "word " * 80, "answer": "x"}, "leaves no room"),
        ({"prompt": "Capital of Peru?"}, "no right answer"),
        ({"prompt": "Capital of Peru?", "answer": {"city": "Lima"}}, "no right answer"),
        ({"prompt": "Capital of Peru?", "answer": None}, "no right answer"),
    ],
)
def test_a_document_that_cannot_be_measured_is_a_row_with_an_error(
    job: Callable[..., Job], says: Callable[[dict[str, str]], None], document: dict[str, Any], problem: str
) -> None:
    says(SAID)

    rows = generation.score(job([QUESTIONS[0], document, QUESTIONS[1]], **SETTINGS)).rows

    assert [row.value is None for row in rows] == [False, True, False]
    assert problem in str(rows[1].error)


def test_a_document_needs_no_answer_where_the_metric_reads_something_else(
    job: Callable[..., Job], says: Callable[[dict[str, str]], None]
) -> None:
    says({"JSON": '{"city": "Lima"}', "call": '<tool_call>{"name": "f", "arguments": {}}</tool_call>'})
    settings = {**SETTINGS, "primary_metric": "json_schema"}
    schema = {"type": "object", "required": ["city"]}

    documents = [{"prompt": "JSON!", "schema": schema}, {"prompt": "call!", "schema": schema}]

    rows = generation.score(job(documents, **settings))

    assert [(row.value, row.parsed) for row in rows.rows] == [(1, True), (0, False)]
    calls = [{"prompt": "call!", "calls": [{"name": "f", "arguments": {}}]}, {"prompt": "JSON!", "calls": []}]
    rows = generation.score(job(calls, **{**SETTINGS, "primary_metric": "tool_call"}))
    assert [row.value for row in rows.rows] == [1, 1]


def test_answers_are_the_models_own(job: Callable[..., Job]) -> None:
    from workbench.score.kinds import answers

    given = {"kind": "judge", "primary_metric": "win_rate", "max_new_tokens": 6}
    expected = [made.output for made in answers.score(job(QUESTIONS, **given)).generations]

    assert [row.output for row in generation.score(job(QUESTIONS, **SETTINGS)).rows] == expected


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"primary_metric": "tokenf1"}, "unknown metric 'tokenf1' for kind 'generation'; did you mean 'token_f1'"),
        ({"task": {"metric_list": [{"metric": "bleu"}]}}, "unknown metric 'token_f1'.*known: bleu"),
        ({"task": {"metric_list": [{"metric": "token_f1"}, {"metric": "token_f1"}]}}, "listed twice"),
        ({"task": {"metric_list": "token_f1"}}, "list of mappings"),
        ({"task": {"metric_list": [{"metric": ["bleu"]}]}}, "unknown metric"),
        ({"task": {"untill": ["x"]}}, "unknown key; did you mean 'until'"),
        ({"task": {"until": "x"}}, "list of texts"),
        ({"task": {"answer_pattern": "("}}, "task.answer_pattern: .*missing"),
        ({"task": {"answer_pattern": 3}}, "must be a text"),
    ],
)
def test_a_generation_suite_that_cannot_work_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        check_suite(suite_of(**{**SETTINGS, **settings}))


TASK = {
    "output_type": "generate_until",
    "doc_to_text": "{{prompt}}",
    "doc_to_target": "answer",
    "generation_kwargs": {"until": ["\n"], "max_gen_toks": 5, "do_sample": False},
}


def test_the_workbenchs_metrics_work_on_lm_evals_answers(job: Callable[..., Job]) -> None:
    documents = [{"prompt": one["prompt"], "answer": "Lima is it"} for one in QUESTIONS]
    filters = [
        {"name": "strict", "filter": [{"function": "regex", "regex_pattern": "is (\\d+)"}, {"function": "take_first"}]},
        {"name": "whole", "filter": [{"function": "take_first"}]},
    ]
    task = {**TASK, "filter_list": filters}
    plain = lm_eval.score(job(documents, primary_metric="exact_match", task=task))
    several = [{"metric": "rouge1"}, {"metric": "exact_match"}, {"metric": "bleu"}]

    scored = lm_eval.score(job(documents, primary_metric="rouge1", task={**task, "metric_list": several}))

    assert {(row.metric, row.filter) for row in scored.rows} == {
        (metric, name) for metric in ("rouge1", "exact_match", "bleu") for name in ("strict", "whole")
    }
    assert [row.value for row in scored.rows if row.metric == "exact_match"] == [row.value for row in plain.rows]
    assert [row.output for row in scored.rows if row.metric == "rouge1"] == [row.output for row in plain.rows]
    assert all(not row.parsed and row.value == 0 for row in scored.rows if row.filter == "strict")
    assert all(row.parsed for row in scored.rows if row.filter == "whole" and row.output.strip())
    assert scored.corpus.keys() == {"corpus_bleu"}


def test_lists_of_right_answers_and_broken_documents_reach_the_metrics_of_lm_eval_tasks(
    job: Callable[..., Job], tiny: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = iter(["Lima", "a red fox", "Cusco"])
    monkeypatch.setattr(
        "workbench.score.hf_fast.FastHFLM.generate_until", lambda self, requests, *args: [next(said) for _ in requests]
    )
    documents = [
        {"prompt": "Capital?", "answer": ["Cusco", "Lima"]},
        {"prompt": None, "answer": ["x", "y"]},
        {"prompt": "Animal?", "answer": ["the red fox", "dog"]},
        {"prompt": "City?", "answer": ["Lima"]},
    ]

    rows = lm_eval.score(job(documents, primary_metric="token_f1", task=TASK)).rows

    assert [row.value for row in rows] == [1.0, None, 1.0, 0.0]
    assert {row.metric for row in rows} == {"token_f1"}


def test_a_filter_whose_pattern_explodes_finds_nothing_and_does_not_hang(
    job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbench.score.bounded_filters.TIMEOUT_S", 0.1)
    explosive = "a" * 60 + "!"
    monkeypatch.setattr(
        "workbench.score.hf_fast.FastHFLM.generate_until", lambda self, requests, *args: [explosive] * len(requests)
    )
    explodes = [{"function": "regex", "regex_pattern": "^((?:a|aa|a?a)+)$"}, {"function": "take_first"}]
    task = {**TASK, "filter_list": [{"name": "strict", "filter": explodes}]}

    rows = lm_eval.score(job([{"prompt": "x", "answer": "y"}], primary_metric="exact_match", task=task)).rows

    assert [(row.value, row.parsed, row.output) for row in rows] == [(0.0, False, explosive)]


@pytest.mark.parametrize(
    ("ignored", "answer", "value"),
    [
        (["^((?:a|aa|a?a)+)$"], "a" * 60 + "!", 0.0),
        ([",", r"(?s).*#### ", r"\.$"], "so\n#### 1,000.", 1.0),
    ],
)
def test_what_exact_match_ignores_is_taken_out_and_hangs_nothing(
    ignored: list[str], answer: str, value: float, job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    def unbounded(*_: object, **__: object) -> None:
        raise AssertionError("a search that nothing ends")

    monkeypatch.setattr("workbench.score.bounded_filters.TIMEOUT_S", 0.1)
    monkeypatch.setattr("lm_eval.api.metrics.re", SimpleNamespace(sub=unbounded))
    monkeypatch.setattr(
        "workbench.score.hf_fast.FastHFLM.generate_until", lambda self, requests, *args: [answer] * len(requests)
    )
    task = {**TASK, "metric_list": [{"metric": "exact_match", "regexes_to_ignore": ignored}]}
    task.pop("filter_list", None)

    rows = lm_eval.score(job([{"prompt": "x", "answer": "1000"}], primary_metric="exact_match", task=task)).rows

    assert [row.value for row in rows] == [value]


def test_an_empty_answer_is_unread_under_every_metric(
    job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    said = iter(["", "  ", "Lima"])
    monkeypatch.setattr(
        "workbench.score.hf_fast.FastHFLM.generate_until", lambda self, requests, *args: [next(said) for _ in requests]
    )
    documents = [{"prompt": f"Capital {number}?", "answer": "Lima"} for number in range(3)]
    task = {**TASK, "metric_list": [{"metric": "exact_match"}, {"metric": "token_f1"}]}

    rows = lm_eval.score(job(documents, primary_metric="exact_match", task=task)).rows

    parsed = {metric: [row.parsed for row in rows if row.metric == metric] for metric in ("exact_match", "token_f1")}
    assert parsed == {"exact_match": [False, False, True], "token_f1": [False, False, True]}


def test_documents_that_failed_are_no_part_of_the_corpus(
    job: Callable[..., Job], says: Callable[[dict[str, str]], None]
) -> None:
    import sacrebleu

    says({"Peru": "the cat sat on the mat"})
    asked = {"prompt": "Peru?", "answer": "the cat sat on a mat"}
    failed = {"prompt": "word " * 80, "answer": "a right answer that was never asked for"}

    scored = generation.score(job([asked, failed], **{**SETTINGS, "primary_metric": "bleu"}))

    corpus = sacrebleu.corpus_bleu(["the cat sat on the mat"], [["the cat sat on a mat"]]).score / 100
    assert scored.corpus["corpus_bleu"] == pytest.approx(corpus)
    assert [row.value is None for row in scored.rows] == [False, True] and "no room" in str(scored.rows[1].error)


def test_a_setting_of_a_metric_is_checked_before_anything_runs() -> None:
    entries = [{"metric": "rouge1", "stem": True}]

    with pytest.raises(UsageError, match="unknown setting 'stem'"):
        check_suite(suite_of(primary_metric="rouge1", task={**TASK, "metric_list": entries}))


def test_a_stage_writes_rows_and_the_numbers_of_the_whole(
    runner: Runner, says: Callable[[dict[str, str]], None]
) -> None:
    says({"Peru": "the cat sat on the mat", "dog": "yes"})
    documents = [{"prompt": "Peru?", "answer": "the cat sat on a mat"}, {"prompt": "dog?", "answer": "no"}]
    suite = runner.suite(documents, **{**SETTINGS, "primary_metric": "bleu"})
    context = runner.context()

    outcome = run(runner.node(suite), {}, context)

    import sacrebleu

    corpus = sacrebleu.corpus_bleu(["the cat sat on the mat", "yes"], [["the cat sat on a mat", "no"]]).score / 100
    assert isinstance(outcome, Done)
    assert outcome.summary["tests.corpus_bleu"] == round(corpus, 4)
    rows = list(read_rows(context.out_dir / "samples.jsonl", ScoreRow))
    assert outcome.summary["tests.bleu"] == round(sum(row.value or 0 for row in rows) / 2, 4)


def test_ability_is_told_from_format_where_both_arms_answer_readably(
    job: Callable[..., Job], says: Callable[[dict[str, str]], None], tmp_path: Path
) -> None:
    """40 sums: after, half of them come without a number and the rest are as right as before."""
    documents = [{"prompt": f"sum{number:02d}x =", "answer": 7} for number in range(40)]
    settings = {**SETTINGS, "primary_metric": "numeric"}
    said_before = {f"sum{number:02d}x": "7" if number % 4 else "8" for number in range(40)}
    said_after = {key: text if number % 2 else "seven" for number, (key, text) in enumerate(said_before.items())}
    columns = []
    for said in (said_before, said_after):
        says(said)
        scored = generation.score(job(documents, **settings))
        columns.append(read_columns(scored.rows, [suite_of(**settings)])[("tests", "none")])
    policy = Policy(Settings(confidence=0.95, resamples=999, seed=0), 0.05, 0.02, 0.02)

    compared = compare_suite(suite_of(**settings), pair(*columns), policy, filter_name="none")

    # Right before: 30 of 40. After: the odd ones, all 20 of which were right.
    assert (compared.before.value, compared.after.value) == (0.75, 0.5)
    assert (compared.unparsed_before, compared.unparsed_after) == (0, 20)
    assert compared.both_parsed is not None and compared.both_parsed_n == 20
    assert compared.both_parsed.value == 0
    assert compared.gain.value == pytest.approx(-0.25)


def test_the_docs_name_every_metric_and_setting_and_their_suite_can_be_scored() -> None:
    import yaml

    page = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    for name, metric in METRICS.items():
        row = next((line for line in rows if f"`{name}`" in line.split("|")[1]), None)
        assert row is not None, name
        assert all(setting in row.split("|")[3] for setting in metric.settings), row
    check_suite(Suite(**yaml.safe_load(page.split("```yaml\n")[1].split("```")[0])))


@pytest.mark.parametrize("ignored", ["a.b", 5, ["("], [5], [None]])
def test_what_is_no_list_of_patterns_to_ignore_is_refused_before_a_model_is_loaded(ignored: Any) -> None:
    task = {**TASK, "metric_list": [{"metric": "exact_match", "regexes_to_ignore": ignored}]}
    with pytest.raises(UsageError, match="regexes_to_ignore"):
        check_suite(suite_of(primary_metric="exact_match", task=task))
