"""Cross-entropy over answer rows alone, with the gradient computed on the way forward.

    hidden [rows, 576], head [49152, 576], targets [rows]  ->  sum of -log p(target), fp32

The stock loss on a CPU runs the output head over every position, prompt and padding included, and once more backwards
in fp32. The head is frozen here, so only the gradient of the hidden rows is needed: softmax minus the target, times the
head. Rows are taken in chunks, never the vocabulary, so each product is rounded once; softmax takes so few rows at a
time that they stay in the processor's cache, and writes over the logits.
"""

from __future__ import annotations

from typing import Any

# torch takes 3 s; this module is imported by `trainer` alone, inside the run
import torch

_ROWS_PER_PRODUCT = 512
_ROWS_PER_SOFTMAX = 16


class _AnswerCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Any, weight: Any, targets: Any) -> Any:
        loss = torch.zeros((), dtype=torch.float32, device=hidden.device)
        gradient = torch.empty_like(hidden)
        for start in range(0, len(targets), _ROWS_PER_PRODUCT):
            rows = hidden[start : start + _ROWS_PER_PRODUCT]
            logits = rows @ weight.T
            loss -= _softmax_less_one(logits, targets[start : start + _ROWS_PER_PRODUCT, None])
            torch.mm(logits, weight, out=gradient[start : start + _ROWS_PER_PRODUCT])
        ctx.save_for_backward(gradient)
        return loss

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        (gradient,) = ctx.saved_tensors
        return gradient * grad_outputs[0].to(gradient.dtype), None, None


def _softmax_less_one(logits: Any, targets: Any) -> Any:
    """Writes softmax, less one at each target, over `logits [rows, vocabulary]`; summed log-probability of the targets.

    `targets` is `[rows, 1]`; the sum is an fp32 scalar.
    """
    total = torch.zeros((), dtype=torch.float32, device=logits.device)
    for some, wanted in zip(logits.split(_ROWS_PER_SOFTMAX), targets.split(_ROWS_PER_SOFTMAX), strict=True):
        log_p = some.log_softmax(-1, dtype=torch.float32)
        total += log_p.gather(1, wanted).sum()
        p = log_p.exp_()
        some.copy_(p.scatter_add_(1, wanted, p.new_full(wanted.shape, -1.0)))
    return total


def answer_nll(hidden: Any, weight: Any, labels: Any) -> Any:
    """Summed negative log-likelihood (nats, fp32 scalar) of the labels that are not -100.

    `hidden` is `[batch, length, width]`, `weight` the frozen head `[vocabulary, width]`, `labels` `[batch, length]`
    unshifted: position t of `hidden` predicts label t + 1. Differentiable in `hidden` only.
    """
    targets = labels[:, 1:]
    learned = targets != -100
    rows = hidden[:, :-1][learned].to(weight.dtype)
    return _AnswerCrossEntropy.apply(rows, weight, targets[learned])
