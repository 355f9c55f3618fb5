from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import torch

from workbench.core.config import ModelConfig, Precision
from workbench.models import heads
from workbench.models.likelihood import batches, continuation_nll
from workbench.models.loading import LoadedModel, load


@pytest.fixture(scope="module")
def models(tiny_model_dir: Path) -> dict[Precision, LoadedModel]:
    config = ModelConfig(ref=str(tiny_model_dir), max_length=128)
    precisions: tuple[Precision, ...] = ("fp32", "bf16", "nf4")
    return {precision: load(config, precision, Path()) for precision in precisions}


def _pairs(count: int) -> list[tuple[list[int], list[int]]]:
    rng = random.Random(0)

    def ids(most: int) -> list[int]:
        return [rng.randrange(3, 49000) for _ in range(rng.randrange(1, most))]

    return [(ids(40), ids(30)) for _ in range(count)]


def _one_by_one(model: Any, context: list[int], continuation: list[int]) -> tuple[float, bool]:
    """The definition, token by token, in double precision after an fp32 forward of this pair alone."""
    with torch.no_grad():
        logits = model(torch.tensor([context + continuation])).logits[0].double()
    rows = logits[len(context) - 1 : -1]
    log_p = torch.log_softmax(rows, -1)
    nll = -sum(float(log_p[i, token]) for i, token in enumerate(continuation))
    return nll, rows.argmax(-1).tolist() == continuation


@pytest.mark.parametrize("batch_size", [1, 5, 64])
def test_batched_scores_equal_the_definition_one_by_one(models: dict[Precision, LoadedModel], batch_size: int) -> None:
    pairs = _pairs(10)
    context, continuation = pairs[0]
    with torch.no_grad():
        best = models["fp32"].model(torch.tensor([context])).logits[0, -1].argmax().item()
    pairs.append((context, [int(best)]))
    scores = continuation_nll(models["fp32"], pairs, batch_size)
    for score, (context, continuation) in zip(scores, pairs, strict=True):
        nll, greedy = _one_by_one(models["fp32"].model, context, continuation)
        assert score.nll_sum == pytest.approx(nll, rel=1e-5)
        assert (score.tokens, score.greedy) == (len(continuation), greedy)
    assert scores[-1].greedy and not scores[0].greedy


def test_rows_of_the_head_alone_give_what_the_whole_logits_give(
    models: dict[Precision, LoadedModel], monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = _pairs(6)
    for precision, loaded in models.items():
        assert heads.separable(loaded.model)
        rows = continuation_nll(loaded, pairs, 4)
        with monkeypatch.context() as patch:
            patch.setattr(heads, "separable", lambda model: False)
            whole = continuation_nll(loaded, pairs, 4)
        for a, b in zip(rows, whole, strict=True):
            assert a.nll_sum == pytest.approx(b.nll_sum, rel=1e-6 if precision == "fp32" else 2e-3)


@pytest.mark.parametrize("precision", ["bf16", "nf4"])
def test_the_same_batches_give_the_same_bits(models: dict[Precision, LoadedModel], precision: Precision) -> None:
    pairs = _pairs(9)
    assert continuation_nll(models[precision], pairs, 4) == continuation_nll(models[precision], pairs, 4)


def test_model_that_changes_its_logits_is_not_taken_apart(models: dict[Precision, LoadedModel]) -> None:
    config = models["fp32"].model.config
    config.final_logit_softcapping = 30.0
    try:
        assert not heads.separable(models["fp32"].model)
    finally:
        del config.final_logit_softcapping


def test_progress_is_told_and_empty_contexts_are_refused(models: dict[Precision, LoadedModel]) -> None:
    seen: list[int] = []
    continuation_nll(models["bf16"], _pairs(5), 2, seen.append)
    assert seen == [2, 4, 5]
    with pytest.raises(ValueError, match="pair 1 has an empty context"):
        continuation_nll(models["bf16"], [([1], [2]), ([], [2])], 2)


def test_batches_hold_neighbours_in_length_and_every_index_once() -> None:
    assert batches([3, 9, 9, 1, 4], 2) == [[1, 2], [4, 0], [3]]
