"""Nats per token against a one-by-one computation in fp32, and what is cut, missing or broken."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from workbench.core.records import Message
from workbench.models.chat import prompt_ids, text_ids
from workbench.models.loading import LoadedModel
from workbench.score.kinds import perplexity
from workbench.score.scoring import Job

TEXTS = [
    {"text": "Return the absolute value of a number."},
    {"text": "a"},
    {"text": "Cut a rope in two, then tie both ends together again.", "prompt": "What next?"},
    {"text": "Return the absolute value of a number."},
    {"text": "Short <|im_end|> answer", "prompt": "A much longer prompt than the answer that comes after it"},
]
SETTINGS = {"kind": "perplexity", "primary_metric": "nll"}


def by_hand(tiny: LoadedModel, before: list[int], text: list[int]) -> float:
    """Nats of `text` after `before`: one sequence, one position at a time, in fp32."""
    import torch

    total = 0.0
    with torch.no_grad():
        logits = tiny.model(torch.tensor([before + text])).logits[0]
    for position, token in enumerate(text, start=len(before)):
        total -= float(torch.log_softmax(logits[position - 1].double(), dim=-1)[token])
    return total


@pytest.mark.parametrize("chat", [False, True])
def test_nll_equals_a_one_by_one_computation(tiny: LoadedModel, job: Callable[..., Job], chat: bool) -> None:
    rows = perplexity.score(job(TEXTS, chat=chat, **SETTINGS)).rows

    tokenizer = tiny.tokenizer
    for row, document in zip(rows, TEXTS, strict=True):
        text = text_ids(tokenizer, document["text"])
        before = [tokenizer.bos_token_id]
        if "prompt" in document:
            asked = [Message(role="user", content=document["prompt"])]
            plain = [tokenizer.bos_token_id, *text_ids(tokenizer, document["prompt"])]
            before = prompt_ids(tokenizer, asked, None) if chat else plain
        assert row.weight == len(text)
        assert row.value == pytest.approx(by_hand(tiny, before, text) / len(text), abs=1e-5)
        assert json.loads(row.output)["nll"] == pytest.approx(row.value * row.weight)


def test_without_a_prompt_it_is_the_rolling_likelihood_of_stock_lm_eval(
    tiny: LoadedModel, job: Callable[..., Job]
) -> None:
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    texts = [document["text"] for document in TEXTS[:4]]
    model = HFLM(pretrained=tiny.model, tokenizer=tiny.tokenizer, batch_size=1, softmax_dtype="float32", max_length=64)
    requests = [
        Instance(request_type="loglikelihood_rolling", doc={}, arguments=(text,), idx=0, metadata=("t", 0, 1))
        for text in texts
    ]
    expected = [-value for value in model.loglikelihood_rolling(requests, disable_tqdm=True)]

    rows = perplexity.score(job([{"text": text} for text in texts], **SETTINGS)).rows

    assert [json.loads(row.output)["nll"] for row in rows] == pytest.approx(expected, abs=1e-4)


def test_a_long_text_is_cut_at_its_end_and_counted(tiny: LoadedModel, job: Callable[..., Job]) -> None:
    scored = perplexity.score(job([*TEXTS, {"text": "one two three " * 40}], **SETTINGS))

    assert scored.truncated == 1
    last = scored.rows[-1]
    assert last.weight == 63, "the model's 64 tokens less the beginning-of-text token"
    kept = text_ids(tiny.tokenizer, "one two three " * 40)[:63]
    assert last.value == pytest.approx(by_hand(tiny, [tiny.tokenizer.bos_token_id], kept) / 63, abs=1e-5)


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ({"prompt": "no text"}, "no `text`"),
        ({"text": ""}, "no `text`"),
        ({"text": ["a", "list"]}, "no `text`"),
        ({"text": "there", "prompt": "long " * 80}, "fills the model's length"),
    ],
)
def test_a_document_that_cannot_be_scored_is_a_row_with_an_error(
    job: Callable[..., Job], broken: dict[str, object], reason: str
) -> None:
    rows = perplexity.score(job([TEXTS[0], broken, TEXTS[1]], **SETTINGS)).rows

    assert [row.value is None for row in rows] == [False, True, False]
    assert rows[1].error is not None and reason in rows[1].error
    assert rows[1].weight == 1


def test_only_broken_documents_give_only_errors(job: Callable[..., Job]) -> None:
    rows = perplexity.score(job([{"text": ""}], **SETTINGS)).rows

    assert [row.value for row in rows] == [None]


def test_a_model_that_gives_no_number_fails_the_document(job: Callable[..., Job]) -> None:
    import torch

    given = job(TEXTS, **SETTINGS)
    weight = given.loaded.model.get_output_embeddings().weight
    before = weight.detach().clone()
    try:
        with torch.no_grad():
            weight.fill_(float("nan"))
        rows = perplexity.score(given).rows
    finally:
        with torch.no_grad():
            weight.copy_(before)

    assert [row.value for row in rows] == [None] * 5
    assert all(row.error == "the log-likelihood is not a finite number" for row in rows)
