from __future__ import annotations

from pathlib import Path

import pytest
import torch

from workbench.core.config import ModelConfig
from workbench.models.generate import generate
from workbench.models.loading import LoadedModel, load

PROMPTS = [[1, 100, 200], [1, 5, 6, 7, 8, 9, 10, 11], [300], [1, 2, 3, 4, 5]]


@pytest.fixture(scope="module")
def loaded(tiny_model_dir: Path) -> LoadedModel:
    return load(ModelConfig(ref=str(tiny_model_dir)), "fp32", Path())


def _argmax_loop(loaded: LoadedModel, prompt: list[int], steps: int) -> list[int]:
    ids = list(prompt)
    for _ in range(steps):
        with torch.no_grad():
            ids.append(int(loaded.model(torch.tensor([ids])).logits[0, -1].argmax()))
    return ids[len(prompt) :]


def test_batched_answers_equal_a_plain_argmax_loop(loaded: LoadedModel) -> None:
    answers = generate(loaded, PROMPTS, max_new_tokens=6, batch_size=3)
    for answer, prompt in zip(answers, PROMPTS, strict=True):
        expected = _argmax_loop(loaded, prompt, 6)
        assert answer.text == loaded.tokenizer.decode(expected, skip_special_tokens=True)
        assert (answer.tokens, answer.finish_reason) == (6, "length")


def test_answer_ends_at_the_end_token(loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = _argmax_loop(loaded, PROMPTS[0], 6)
    end = expected.index(expected[3])
    monkeypatch.setattr(loaded.model.generation_config, "eos_token_id", expected[3])
    answer = generate(loaded, PROMPTS, max_new_tokens=6, batch_size=4)[0]
    assert (answer.tokens, answer.finish_reason) == (end + 1, "stop")
    assert answer.text == loaded.tokenizer.decode(expected[:end], skip_special_tokens=True)


@pytest.mark.parametrize("own_loop", [True, False])
def test_answers_are_heard_token_by_token_without_what_ends_them(
    own_loop: bool, loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbench.models.generate.changed_decoding", lambda model: not own_loop)
    first, second = (_argmax_loop(loaded, prompt, 6) for prompt in PROMPTS[:2])
    end = first.index(first[3])
    assert first[3] not in second
    monkeypatch.setattr(loaded.model.generation_config, "eos_token_id", first[3])
    heard: list[list[int]] = []
    told = generate(loaded, PROMPTS[:2], 6, batch_size=2, on_token=lambda ids: heard.append(list(ids)))
    steps = [*(first[:length] for length in range(1, end + 1)), first[:end]]  # the last one is that of the end token
    assert sorted(heard) == sorted(steps + [second[:length] for length in range(1, 7)])
    assert told == generate(loaded, PROMPTS[:2], 6, batch_size=2)


def test_several_beams_are_searched_in_silence(loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loaded.model.generation_config, "num_beams", 3)
    heard: list[list[int]] = []
    told = generate(loaded, PROMPTS[:2], 6, batch_size=2, on_token=heard.append)
    assert told == generate(loaded, PROMPTS[:2], 6, batch_size=2) and heard == []


def test_empty_prompt_is_refused(loaded: LoadedModel) -> None:
    with pytest.raises(ValueError, match="prompt is empty"):
        generate(loaded, [[]], 4, 1)
