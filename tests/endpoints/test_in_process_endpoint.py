from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from workbench.core.config import EndpointConfig, ModelConfig
from workbench.core.errors import UsageError
from workbench.core.records import Message
from workbench.endpoints.calls import CallFailed, ChatRequest, Reply
from workbench.endpoints.client import open_endpoint
from workbench.endpoints.in_process import InProcessEndpoint
from workbench.endpoints.probe import probe

QUESTIONS = ["Capital of Peru?", "A much longer question about a great many different things: what is it?", "Why?"]


def ask(text: str, **settings: Any) -> ChatRequest:
    return ChatRequest((Message(role="user", content=text),), **{"max_tokens": 1, "top_logprobs": 5} | settings)


@pytest.fixture
def endpoint(tiny_model_dir: Path, tmp_path: Path) -> InProcessEndpoint:
    opened = open_endpoint(
        EndpointConfig(kind="in_process"), ModelConfig(ref=str(tiny_model_dir)), tmp_path, tmp_path / "responses"
    )
    assert isinstance(opened, InProcessEndpoint)
    return opened


def test_first_token_logprobs_of_a_padded_batch_equal_the_models_own_on_each_prompt_alone(
    endpoint: InProcessEndpoint, tiny_model_dir: Path
) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    from workbench.models.chat import prompt_ids
    from workbench.models.loading import load_tokenizer

    replies = endpoint.chat([ask(text, top_logprobs=20) for text in QUESTIONS])
    tokenizer = load_tokenizer(ModelConfig(ref=str(tiny_model_dir)), Path())
    oracle = AutoModelForCausalLM.from_pretrained(tiny_model_dir, dtype=torch.float32).eval()
    for text, reply in zip(QUESTIONS, replies, strict=True):
        assert isinstance(reply, Reply)
        ids = prompt_ids(tokenizer, (Message(role="user", content=text),), None)
        with torch.no_grad():
            logprobs = oracle(torch.tensor([ids])).logits[0, -1].log_softmax(-1)
        assert reply.prompt_tokens == len(ids)
        assert reply.first_token_logprobs is not None
        ids_of: dict[str, list[int]] = {}
        for token in logprobs.topk(200).indices.tolist():
            ids_of.setdefault(tokenizer.decode([token]), []).append(token)
        # pieces of characters all read "\ufffd": only tokens with a text of their own can be told apart
        unique = {text: value for text, value in reply.first_token_logprobs.items() if len(ids_of[text]) == 1}
        assert len(unique) >= 10
        for text_of_token, value in unique.items():
            expected = float(logprobs[ids_of[text_of_token][0]])
            assert value == pytest.approx(expected, abs=0.05)  # bf16 against fp32


def test_longer_answers_are_the_models_greedy_generation(endpoint: InProcessEndpoint, tiny_model_dir: Path) -> None:
    from workbench.models.chat import prompt_ids
    from workbench.models.generate import generate
    from workbench.models.loading import load

    loaded = load(ModelConfig(ref=str(tiny_model_dir)), "bf16", Path())
    ids = prompt_ids(loaded.tokenizer, (Message(role="user", content=QUESTIONS[0]),), None)
    (expected,) = generate(loaded, [ids], 6, 1)
    (reply,) = endpoint.chat([ask(QUESTIONS[0], max_tokens=6, top_logprobs=0)])
    assert isinstance(reply, Reply)
    assert (reply.text, reply.finish_reason, reply.completion_tokens) == (
        expected.text,
        expected.finish_reason,
        expected.tokens,
    )


def test_a_resumed_run_answers_from_the_cache_without_loading_the_model(
    endpoint: InProcessEndpoint, tiny_model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = [ask(text) for text in QUESTIONS]
    first = endpoint.chat(requests)
    monkeypatch.setattr(InProcessEndpoint, "load", lambda _self: pytest.fail("the model was loaded"))
    again = open_endpoint(
        EndpointConfig(kind="in_process"), ModelConfig(ref=str(tiny_model_dir)), tmp_path, tmp_path / "responses"
    ).chat(requests)
    assert [r.first_token_logprobs for r in again if isinstance(r, Reply)] == [
        r.first_token_logprobs for r in first if isinstance(r, Reply)
    ]
    assert all(isinstance(reply, Reply) and reply.cached for reply in again)


def test_a_run_stopped_by_its_budget_and_continued_gives_the_numbers_of_an_unbroken_one(
    tiny_model_dir: Path, tmp_path: Path
) -> None:
    requests = [ask(f"{text} Number {number}.") for number in range(4) for text in QUESTIONS]

    def run(directory: str, **budget: int) -> list[Reply | CallFailed]:
        config = EndpointConfig(kind="in_process", **budget)
        model = ModelConfig(ref=str(tiny_model_dir))
        return open_endpoint(config, model, tmp_path, tmp_path / directory).chat(requests)

    unbroken = run("one")
    stopped = run("two", max_requests=5)
    assert sum(isinstance(answer, CallFailed) and answer.reason == "budget" for answer in stopped) == 7
    continued = run("two")
    assert [r.first_token_logprobs for r in continued if isinstance(r, Reply)] == [
        r.first_token_logprobs for r in unbroken if isinstance(r, Reply)
    ]


@pytest.mark.parametrize("settings", [{"temperature": 0.7}, {"schema": {"type": "object"}}, {"max_tokens": 5000}])
def test_what_it_cannot_do_is_refused_instead_of_ignored(endpoint: InProcessEndpoint, settings: dict[str, Any]) -> None:
    fine, refused = endpoint.chat([ask("Why?"), ask("Why?", **settings)])
    assert isinstance(fine, Reply)
    assert isinstance(refused, CallFailed)
    assert refused.reason == "bad_request"


def test_the_probe_sees_logprobs_and_no_schema(endpoint: InProcessEndpoint) -> None:
    abilities = probe(endpoint, logprobs=True, schema=True)
    assert abilities.logprobs
    assert not abilities.schema
    assert any("JSON schema" in remark for remark in abilities.remarks)


def test_a_base_model_that_does_not_exist_is_refused_on_opening(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        open_endpoint(EndpointConfig(kind="in_process"), ModelConfig(ref="./nowhere"), tmp_path, tmp_path)
