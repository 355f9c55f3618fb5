"""The loss of a batch without padding, prompt logits or needless arithmetic: the same number, three times as fast.

    path = fast_path_for(model)              # None where the model needs something this path does not have
    path.agrees(model, batch)                # whether loss and gradient are those of the stock path
    loss = path.nll(model, batch)            # summed over the labels that are learned

The rows of a batch stand one after the other in a single row, each with positions of its own and attending to itself
alone, so the batch and what is learned from it stay what they were: this is no packing of other rows together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

# torch takes 3 s; this module is imported by `trainer` alone, inside the run
import torch
from torch.nn import functional

from workbench.models import heads
from workbench.models.fused_layers import Fused
from workbench.train.answer_loss import answer_nll
from workbench.train.fused_layers import fuse
from workbench.train.segment_attention import SEGMENTS

MOST_DIFFERENCE = 0.02
"""Largest difference of the loss from the stock path's, as a share of it. Both round to bf16, in another order: on two
rows of 40 tokens up to 0.007 was measured (SmolLM2, NF4 and bf16); more rows average it out."""
LEAST_COSINE = 0.99
"""Between the gradients of the two paths; 0.998 to 0.9995 was measured there."""
_ONE_MASK = (1, 1, 1, 1)
"""Shape of a mask that transformers passes on as it is, so that none is made for the whole row."""


@dataclass(frozen=True, slots=True)
class FastPath:
    """Computes the loss of padded batches as single rows; build it with `fast_path_for`."""

    stock_attention: str
    """What the model attended with before."""
    fused: Fused
    """The layers that are computed in fewer passes while a gradient is wanted."""

    def nll(self, model: Any, batch: dict[str, Any]) -> Any:
        """Summed negative log-likelihood (nats, fp32 scalar) of a batch padded on the right.

        `batch` has `input_ids`, `attention_mask` and `labels`, each `[rows, length]`, labels unshifted and -100 where
        nothing is learned.
        """
        real = batch["attention_mask"].bool()
        lengths = real.sum(1)
        ends = functional.pad(lengths.cumsum(0), (1, 0)).to(torch.int32)
        positions = torch.arange(real.shape[1], device=real.device).expand_as(real)[real]
        labels = batch["labels"].clone()
        labels[:, 0] = -100  # the first token of a row has nothing before it, least of all the row before
        hidden = heads.hidden_states(
            model,
            batch["input_ids"][real][None],
            position_ids=positions[None],
            attention_mask=torch.ones(_ONE_MASK, device=real.device),
            cu_seq_lens_q=ends,
        )
        return answer_nll(hidden, heads.head_weight(model), labels[real][None])

    def agrees(self, model: Any, batch: dict[str, Any]) -> bool:
        """Whether loss and gradient of a small batch are those of the plain model on the padded rows, dropout off."""
        parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        was_training = model.training
        model.eval()
        try:
            with self.fused.off():
                stock = _stock_nll(model, batch)
                of_stock = _gradient(stock, parameters)
            fast = self.nll(model, batch)
            difference = abs(float(fast.detach()) - float(stock.detach()))
            cosine = functional.cosine_similarity(_gradient(fast, parameters), of_stock, dim=0)
        finally:
            model.train(was_training)
        return difference <= MOST_DIFFERENCE * float(stock.detach()) and float(cosine) >= LEAST_COSINE

    def leave(self, model: Any) -> None:
        """Lets the model attend and compute as it did before."""
        self.fused.undo()
        _bare(model).set_attn_implementation(self.stock_attention)


def _stock_nll(model: Any, batch: dict[str, Any]) -> Any:
    logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], use_cache=False).logits
    targets = batch["labels"][:, 1:].reshape(-1)
    return functional.cross_entropy(logits[:, :-1].reshape(len(targets), -1).float(), targets, reduction="sum")


def _gradient(loss: Any, parameters: list[Any]) -> Any:
    found = zip(parameters, torch.autograd.grad(loss, parameters, allow_unused=True), strict=True)
    return torch.cat([(torch.zeros_like(one) if of is None else of).reshape(-1).float() for one, of in found])


def _bare(model: Any) -> Any:
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def fast_path_for(model: Any) -> FastPath | None:
    """The fast path for a causal model with an adapter, which then attends within segments; None where it cannot work.

    It cannot where the logits are more than hidden states times a frozen matrix, where a layer's attention is not plain
    (a sliding window, a soft cap, no `sdpa`), or where the adapter is a prompt. Ask `agrees` before relying on it.
    """
    if not heads.separable(model) or heads.head_weight(model).requires_grad:
        return None
    bare = _bare(model)
    settings = bare.config.get_text_config()
    stock = settings._attn_implementation
    if not getattr(bare, "_supports_attention_backend", False) or not _is_plain(settings):
        return None
    bare.set_attn_implementation(SEGMENTS)
    return FastPath(stock, fuse(model)) if settings._attn_implementation == SEGMENTS else None


def _is_plain(settings: Any) -> bool:
    """Whether every layer attends to everything before, with nothing added to or cut from its scores."""
    kinds = set(getattr(settings, "layer_types", None) or ["full_attention"])
    return (
        settings._attn_implementation == "sdpa"
        and kinds == {"full_attention"}
        and not _set(settings, "sliding_window", unless="use_sliding_window")
        and not getattr(settings, "attn_logit_softcapping", None)
    )


def _set(settings: Any, name: str, unless: str) -> bool:
    return getattr(settings, name, None) is not None and getattr(settings, unless, True)
