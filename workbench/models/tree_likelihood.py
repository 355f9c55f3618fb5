"""Log-likelihoods of continuations, every shared token read once and the output head taken where a token is predicted.

    tree_log_likelihoods(model, [([464, ...], [33]), ([464, ...], [77])], tokens_per_batch=2048)
        ->  [(-0.71, True), (-4.2, False)]

`choice_tree.py` plans prefixes, rows and batches; here a batch becomes one forward pass. In a row with branches a token
attends to the prefix, to what stands above it in the tree and to itself, by a mask of four dimensions, and its position
is its depth; rows without branches need no mask, or one causal mask for the whole batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from workbench.models import heads
from workbench.models.choice_tree import Row, plan
from workbench.models.likelihood import Pair
from workbench.models.memo import BatchMemo, batch_key
from workbench.models.shared_prefix import Prefix

Score = tuple[float, bool]
"""Log-likelihood in nats, and whether every token is the model's first choice."""

_KIND = "choice_tree/1"
_LOGIT_ROWS = 256
"""Rows of fp32 logits held at once: 50 MB at a vocabulary of 49,152."""


def tree_log_likelihoods(
    model: Any,
    requests: Sequence[Pair],
    tokens_per_batch: int,
    on_done: Callable[[int], object] | None = None,
    memo: BatchMemo | None = None,
) -> list[Score]:
    """Scores in the order of `requests`; for models of which `shared_prefix.unsupported` says None.

    `on_done` hears of requests done after every batch. The log-softmax is in fp32 whatever the model computes in.
    Raises ValueError for an empty context or continuation.
    """
    for number, request in enumerate(requests):
        if not all(request):
            raise ValueError(f"request {number} has an empty context or continuation")
    scores: dict[int, Score] = {}
    for group in plan(requests, tokens_per_batch):
        prefix = Prefix(model, group.prefix)
        for batch in group.batches:
            numbers = [request for row in batch for request in row.requests]
            scores.update(zip(numbers, _scored(model, prefix, batch, requests, memo), strict=True))
            if on_done is not None:
                on_done(len(scores))
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

    hidden = _hidden(model, prefix, batch)
    longest = hidden.shape[1]
    predictors = [row * longest + node for row, tree in enumerate(batch) for path in tree.predictors for node in path]
    targets = [token for tree in batch for request in tree.requests for token in requests[request][1]]
    needed, place = torch.tensor(predictors).unique(return_inverse=True)
    rows = hidden.flatten(0, 1)[needed.to(hidden.device)]
    logprobs, first = _token_scores(rows, heads.head_weight(model), place, torch.tensor(targets))
    counts = [len(requests[request][1]) for tree in batch for request in tree.requests]
    return [
        (float(own.sum(dtype=torch.float64)), bool(best.all()))
        for own, best in zip(logprobs.split(counts), first.split(counts), strict=True)
    ]


def _hidden(model: Any, prefix: Prefix, batch: list[Row]) -> Any:
    """Last hidden states `[rows, longest row, hidden]`."""
    import torch

    device = model.device
    longest = max(len(row.tokens) for row in batch)
    ids = torch.zeros((len(batch), longest), dtype=torch.long)
    positions = torch.zeros((len(batch), longest), dtype=torch.long)
    for number, row in enumerate(batch):
        ids[number, : len(row.tokens)] = torch.tensor(row.tokens)
        positions[number, : len(row.tokens)] = torch.tensor(row.depths)
    before = len(prefix.ids)
    cache = prefix.rows(len(batch))
    inputs: dict[str, Any] = {}
    mask = _mask(batch, longest, before)
    if mask is not None:
        inputs["attention_mask"] = _additive(mask, model.dtype).to(device)
        inputs["position_ids"] = (positions + before).to(device)
    if cache is not None:
        inputs |= {"past_key_values": cache, "use_cache": True}
    return heads.hidden_states(model, ids.to(device), **inputs)


def _mask(batch: list[Row], longest: int, before: int) -> Any:
    """What each token sees, bool `[rows or 1, 1, longest, before + longest]`; None where plain causality says it.

    Padding stands on the right and sees itself, so that its softmax has something to sum; nothing else sees it.
    """
    import torch

    branching = any(len(row.branches) > 1 for row in batch)
    if not branching and not before:
        return None
    causal = torch.ones((longest, longest), dtype=torch.bool).tril()
    seen = torch.ones((len(batch) if branching else 1, 1, longest, before + longest), dtype=torch.bool)
    if not branching:
        seen[0, 0, :, before:] = causal
        return seen
    for number, row in enumerate(batch):
        own = seen[number, 0, :, before:]
        own.copy_(torch.eye(longest, dtype=torch.bool))
        for above, start, end in row.branches:
            own[start:end, torch.tensor(above, dtype=torch.long)] = True
            own[start:end, start:end] = causal[: end - start, : end - start]
    return seen


def _additive(mask: Any, dtype: Any) -> Any:
    """0 where a token is seen and the lowest number elsewhere: what both of torch's attentions add to the scores."""
    import torch

    return torch.zeros(mask.shape, dtype=dtype).masked_fill_(~mask, torch.finfo(dtype).min)


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
