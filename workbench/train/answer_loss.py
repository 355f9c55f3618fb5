"""Cross-entropy over answer rows alone, with the gradient computed on the way forward.

    hidden [rows, 576], head [49152, 576], targets [rows]  ->  sum of -log p(target), fp32

The stock loss on a CPU runs the output head over every position, prompt and padding included, and once more backwards
in fp32. The head is frozen here, so only the gradient of the hidden rows is needed: softmax minus the target, times the
head. Rows are taken in chunks, never the vocabulary, so each product is rounded once.
"""

from __future__ import annotations

from typing import Any

# torch takes 3 s; this module is imported by `trainer` alone, inside the run
import torch

_ROWS_PER_CHUNK = 512


class _AnswerCrossEntropy(torch.autograd.Function):  # type: ignore[misc]  # torch is not followed
    @staticmethod
    def forward(ctx: Any, hidden: Any, weight: Any, targets: Any) -> Any:
        loss = torch.zeros((), dtype=torch.float32, device=hidden.device)
        gradient = torch.empty_like(hidden)
        for start in range(0, len(targets), _ROWS_PER_CHUNK):
            rows, wanted = hidden[start : start + _ROWS_PER_CHUNK], targets[start : start + _ROWS_PER_CHUNK, None]
            log_p = (rows @ weight.T).log_softmax(-1, dtype=torch.float32)
            loss -= log_p.gather(1, wanted).sum()
            p = log_p.exp_()
            p.scatter_add_(1, wanted, p.new_full(wanted.shape, -1.0))
            gradient[start : start + _ROWS_PER_CHUNK] = p.to(hidden.dtype) @ weight
        ctx.save_for_backward(gradient)
        return loss

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        (gradient,) = ctx.saved_tensors
        return gradient * grad_outputs[0].to(gradient.dtype), None, None


def answer_nll(hidden: Any, weight: Any, labels: Any) -> Any:
    """Summed negative log-likelihood (nats, fp32 scalar) of the labels that are not -100.

    `hidden` is `[batch, length, width]`, `weight` the frozen head `[vocabulary, width]`, `labels` `[batch, length]`
    unshifted: position t of `hidden` predicts label t + 1. Differentiable in `hidden` only.
    """
    targets = labels[:, 1:]
    learned = targets != -100
    rows = hidden[:, :-1][learned].to(weight.dtype)
    return _AnswerCrossEntropy.apply(rows, weight, targets[learned])
