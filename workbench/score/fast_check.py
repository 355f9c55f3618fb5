"""The fast way against lm-eval's own on the first documents of an arm, once, before anything is scored by it.

    disagreement(model, requests, stock, fast, memo)  ->  None, or why the fast way is switched off

In fp32 both ways differ by the rounding of sums. In bf16 (NF4 computes in it) lm-eval's own numbers move with the batch
a row is in, so the bound there is wide: it is to notice a mask or a position that is wrong, which moves them by nats.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from weakref import WeakKeyDictionary

from workbench.models.memo import BatchMemo, batch_key
from workbench.models.tree_likelihood import Score

LONGEST_MADE = 63
"""Tokens of a request that is made for the check."""
_REQUESTS = 8
_TOKENS = 512
_CONTEXT, _CONTINUATION = 96, 32
_MADE = 6
"""Contexts that are made to follow one beginning; every other one has two continuations, so that rows branch."""
_BEGINNING = 56
"""Tokens: times the contexts after the first, above what `choice_tree` asks of a prefix."""
_FP32 = (1e-3, 1e-5)
_HALF = (0.5, 0.05)
"""Largest difference allowed: nats, and more per nat of the log-likelihood itself."""
_CHECKED: WeakKeyDictionary[Any, float] = WeakKeyDictionary()
"""Models in this process and how far the ways were apart, as a share of what is allowed."""


def disagreement(
    model: Any,
    requests: Sequence[Any],
    stock: Callable[[Sequence[Any]], list[Score]],
    fast: Callable[[Sequence[Any]], list[Score]],
    memo: BatchMemo | None,
) -> str | None:
    """Why `fast` must not be used with `model`; None where it agrees with `stock` on the shortest documents.

    Few documents of one suite share too little for a prefix, and choices of one token need no mask, so requests that
    need both are added. `requests` are lm-eval's: name, context ids, continuation ids. Found once per model, and once
    per arm where a memo keeps it: a run that goes on after a kill decides as the first one did.
    """
    share = _CHECKED.get(model)
    if share is None:
        share = _CHECKED[model] = _kept(model, requests, stock, fast, memo)
    if share <= 1:
        return None
    return f"scoring falls back to lm-eval's own code: the fast way is {share:.1f} times as far from it as allowed"


def _kept(
    model: Any, requests: Sequence[Any], stock: Callable[..., list[Score]], fast: Callable[..., list[Score]],
    memo: BatchMemo | None,
) -> float:  # fmt: skip
    key = batch_key("fast_check/3")
    if memo is not None and (kept := memo.get(key)) is not None:
        return float(kept)
    chosen = _first(requests)
    chosen += made_requests(chosen, model.get_input_embeddings().num_embeddings)
    share = _share(model, stock(chosen), fast(chosen))
    if memo is not None:
        memo.put(key, share)
    return share


def _first(requests: Sequence[Any]) -> list[Any]:
    """Requests of the shortest documents, up to eight of together 512 tokens, long ones cut at their ends.

    They have no names: what lm-eval keeps under a name must be a whole request's.
    """
    shortest = sorted(requests, key=lambda request: (len(request[1]), request[1], len(request[2]), request[2]))
    chosen: list[Any] = []
    tokens = 0
    for request in shortest[:_REQUESTS]:
        context, continuation = request[1][:_CONTEXT], request[2][:_CONTINUATION]
        tokens += len(context) + len(continuation)
        if tokens > _TOKENS:
            break
        chosen.append((None, context, continuation))
    return chosen


def made_requests(requests: Sequence[Any], vocabulary: int) -> list[Any]:
    """Contexts after one beginning, some with two continuations: rows after a shared prefix, with and without branches.

    They are made of the tokens of `requests`, and of the vocabulary's first where those are too few.
    """
    own = (token for _, context, continuation in requests for token in context + continuation)
    pool = list(dict.fromkeys([*own, *range(min(vocabulary, _BEGINNING))]))[:_BEGINNING]

    def tokens(start: int, count: int) -> list[int]:
        return [pool[place % len(pool)] for place in range(start, start + count)]

    return [
        (None, tokens(0, _BEGINNING) + tokens(number, 4), tokens(other, 3))
        for number in range(_MADE)
        for other in ((20, 21) if number % 2 else (20,))
    ]


def _share(model: Any, expected: Sequence[Score], found: Sequence[Score]) -> float:
    """Largest difference over what is allowed for it; infinite for what is no number on one side alone."""
    import torch

    allowed, per_nat = _FP32 if model.dtype == torch.float32 else _HALF
    shares = [0.0]
    for (one, _), (other, _) in zip(expected, found, strict=True):
        difference = abs(one - other)
        same = one == other or (one != one and other != other)
        shares.append(0.0 if same else difference / (allowed + per_nat * abs(one)))
    return max(float("inf") if share != share else share for share in shares)
