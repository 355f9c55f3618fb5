"""Log-likelihoods of continuations, every shared token read once and the output head taken where a token is predicted.

    tree_log_likelihoods(model, [([464, ...], [33]), ([464, ...], [77])], tokens_per_batch=2048)
        ->  [(-0.71, True), (-4.2, False)]

`choice_tree.py` plans prefixes, rows and batches; here a batch becomes one forward pass without padding, its rows one
after the other (`tree_attention.py`): a token attends to the prefix, to what stands above it in its own row's tree and
to itself, and its position is its depth.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from typing import Any

from workbench.models import heads
from workbench.models.choice_tree import Row, plan
from workbench.models.likelihood import Pair
from workbench.models.memo import BatchMemo, batch_key
from workbench.models.shared_prefix import Prefix

Score = tuple[float, bool]
"""Log-likelihood in nats, and whether every token is the model's first choice."""

_KIND = "choice_tree/3"
_LOGIT_ROWS = 256
"""Rows of fp32 logits held at once: 50 MB at a vocabulary of 49,152."""


def tree_log_likelihoods(
    model: Any,
    requests: Sequence[Pair],
    tokens_per_batch: int,
    on_scores: Callable[[Mapping[int, Score]], object] | None = None,
    memo: BatchMemo | None = None,
) -> list[Score]:
    """Scores in the order of `requests`; for models of which `shared_prefix.unsupported` says None.

    `on_scores` is given the scores of every batch, by the numbers of their requests, once they are known. The
    log-softmax is in fp32 whatever the model computes in. Raises ValueError for an empty context or continuation.
    """
    for number, request in enumerate(requests):
        if not all(request):
            raise ValueError(f"request {number} has an empty context or continuation")
    # torch and transformers, loaded with the model
    from workbench.models.fused_layers import reading
    from workbench.models.tree_attention import attending

    scores: dict[int, Score] = {}
    with attending(model), reading(model):
        for group in plan(requests, tokens_per_batch):
            prefix = Prefix(model, group.prefix)
            for batch in group.batches:
                numbers = [request for row in batch for request in row.requests]
                found = dict(zip(numbers, _scored(model, prefix, batch, requests, memo), strict=True))
                scores |= found
                if on_scores is not None:
                    on_scores(found)
    return [scores[number] for number in range(len(requests))]


def _scored(
    model: Any, prefix: Prefix, batch: list[Row], requests: Sequence[Pair], memo: BatchMemo | None
) -> list[Score]:
    """Scores of the batch's requests, row by row: from the memo, or computed and kept."""
    import torch

    key = None
    if memo is not None:
        rows = [[_after(len(prefix.ids), requests[number]) for number in row.requests] for row in batch]
        key = batch_key(_KIND, prefix=prefix.ids, rows=rows)
        if (kept := memo.get(key)) is not None:
            return [(value, greedy) for value, greedy in kept]
    with torch.inference_mode():
        scores = _score_batch(model, prefix, batch, requests)
    if memo is not None:
        memo.put(key, [list(score) for score in scores])
    return scores


def _after(prefix: int, request: Pair) -> list[list[int]]:
    context, continuation = request
    return [context[prefix:], continuation]


def _score_batch(model: Any, prefix: Prefix, batch: list[Row], requests: Sequence[Pair]) -> list[Score]:
    """One forward pass; logits of every node that predicts something, in chunks."""
    import torch

    from workbench.models.tree_attention import hidden_states

    starts = accumulate((len(row.tokens) for row in batch), initial=0)
    predictors = [
        start + node for start, row in zip(starts, batch, strict=False) for path in row.predictors for node in path
    ]
    targets = [token for row in batch for request in row.requests for token in requests[request][1]]
    needed, place = torch.tensor(predictors).unique(return_inverse=True)
    hidden = hidden_states(model, batch, prefix)
    rows = hidden[needed.to(hidden.device)]
    logprobs, first = _token_scores(rows, heads.head_weight(model), place, torch.tensor(targets))
    counts = [len(requests[request][1]) for tree in batch for request in tree.requests]
    return [
        (float(own.sum(dtype=torch.float64)), bool(best.all()))
        for own, best in zip(logprobs.split(counts), first.split(counts), strict=True)
    ]


def _token_scores(hidden: Any, weight: Any, place: Any, targets: Any) -> tuple[Any, Any]:
    """Log-probability (fp32) of every target, and whether its logit is the highest.

    `hidden` `[distinct nodes, hidden]`; `place` and `targets` `[targets]`: the node that predicts each target. The
    log-softmax of a node is taken once, whatever number of choices is read from it. Logits of all chunks lie in the
    same memory: asking for new memory costs as much as the sums.
    """
    import torch

    hidden = hidden.to(weight.dtype)
    logprobs = torch.empty(len(targets))
    first = torch.zeros(len(targets), dtype=torch.bool)
    shape = (min(len(hidden), _LOGIT_ROWS), weight.shape[0])
    product = torch.empty(shape, dtype=weight.dtype, device=weight.device)
    log_softmax = torch.empty(shape, device=weight.device)
    for start in range(0, len(hidden), _LOGIT_ROWS):
        chunk = hidden[start : start + _LOGIT_ROWS]
        logits, own = product[: len(chunk)], log_softmax[: len(chunk)]
        torch.mm(chunk, weight.T, out=logits)
        torch.log_softmax(logits, -1, dtype=torch.float32, out=own)
        here = ((place >= start) & (place < start + len(chunk))).nonzero()[:, 0]
        rows, wanted = (place[here] - start).to(logits.device), targets[here].to(logits.device)
        logprobs[here] = own[rows, wanted].cpu()
        # The highest is cheaper to find than its place, which is needed where logits tie, as they do in bf16.
        best = logits[rows, wanted] == logits.amax(-1)[rows]
        best[best.clone()] = logits[rows[best]].argmax(-1) == wanted[best]
        first[here] = best.cpu()
    return logprobs, first
