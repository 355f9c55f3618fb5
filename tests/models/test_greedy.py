"""The greedy loop against transformers' `generate`, row by row and in batches."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import torch

from workbench.core.config import ModelConfig
from workbench.models import generate as generating
from workbench.models.generate import generate
from workbench.models.greedy import greedy_ids, shared_prefix
from workbench.models.likelihood import continuation_nll
from workbench.models.loading import LoadedModel, load
from workbench.models.shared_prefix import Prefix
from workbench.score.cache import ScoreCache


@pytest.fixture
def memo(tmp_path: Path) -> ScoreCache:
    return ScoreCache(tmp_path, {"model": "tiny"})


@pytest.fixture(scope="module")
def loaded(tiny_model_dir: Path) -> LoadedModel:
    return load(ModelConfig(ref=str(tiny_model_dir)), "fp32", Path())


def _prompts(prefix: int) -> list[list[int]]:
    rng = random.Random(prefix)
    common = [rng.randrange(3, 49000) for _ in range(prefix)]
    return [common + [rng.randrange(3, 49000) for _ in range(length)] for length in (1, 9, 3, 3, 25)]


def _transformers(model: Any, prompt: list[int], limit: int) -> list[int]:
    """`generate` on one prompt alone, its end tokens off."""
    out = model.generate(input_ids=torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt)).long(),
                         do_sample=False, max_new_tokens=limit, eos_token_id=None, pad_token_id=0)  # fmt: skip
    ids: list[int] = out[0, len(prompt) :].tolist()
    return ids


@pytest.mark.parametrize("prefix", [0, 40])
def test_rows_that_end_at_different_steps_equal_transformers_alone(loaded: LoadedModel, prefix: int) -> None:
    prompts = _prompts(prefix)
    expected = [_transformers(loaded.model, prompt, 70) for prompt in prompts]
    lengths = {ids[0]: steps for ids, steps in zip(expected, (1, 70, 4, 4, 66), strict=True)}

    def ends(answer: list[int]) -> bool:
        return len(answer) >= lengths[answer[0]]

    common = shared_prefix(prompts)
    assert len(common) == prefix
    found = greedy_ids(loaded.model, prompts, 70, ends, Prefix(loaded.model, common))

    assert found == [ids[: lengths[ids[0]]] for ids in expected]
    assert len({len(ids) for ids in found}) > 2, "rows must leave the batch at different steps"


def test_what_all_prompts_begin_with_is_read_once_for_all_batches(loaded: LoadedModel) -> None:
    prompts = _prompts(40)
    whole = generate(loaded, prompts, 3, 5)
    read: list[int] = []
    hook = loaded.model.get_input_embeddings().register_forward_hook(
        lambda module, inputs, output: read.append(inputs[0].shape[1])
    )
    answers = generate(loaded, prompts, 3, 2)
    hook.remove()

    assert answers == whole
    assert sorted(length for length in read if length > 1) == [3, 25, 40], "the batches, and the beginning once"


def test_one_prompt_and_prompts_that_share_little_have_no_prefix() -> None:
    assert shared_prefix([]) == []
    assert shared_prefix([[1] * 50]) == []
    assert shared_prefix([[1] * 50, [1] * 10 + [2]]) == []
    assert shared_prefix([[1] * 50, [1] * 20]) == [1] * 19, "the last token of a prompt is read in its own row"


def test_generation_settings_that_change_logits_leave_the_answer_to_transformers(
    loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = _prompts(0)
    plain = generate(loaded, prompts, 12, 5)
    monkeypatch.setattr(loaded.model.generation_config, "repetition_penalty", 1.8)
    calls: list[int] = []
    by_transformers = generating._by_transformers
    monkeypatch.setattr(
        generating, "_by_transformers", lambda *given: (calls.append(1), by_transformers(*given))[1]
    )
    changed = generate(loaded, prompts, 12, 5)
    assert calls
    assert changed != plain


@pytest.mark.parametrize("batch_size", [2, 5])
def test_finished_batches_are_taken_whole_from_the_memo(
    loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch, memo: ScoreCache, batch_size: int
) -> None:
    prompts = _prompts(20)
    pairs = [(prompt, prompt[-3:]) for prompt in prompts]
    answers = generate(loaded, prompts, 6, batch_size, memo=memo)
    scores = continuation_nll(loaded, pairs, batch_size, memo=memo)
    assert answers == generate(loaded, prompts, 6, batch_size)
    assert scores == continuation_nll(loaded, pairs, batch_size)

    monkeypatch.setattr(loaded.model.base_model, "forward", None)

    assert generate(loaded, prompts, 6, batch_size, memo=memo) == answers
    assert continuation_nll(loaded, pairs, batch_size, memo=memo) == scores


def test_another_limit_or_another_neighbour_is_another_batch(loaded: LoadedModel, memo: ScoreCache) -> None:
    prompts = _prompts(0)
    generate(loaded, prompts, 6, 5, memo=memo)
    generate(loaded, prompts, 7, 5, memo=memo)
    generate(loaded, prompts[:4], 6, 5, memo=memo)
    continuation_nll(loaded, [(prompts[0], [5])], 5, memo=memo)
    continuation_nll(loaded, [(prompts[0], [6])], 5, memo=memo)
    assert [batch.reused for batch in memo.take_times()] == [False] * 5
