"""What an arm's numbers depend on: what two arms must share to be compared, and what names an arm in the score cache.

    conditions(loaded)   ->  {"compute_dtype": "bfloat16", "device": "cpu AVX512", "tokenizer": "5fa1...", ...}
    arm_key(loaded, ...) ->  the same, with the weights, the adapter, their precision and the libraries beside them
"""

from __future__ import annotations

from importlib import metadata
from typing import TYPE_CHECKING, Any

from workbench.core.fingerprints import library_versions, short_id
from workbench.score.scoring import GENERATION_BATCH_FACTOR, TOKENS_PER_ROW

if TYPE_CHECKING:
    from workbench.models.loading import LoadedModel

BATCH_RULE = (
    "texts: fixed rows per batch, longest first, padded to the longest of the batch; choices: prefixes read once, a "
    f"tree per context, in order and without padding, {TOKENS_PER_ROW} tokens per row of the batch size; generation "
    f"takes {GENERATION_BATCH_FACTOR} times the rows"
)
_CACHE_VERSION = 1
"""Raised when the same batch of the same arm would give other numbers."""
_LIBRARIES = ("lm-eval", "transformers", "torch", "peft", "bitsandbytes", "tokenizers")
_PROBES = (
    "The quick brown fox can't jump over 13 lazy dogs, or 1,234.5 of them.",
    "def f(x):\n    return [i ** 2 for i in range(x) if i % 2 == 0]\n\n\n\tprint(f(10))  ",
    "Zażółć gęślą jaźń. Éclair naïve façade. Ψυχή, мир, עולם, سلام, 你好世界, こんにちは, 한국어",
    "e\u0301 \u00e9 \ufb01 \u00a0nbsp\u2003wide\u200bzero 🙂👩‍👩‍👧 \r\n crlf",
    " leading", "trailing ", "", " ", "\n\n", "<|im_start|>user <s> </s> [INST] <|endoftext|>",
)  # fmt: skip
"""Texts on which tokenizers that differ at all are likely to differ."""


def conditions(loaded: LoadedModel) -> dict[str, str]:
    """What must agree between arms, the suites' own settings left out.

    Precision of the weights and system prompt are what arms may differ in: they stand in `ArmInfo` itself. What is
    computed in (dtype, device, softmax, library versions) stands here.
    """
    import torch

    from workbench.models.chat import template_hash

    dtype = loaded.model.get_input_embeddings().weight.dtype
    device = loaded.model.device
    kind = torch.cuda.get_device_name(device) if device.type == "cuda" else torch.backends.cpu.get_cpu_capability()
    return {
        "compute_dtype": str(dtype).removeprefix("torch."),
        "softmax_dtype": "float32",
        "device": f"{device.type} {kind}",
        "template_hash": template_hash(loaded.tokenizer, None),
        "tokenizer": tokenizer_hash(loaded.tokenizer),
        "max_length": str(loaded.config.max_length),
        "batch_rule": BATCH_RULE,
        **{name: metadata.version(name) for name in ("lm-eval", "torch", "transformers")},
    }


def arm_key(loaded: LoadedModel, adapter_sha256: str | None) -> dict[str, Any]:
    """Everything besides the batch that decides what is computed for it; the number of threads counts as well.

    A system prompt is part of the batch: its tokens stand in the rows that see it.
    """
    import torch

    return {
        "version": _CACHE_VERSION,
        "model": loaded.fingerprint,
        "adapter": adapter_sha256,
        "precision": loaded.precision,
        "threads": torch.get_num_threads(),
        **conditions(loaded),
        **library_versions(_LIBRARIES),
    }


def tokenizer_hash(tokenizer: Any) -> str:
    """Hash of the token ids of texts that tell tokenizers apart, of the special tokens' ids, and of the size."""
    return short_id([encoded_probes(tokenizer), tokenizer.bos_token_id, tokenizer.eos_token_id, len(tokenizer)])


def encoded_probes(tokenizer: Any) -> dict[str, list[int]]:
    """Token ids of each probe text."""
    from workbench.models.chat import text_ids

    return {text: text_ids(tokenizer, text) for text in _PROBES}
