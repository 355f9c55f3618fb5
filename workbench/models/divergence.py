"""How far one model's predictions are from another's, token by token and over the whole vocabulary.

    divergence_sums(base, tuned, [(ids of "What does abs do?", ids of " It returns ...")], batch_size=8)   ->   [0.656]

Both models are in memory and read the same batches; their logits exist for a few hundred positions at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from workbench.core.errors import IncompleteError
from workbench.models.likelihood import Pair, batches, logit_rows
from workbench.models.loading import LoadedModel
from workbench.models.memo import BatchMemo, batch_key

_KIND = "divergence/1"
_POSITIONS_PER_CHUNK = 256
"""Positions whose logits are held at once: 50 MB in fp32 for each model at a vocabulary of 49,152."""


def divergence_sums(
    base: LoadedModel,
    arm: LoadedModel,
    pairs: Sequence[Pair],
    batch_size: int,
    on_batch: Callable[[int], object] | None = None,
    memo: BatchMemo | None = None,
) -> list[float]:
    """KL(base || arm) in nats, summed over the continuation's tokens, of each pair in order.

    Per position sum_v p(v) (log p(v) - log q(v)) over the vocabulary, p the base's probabilities, in fp32; positions
    are added in fp64. `on_batch` hears how many pairs are done; batches in `memo`, which is the arm's, are not
    computed. Raises IncompleteError if the vocabularies differ in size.
    """
    sums: dict[int, float] = {}
    for batch in batches([len(context) + len(continuation) for context, continuation in pairs], batch_size):
        sums.update(zip(batch, _batch(base, arm, [pairs[index] for index in batch], memo), strict=True))
        if on_batch is not None:
            on_batch(len(sums))
    return [sums[index] for index in range(len(pairs))]


def _batch(base: LoadedModel, arm: LoadedModel, pairs: Sequence[Pair], memo: BatchMemo | None) -> list[float]:
    """A batch from the memo, or computed and kept."""
    if memo is None:
        return _computed(base, arm, pairs)
    key = batch_key(_KIND, base=base.fingerprint, precision=base.precision, pairs=[list(pair) for pair in pairs])
    kept: list[float] | None = memo.get(key)
    if kept is None:
        kept = _computed(base, arm, pairs)
        memo.put(key, kept)
    return kept


def _computed(base: LoadedModel, arm: LoadedModel, pairs: Sequence[Pair]) -> list[float]:
    import torch

    counts = [len(continuation) for _, continuation in pairs]
    positions = sum(counts)
    with torch.inference_mode():
        of_base, of_arm = logit_rows(base, pairs), logit_rows(arm, pairs)
        parts = [
            _divergence(of_base(start, end), of_arm(start, end))
            for start in range(0, positions, _POSITIONS_PER_CHUNK)
            for end in (min(start + _POSITIONS_PER_CHUNK, positions),)
        ]
        return [float(part.sum(dtype=torch.float64)) for part in torch.cat(parts).split(counts)]


def _divergence(base: Any, arm: Any) -> Any:
    """KL at each position `[positions]` from two sets of logits `[positions, vocabulary]`."""
    if base.shape != arm.shape:
        raise IncompleteError(
            f"the arm predicts {arm.shape[-1]} tokens and the base {base.shape[-1]}: no divergence is defined",
            next_step="measure `kl` on arms with the base's vocabulary",
        )
    p, q = base.float().log_softmax(-1), arm.float().log_softmax(-1)
    return (p.exp() * (p - q)).sum(-1).cpu()
