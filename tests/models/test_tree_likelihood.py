"""Continuations scored as trees, side by side: against every request read by itself."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from workbench.core.config import ModelConfig
from workbench.models.likelihood import Pair
from workbench.models.loading import load
from workbench.models.tree_likelihood import tree_log_likelihoods
from workbench.score.cache import ScoreCache


@pytest.fixture(scope="module")
def model(tiny_model_dir: Path) -> Any:
    return load(ModelConfig(ref=str(tiny_model_dir)), "fp32", Path()).model


def _documents(count: int, examples: int) -> list[Pair]:
    """Contexts after the same examples, with four continuations of one to five tokens each."""
    rng = random.Random(7)
    common = [rng.randrange(3, 900) for _ in range(examples)]
    found = []
    for _ in range(count):
        context = common + [rng.randrange(3, 900) for _ in range(rng.randrange(2, 30))]
        found += [(context, [rng.randrange(3, 900) for _ in range(rng.randrange(1, 6))]) for _ in range(4)]
    return found


@pytest.mark.parametrize("examples", [0, 60])
@pytest.mark.parametrize("budget", [1, 90, 10_000])
def test_neither_neighbours_nor_the_budget_move_a_score(model: Any, examples: int, budget: int) -> None:
    requests = _documents(8, examples)
    for (context, continuation), (found, _) in zip(
        requests, tree_log_likelihoods(model, requests, budget), strict=True
    ):
        with torch.inference_mode():
            logits = model(torch.tensor([context + continuation])).logits[0, len(context) - 1 : -1]
        expected = logits.log_softmax(-1)[range(len(continuation)), continuation].sum()
        assert found == pytest.approx(float(expected), abs=1e-4)


def test_the_model_attends_as_before_once_it_is_done_or_fails(model: Any) -> None:
    own, norm = model.config._attn_implementation, model.model.norm

    def stop(scores: Mapping[int, tuple[float, bool]]) -> None:
        assert model.config._attn_implementation != own
        assert "forward" in vars(norm), "the layers in fewer passes are in place"
        raise InterruptedError

    with pytest.raises(InterruptedError):
        tree_log_likelihoods(model, _documents(2, 0), 50, on_scores=stop)
    assert model.config._attn_implementation == own and "forward" not in vars(norm)


def test_more_documents_compute_only_what_is_new(model: Any, tmp_path: Path) -> None:
    memo = ScoreCache(tmp_path, {"model": "tiny"})
    requests = _documents(60, 60)
    tree_log_likelihoods(model, requests[:120], 60, memo=memo)
    assert not any(batch.reused for batch in memo.take_times())

    scores = tree_log_likelihoods(model, requests, 60, memo=memo)

    reused = [batch.reused for batch in memo.take_times()]
    assert sum(reused) >= 0.4 * len(reused), "half of the documents were there, the last batch of them not full"
    assert scores == tree_log_likelihoods(model, requests, 60)
