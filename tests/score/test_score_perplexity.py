"""Nats per token against a one-by-one computation in fp32 and stock lm-eval, and what is cut, missing or broken."""

from __future__ import annotations

import json
import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.core.config import ModelConfig
from workbench.core.records import Message
from workbench.models.chat import prompt_ids, text_ids
from workbench.models.likelihood import continuation_nll
from workbench.models.loading import LoadedModel
from workbench.score.kinds import perplexity
from workbench.score.passages import rolling_windows
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


@given(tokens=st.integers(1, 90), max_length=st.integers(1, 30))
def test_windows_are_those_of_lm_eval(tokens: int, max_length: int) -> None:
    from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

    ids = list(range(1, tokens + 1))
    expected = map(make_disjoint_window, get_rolling_token_windows(ids, 0, max_length, 1))

    assert list(rolling_windows(ids, 0, max_length)) == list(expected)


def test_without_a_prompt_it_is_the_rolling_perplexity_of_stock_lm_eval(
    tiny: LoadedModel, job: Callable[..., Job]
) -> None:
    from lm_eval.api.instance import Instance
    from lm_eval.api.metrics import bits_per_byte, weighted_perplexity
    from lm_eval.api.task import PerplexityTask
    from lm_eval.models.huggingface import HFLM

    long = [" ".join(f"{word} {number}" for number in range(n)) for word, n in (("one", 70), ("ünï\n", 32), ("a", 29))]
    texts = [document["text"] for document in TEXTS[:4]] + long
    model = HFLM(pretrained=tiny.model, tokenizer=tiny.tokenizer, batch_size=1, softmax_dtype="float32", max_length=64)
    requests = [
        Instance(request_type="loglikelihood_rolling", doc={}, arguments=(text,), idx=0, metadata=("t", 0, 1))
        for text in texts
    ]
    expected = [-value for value in model.loglikelihood_rolling(requests, disable_tqdm=True)]

    scored = perplexity.score(job([{"text": text} for text in texts], **SETTINGS))

    assert scored.truncated == 0
    assert [row.weight for row in scored.rows] == [len(text_ids(tiny.tokenizer, text)) for text in texts]
    assert max(row.weight for row in scored.rows) > 3 * 64, "several windows"
    outputs = [json.loads(row.output) for row in scored.rows]
    assert [output["nll"] for output in outputs] == pytest.approx(expected, rel=1e-5)
    assert [output["words"] for output in outputs] == [PerplexityTask.count_words(text) for text in texts]
    assert [output["bytes"] for output in outputs] == [PerplexityTask.count_bytes(text) for text in texts]
    pairs = {
        unit: [(-nll, output[unit]) for nll, output in zip(expected, outputs, strict=True)]
        for unit in ("words", "bytes")
    }
    totals = perplexity.totals(scored.rows)
    assert totals["word_perplexity"] == pytest.approx(weighted_perplexity(pairs["words"]), rel=1e-4)
    assert totals["byte_perplexity"] == pytest.approx(weighted_perplexity(pairs["bytes"]), rel=1e-5)
    assert totals["bits_per_byte"] == pytest.approx(bits_per_byte(pairs["bytes"]), rel=1e-5)


def test_bits_per_byte_has_bytes_as_weights(job: Callable[..., Job]) -> None:
    nats = perplexity.score(job(TEXTS, **SETTINGS)).rows
    scored = perplexity.score(job(TEXTS, kind="perplexity", primary_metric="bits_per_byte"))

    assert {row.metric for row in scored.rows} == {"bits_per_byte"}
    for row, in_nats, document in zip(scored.rows, nats, TEXTS, strict=True):
        size = len(document["text"].encode())
        assert in_nats.value is not None
        assert (row.weight, row.value) == (size, pytest.approx(in_nats.value * in_nats.weight / math.log(2) / size))
    mean = sum((row.value or 0) * row.weight for row in scored.rows) / sum(row.weight for row in scored.rows)
    assert mean == pytest.approx(perplexity.totals(nats)["bits_per_byte"])


def test_a_text_of_many_tokens_without_a_space_has_no_word_perplexity(job: Callable[..., Job]) -> None:
    rows = perplexity.score(job([{"text": "x1" * 200}], **SETTINGS)).rows

    assert sorted(perplexity.totals(rows)) == ["bits_per_byte", "byte_perplexity"]
    assert perplexity.totals([]) == {}


def test_a_long_text_after_a_prompt_is_cut_at_its_end_and_counted(tiny: LoadedModel, job: Callable[..., Job]) -> None:
    long = {"prompt": "Count:", "text": "one two three " * 40}
    scored = perplexity.score(job([*TEXTS, long], **SETTINGS))

    assert scored.truncated == 1
    last = scored.rows[-1]
    before = [tiny.tokenizer.bos_token_id, *text_ids(tiny.tokenizer, "Count:")]
    kept = text_ids(tiny.tokenizer, long["text"])[: 64 - len(before)]
    assert last.weight == len(kept)
    assert last.value == pytest.approx(by_hand(tiny, before, kept) / len(kept), abs=1e-5)
    assert json.loads(last.output)["bytes"] == len(tiny.tokenizer.decode(kept).encode())


def test_a_text_may_be_one_token_longer_than_the_model_reads() -> None:
    """GPT-2 has a vector for every position and none beyond: the last token of a window is predicted, never read."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = GPT2LMHeadModel(GPT2Config(vocab_size=50, n_positions=8, n_embd=16, n_layer=1, n_head=2)).eval()

    class Tokenizer:
        pad_token_id = 0

    loaded = LoadedModel(model, Tokenizer(), ModelConfig(max_length=8), "fp32", "gpt2")
    ids = [token % 49 + 1 for token in range(20)]
    windows = list(rolling_windows(ids, 0, 8))
    scores = continuation_nll(loaded, windows, batch_size=2)

    assert [score.tokens for score in scores] == [8, 8, 4]
    for (context, continuation), score in zip(windows, scores, strict=True):
        with torch.no_grad():
            logits = model(torch.tensor([(context + continuation)[:-1]])).logits[0].double()
        picked = torch.log_softmax(logits[len(context) - 1 :], -1)[range(len(continuation)), continuation]
        assert score.nll_sum == pytest.approx(-float(picked.sum()), rel=1e-5)


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
