"""How far `hf-fast` goes by itself, what it leaves to lm-eval's own code, and what a run that ends early has kept."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from stock_beside import WORDS, assert_equal, both, choice_requests, request

from workbench.models import greedy, tree_likelihood


@pytest.mark.parametrize("batch_size", [4, "auto:4"])
def test_only_rows_beyond_a_window_are_left_to_stock(
    family: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch, batch_size: int | str
) -> None:
    base, tokenizer = family("Mistral")
    model = copy.deepcopy(base)
    model.config.sliding_window = 96
    stock, fast = both(model, tokenizer, batch_size=batch_size, max_batch_size=4)
    read: list[int] = []

    def watched(model: Any, pairs: Any, *given: Any) -> Any:
        if given[1:]:  # not the rows of the check, whose scores nobody waits for
            read.extend(len(context) + len(continuation) for context, continuation in pairs)
        return tree_likelihood.tree_log_likelihoods(model, pairs, *given)

    monkeypatch.setattr("workbench.score.hf_fast.tree_log_likelihoods", watched)
    requests = choice_requests(0)

    found = fast.loglikelihood(requests, disable_tqdm=True)

    assert_equal(found, stock.loglikelihood(requests, disable_tqdm=True), 2e-4)
    assert len(read) > len(requests) - 8, "one context alone is too long"
    assert max(read) <= 96


def test_answers_that_end_within_a_window_are_found_fast(
    family: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    base, tokenizer = family("Mistral")
    model = copy.deepcopy(base)
    model.config.sliding_window = 96
    stock, fast = both(model, tokenizer)
    made: list[int] = []

    def watched(model: Any, prompts: Any, limit: int, *given: Any) -> list[list[int]]:
        made.extend(len(prompt) + limit for prompt in prompts)
        return greedy.greedy_ids(model, prompts, limit, *given)

    monkeypatch.setattr("workbench.score.hf_fast.greedy_ids", watched)
    for examples in (2, 30):
        asked = [request("generate_until", f"{'Lima is a city. ' * examples}{word}", {"until": [], "max_gen_toks": 20})
                 for word in WORDS if word]  # fmt: skip
        expected = stock.generate_until(asked, disable_tqdm=True)
        assert fast.generate_until(asked, disable_tqdm=True) == expected
    assert len(made) == len(asked), "the longer ones are left to stock"
    assert max(made) <= 96


def test_few_windows_are_scored_under_an_automatic_batch_size(family: Callable[[str], Any]) -> None:
    stock, fast = both(*family("Gemma2"), max_length=40, batch_size="auto:4", max_batch_size=4)
    requests = [request("loglikelihood_rolling", text) for text in ("Lima", "Quito " * 40)]

    expected = stock.loglikelihood_rolling(requests, disable_tqdm=True)

    assert fast.loglikelihood_rolling(requests, disable_tqdm=True) == pytest.approx(expected, rel=1e-6)


def test_a_model_in_double_precision_is_left_to_stock(family: Callable[[str], Any]) -> None:
    base, tokenizer = family("Llama")
    stock, fast = both(copy.deepcopy(base).double(), tokenizer)
    requests = choice_requests(0)

    assert fast.loglikelihood(requests, disable_tqdm=True) == stock.loglikelihood(requests, disable_tqdm=True)


def test_a_model_whose_weights_stay_on_the_disk_is_left_to_stock(family: Callable[[str], Any], tmp_path: Path) -> None:
    from accelerate import disk_offload

    base, tokenizer = family("Llama")
    stock, _ = both(base, tokenizer)
    requests = choice_requests(0)[:8]
    asked = [request("generate_until", "Lima is", {"until": [], "max_gen_toks": 4})]
    expected = stock.loglikelihood(requests, disable_tqdm=True), stock.generate_until(asked, disable_tqdm=True)
    offloaded = disk_offload(copy.deepcopy(base), str(tmp_path), torch.device("cpu"))
    assert offloaded.device.type == "meta"
    _, fast = both(offloaded, tokenizer)
    fast._device = torch.device("cpu")  # as lm-eval sets it for a model that it places itself

    found = fast.loglikelihood(requests, disable_tqdm=True), fast.generate_until(asked, disable_tqdm=True)

    assert found == expected


def test_a_run_that_ends_early_has_kept_its_finished_batches(family: Callable[[str], Any]) -> None:
    _, fast = both(*family("Llama"), batch_size=1)
    requests = choice_requests(0)
    expected = dict(zip((one.args for one in requests), fast.loglikelihood(requests, disable_tqdm=True), strict=True))
    kept: dict[Any, Any] = {}
    batches: list[int] = []

    class Hook:
        def add_partial(self, kind: str, arguments: Any, score: Any) -> None:
            assert kind == "loglikelihood"
            kept[arguments] = score

    def stop(rows: int) -> None:
        batches.append(rows)
        if len(batches) == 3:
            raise InterruptedError

    fast.set_cache_hook(Hook())
    fast.on_rows = stop
    with pytest.raises(InterruptedError):
        fast.loglikelihood(requests, disable_tqdm=True)

    assert 0 < len(kept) < len(expected)
    assert kept == {arguments: expected[arguments] for arguments in kept}
