"""Hidden states and the output head apart, so that logits are computed only where somebody reads them.

    hidden_states(model, ids)[predicting] @ head_weight(model).T   ==   model(ids).logits[predicting]

A vocabulary of 49,152 makes the head a fifth of a small model's work and the full logits hundreds of megabytes; a score
needs them on the answer alone.
"""

from __future__ import annotations

from typing import Any

_LOGIT_CHANGES = (
    "final_logit_softcapping",
    "logit_scale",
    "logits_scaling",
    "lm_head_multiplier",
    "mup_width_multiplier",
    "logits_mup_width_multiplier",
    "logits_soft_cap",
    "output_logit_soft_cap",
    "output_multiplier",
    "unpadded_vocab_size",
)
"""Settings of architectures that change the logits after the head."""


def separable(model: Any) -> bool:
    """Whether the logits of `model` (causal, PEFT or plain) are its last hidden states times a plain matrix."""
    from torch.nn import Linear

    inner = bare(model)
    head = inner.get_output_embeddings()
    settings = inner.config.get_text_config()
    return (
        type(head) is Linear
        and head.bias is None
        and not any(getattr(settings, name, None) not in (None, 1, 1.0) for name in _LOGIT_CHANGES)
        and not _is_prompt_learning(model)
        and inner.base_model is not inner
    )


def hidden_states(model: Any, input_ids: Any, **inputs: Any) -> Any:
    """Last hidden states `[batch, length, hidden]` of a separable model, its adapter included.

    `inputs` are for the model, such as `position_ids`. Rows are padded on the right, so causal attention keeps the
    padding out of every real token without a mask.
    """
    return bare(model).base_model(input_ids=input_ids, **{"use_cache": False, **inputs}).last_hidden_state


def head_weight(model: Any) -> Any:
    """The output head's matrix `[vocabulary, hidden]`."""
    return bare(model).get_output_embeddings().weight


def bare(model: Any) -> Any:
    """The transformers model inside a PEFT model, with the adapter's layers in it; any other model itself."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def _is_prompt_learning(model: Any) -> bool:
    return any(config.is_prompt_learning for config in getattr(model, "peft_config", {}).values())
