"""Metrics of text overlap against the libraries they claim to agree with, and the `evaluate` modules loaded by path."""

from __future__ import annotations

import random
import socket
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.score.metrics.chosen import Chosen, measure
from workbench.score.metrics.evaluated import MODULES
from workbench.score.metrics.metric import MAX_CHARACTERS, Answered
from workbench.score.metrics.registry import METRICS

TEXT = "the a cat cats sat lay on mat mats under An THE dog's red, quick. brown! 12 1,000 -- It's über naïve"
WORDS = TEXT.split()


def made_up(seed: int, count: int, most_references: int) -> list[Answered]:
    """Answers near their references, far from them, equal to them, and empty."""
    rng = random.Random(seed)

    def text(least: int = 1) -> str:
        return " ".join(rng.choices(WORDS, k=rng.randint(least, 14)))

    answers = []
    for _ in range(count):
        right = [text() for _ in range(rng.randint(1, most_references))]
        kept = [word for word in right[-1].split() if rng.random() < 0.7]
        said = rng.choice([" ".join(kept), right[0], text(0), ""])
        answers.append(Answered(said, tuple(right), {}))
    return answers


def values(name: str, answers: list[Answered], **given_settings: Any) -> list[float | None]:
    return [reading.value for reading in measure(Chosen(METRICS[name], given_settings), answers).readings]


@pytest.mark.parametrize("options", [{}, {"ignore_case": True}, {"ignore_case": True, "ignore_punctuation": True}])
def test_exact_match_is_lm_evals(options: dict[str, bool]) -> None:
    from lm_eval.api.metrics import exact_match_hf_evaluate

    answers = made_up(0, 200, 3)

    expected = [
        max(
            float(exact_match_hf_evaluate(predictions=[answer.text], references=[right], **options)["exact_match"])
            for right in answer.references
        )
        for answer in answers
    ]

    assert values("exact_match", answers, **options) == expected
    assert 0 < sum(expected) < len(expected)


def test_token_f1_is_that_of_the_squad_scripts() -> None:
    from lm_eval.tasks.mlqa.utils import f1_score, metric_max_over_ground_truths, normalize_answer

    answers = [answer for answer in made_up(1, 300, 3) if normalize_answer(answer.text, "en")]

    expected = [metric_max_over_ground_truths(f1_score, answer.text, answer.references, "en") for answer in answers]

    assert values("token_f1", answers) == pytest.approx(expected, abs=1e-12)
    assert values("token_f1", [Answered("the quick fox", ("a quick brown fox", "dog"), {})]) == [0.8]
    assert values("token_f1", [Answered("the", ("a",), {}), Answered("", ("x",), {})]) == [1.0, 0.0]


@pytest.mark.parametrize("stem", [False, True])
@pytest.mark.parametrize("name", ["rouge1", "rouge2", "rougeL", "rougeLsum"])
def test_rouge_is_rouge_scores_best_reference(name: str, stem: bool) -> None:
    from rouge_score.rouge_scorer import RougeScorer

    answers = made_up(2, 100, 3)
    scorer = RougeScorer([name], use_stemmer=stem)

    expected = [
        max(scorer.score(right, answer.text)[name].fmeasure for right in answer.references) for answer in answers
    ]

    assert values(name, answers, use_stemmer=stem) == pytest.approx(expected, abs=1e-12)


def test_rouge_of_texts_with_several_lines_is_rouge_scores() -> None:
    from rouge_score.rouge_scorer import RougeScorer

    rng = random.Random(4)

    def text() -> str:
        pieces = [word + rng.choice([" ", "\n", "\n\n"]) for word in rng.choices(WORDS[:8], k=rng.randint(1, 40))]
        return "".join(pieces)

    answers = [Answered(text(), (text(), text()), {}) for _ in range(150)]
    for name in ("rougeL", "rougeLsum"):
        scorer = RougeScorer([name])
        expected = [max(scorer.score(right, one.text)[name].fmeasure for right in one.references) for one in answers]
        assert values(name, answers) == expected


def test_rouge_of_the_longest_answers_fills_no_table_of_python_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("10,000 words against as many: half a minute and a gigabyte")

    monkeypatch.setattr("rouge_score.rouge_scorer._lcs_table", refuse)
    pairs = MAX_CHARACTERS // 4

    # "a b a b ..." and "b a b a ..." share all but the first of one and the last of the other.
    answers = [Answered("a b " * pairs, ("b a " * pairs,), {})]
    for name in ("rougeL", "rougeLsum"):
        assert values(name, answers) == [pytest.approx((2 * pairs - 1) / (2 * pairs))]


def test_bleu_is_sacrebleus_sentence_and_corpus_score() -> None:
    import sacrebleu

    answers = made_up(3, 100, 1)

    expected = [sacrebleu.sentence_bleu(answer.text, list(answer.references)).score / 100 for answer in answers]
    corpus = sacrebleu.corpus_bleu([a.text for a in answers], [[a.references[0] for a in answers]]).score / 100

    measured = measure(Chosen(METRICS["bleu"], {}), answers)
    assert [reading.value for reading in measured.readings] == pytest.approx(expected, abs=1e-12)
    assert measured.corpus == {"corpus_bleu": pytest.approx(corpus, abs=1e-12)}
    assert abs(corpus - sum(expected) / len(expected)) > 0.01, "the corpus score is no mean"


@pytest.mark.parametrize(("name", "word_order"), [("chrf", 0), ("chrf++", 2)])
def test_chrf_is_sacrebleus_sentence_and_corpus_score(name: str, word_order: int) -> None:
    import sacrebleu

    answers = made_up(4, 100, 1)

    expected = [
        sacrebleu.sentence_chrf(answer.text, list(answer.references), word_order=word_order).score / 100
        for answer in answers
    ]
    corpus = sacrebleu.corpus_chrf(
        [answer.text for answer in answers], [[answer.references[0] for answer in answers]], word_order=word_order
    )

    measured = measure(Chosen(METRICS[name], {}), answers)
    assert [reading.value for reading in measured.readings] == pytest.approx(expected, abs=1e-12)
    assert measured.corpus == {f"corpus_{name}": pytest.approx(corpus.score / 100, abs=1e-12)}


@pytest.mark.parametrize("name", ["bleu", "chrf"])
def test_answers_may_have_different_numbers_of_references(name: str) -> None:
    short, long = "a dog", "the cat sat on the mat"
    answers = [Answered(long, (short, long), {}), Answered(short, (short,), {})]

    assert measure(Chosen(METRICS[name], {}), answers).corpus[f"corpus_{name}"] == pytest.approx(1.0)


def test_the_variants_of_accuracy_are_scikit_learns() -> None:
    from sklearn import metrics

    rng = random.Random(5)
    right = rng.choices(["yes", "no", "maybe"], weights=[8, 3, 1], k=200)
    said = [label if rng.random() < 0.6 else rng.choice(["yes", "no", "maybe"]) for label in right]
    answers = [
        Answered(f"I would say {one}.", (label,), {"answer": label}) for one, label in zip(said, right, strict=True)
    ]

    measured = measure(Chosen(METRICS["label"], {"labels": ["yes", "no", "maybe"]}), answers)

    assert sum(reading.value or 0 for reading in measured.readings) / 200 == metrics.accuracy_score(right, said)
    assert measured.corpus == {
        "balanced_accuracy": pytest.approx(metrics.balanced_accuracy_score(right, said)),
        "macro_f1": pytest.approx(metrics.f1_score(right, said, average="macro")),
        "matthews": pytest.approx(metrics.matthews_corrcoef(right, said)),
    }


def test_an_answer_without_a_label_is_wrong_for_its_class_in_every_variant() -> None:
    said = [("yes", "yes"), ("?", "yes"), ("no", "no")]
    answers = [Answered(text, (label,), {"answer": label}) for text, label in said]

    measured = measure(Chosen(METRICS["label"], {"labels": ["yes", "no"]}), answers)

    assert [(reading.value, reading.parsed) for reading in measured.readings] == [(1, True), (0, False), (1, True)]
    assert measured.corpus["balanced_accuracy"] == pytest.approx((1 / 2 + 1) / 2)
    assert measured.corpus["macro_f1"] == pytest.approx((2 * 0.5 / 1.5 + 1) / 2)


@settings(max_examples=40, deadline=None)
@given(st.text(max_size=60), st.text(min_size=1, max_size=60))
def test_every_text_has_a_value_between_0_and_1_and_is_equal_to_itself(answer: str, right: str) -> None:
    clean_answer, clean_right = (text.encode("utf-8", "replace").decode() for text in (answer, right))
    for name in ("exact_match", "token_f1", "rouge1", "rougeL", "bleu", "chrf", "chrf++"):
        (value,) = values(name, [Answered(clean_answer, (clean_right,), {})])
        assert value is not None and 0 <= value <= 1, name
    assert values("exact_match", [Answered(clean_right.strip(), (clean_right.strip(),), {})]) == [1.0]


def test_the_modules_are_loaded_by_path_without_a_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    import evaluate

    def refuse(self: socket.socket, address: object) -> None:
        raise AssertionError(f"connection to {address!r}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    for path in sorted(MODULES.glob("[a-z]*.py")):
        module = evaluate.load(str(path), keep_in_memory=True)
        found = module.compute(predictions=["yes", "no"], references=[["yes"], ["no", "never"]])
        scores = found["scores"]
        per_document = scores if isinstance(scores, list) else next(iter(scores.values()))
        assert per_document == pytest.approx([1.0, 1.0]), path.name


def test_a_long_answer_is_cut_and_a_long_reference_refused() -> None:
    long = "word " * MAX_CHARACTERS
    answers = [Answered(long, ("word",), {}), Answered("x", (long,), {})]

    readings = measure(Chosen(METRICS["rougeL"], {}), answers).readings

    assert readings[0].value is not None and readings[0].value < 0.01
    assert readings[1].value is None
    assert readings[1].error is not None and f"longer than {MAX_CHARACTERS}" in readings[1].error
