"""Log-likelihood of continuations: what perplexity, multiple choice and forgetting are computed from.

    continuation_nll(loaded, [(ids of "The capital of Peru is", ids of " Lima")], batch_size=8)
        ->  [ContinuationScore(nll_sum=0.71, tokens=1, greedy=True)]
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
from typing import Any

from workbench.models import heads
from workbench.models.loading import LoadedModel
from workbench.models.memo import BatchMemo, batch_key

_KIND = "continuation_nll/1"
_ROWS_PER_CHUNK = 512
"""Rows of fp32 logits held at once: 100 MB at a vocabulary of 49,152."""

Pair = tuple[list[int], list[int]]
"""Context ids and continuation ids; the context must not be empty."""


@dataclass(frozen=True, slots=True)
class ContinuationScore:
    """How likely one continuation is after its context."""

    nll_sum: float
    """Negative log-likelihood of the whole continuation, in nats."""
    tokens: int
    """Tokens of the continuation."""
    greedy: bool
    """Whether every token is the model's first choice."""


def continuation_nll(
    loaded: LoadedModel,
    pairs: Sequence[Pair],
    batch_size: int,
    on_batch: Callable[[int], object] | None = None,
    memo: BatchMemo | None = None,
) -> list[ContinuationScore]:
    """Scores of `pairs`, in their order; `on_batch` hears how many are done, batches in `memo` are not computed.

    The log-softmax is taken in fp32, on the continuation's positions alone. Batches are made by one rule (`batches`):
    two arms with the same pairs and batch size compute in the same shapes. Raises ValueError for an empty context.
    """
    for number, (context, _) in enumerate(pairs):
        if not context:
            raise ValueError(f"pair {number} has an empty context: begin it with `start_ids`")
    scores: dict[int, ContinuationScore] = {}
    for batch in batches([len(context) + len(continuation) for context, continuation in pairs], batch_size):
        scores.update(zip(batch, _scored(loaded, [pairs[index] for index in batch], memo), strict=True))
        if on_batch is not None:
            on_batch(len(scores))
    return [scores[index] for index in range(len(pairs))]


def batches(lengths: Sequence[int], batch_size: int) -> list[list[int]]:
    """Indices in batches of neighbours in length, longest first, ties in the order given: little padding, one rule."""
    order = sorted(range(len(lengths)), key=lambda index: (-lengths[index], index))
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]


def _scored(loaded: LoadedModel, pairs: Sequence[Pair], memo: BatchMemo | None) -> list[ContinuationScore]:
    """A batch from the memo, or computed and kept."""
    if memo is None:
        return _score_batch(loaded, pairs)
    key = batch_key(_KIND, pairs=[list(pair) for pair in pairs])
    if (kept := memo.get(key)) is not None:
        return [ContinuationScore(*values) for values in kept]
    scores = _score_batch(loaded, pairs)
    memo.put(key, [list(astuple(score)) for score in scores])
    return scores


def _score_batch(loaded: LoadedModel, pairs: Sequence[Pair]) -> list[ContinuationScore]:
    import torch

    targets = torch.tensor([token for _, continuation in pairs for token in continuation], device=loaded.model.device)
    with torch.inference_mode():
        nll, first_choice = _token_scores(logit_rows(loaded, pairs), targets)
    counts = [len(continuation) for _, continuation in pairs]
    return [
        ContinuationScore(float(part_nll.sum(dtype=torch.float64)), count, bool(part_first.all()))
        for count, part_nll, part_first in zip(counts, nll.split(counts), first_choice.split(counts), strict=True)
    ]


def logit_rows(loaded: LoadedModel, pairs: Sequence[Pair]) -> Callable[[int, int], Any]:
    """Reads a right-padded batch in one forward pass; gives the logits `[end - start, vocabulary]` of rows `start` to
    `end`, where row `i` predicts continuation token `i` of the whole batch. The last token of a pair is never read:
    a pair may be one token longer than the model."""
    import torch

    device = loaded.model.device
    longest = max(len(context) + len(continuation) for context, continuation in pairs) - 1
    ids = torch.full((len(pairs), longest), loaded.tokenizer.pad_token_id)
    mask = torch.zeros((len(pairs), longest), dtype=torch.long)
    predicts = torch.zeros((len(pairs), longest), dtype=torch.bool)
    for row, (context, continuation) in enumerate(pairs):
        read = (context + continuation)[:-1]
        ids[row, : len(read)] = torch.tensor(read)
        mask[row, : len(read)] = 1
        predicts[row, len(context) - 1 : len(read)] = True
    return _rows(loaded.model, ids.to(device), mask.to(device), predicts.to(device))


def _rows(model: Any, ids: Any, mask: Any, predicts: Any) -> Callable[[int, int], Any]:
    """Gives the logits of predicting rows `start` to `end`, in reading order of the batch."""
    if not heads.separable(model):
        logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits
        # A learned prompt stands before the text and has logits of its own.
        logits = logits[:, -ids.shape[1] :][predicts]
        return lambda start, end: logits[start:end]
    hidden = heads.hidden_states(model, ids)[predicts]
    weight = heads.head_weight(model)
    return lambda start, end: hidden[start:end].to(weight.dtype) @ weight.T


def _token_scores(rows: Callable[[int, int], Any], targets: Any) -> tuple[Any, Any]:
    """Negative log-likelihood (fp32, nats) of every target, and whether it has the highest logit."""
    import torch

    nll, first_choice = [torch.zeros(0)], [torch.zeros(0, dtype=torch.bool)]
    for start in range(0, len(targets), _ROWS_PER_CHUNK):
        wanted = targets[start : start + _ROWS_PER_CHUNK]
        logits = rows(start, start + len(wanted)).float()
        nll.append(-logits.log_softmax(-1).gather(1, wanted[:, None])[:, 0].cpu())
        first_choice.append((logits.argmax(-1) == wanted).cpu())
    return torch.cat(nll), torch.cat(first_choice)
