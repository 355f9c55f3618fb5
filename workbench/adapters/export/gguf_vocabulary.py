"""The tokenizer as GGUF's keys, so that llama.cpp gives the ids that training saw.

    tokenizer.json: BPE over bytes, 49,152 tokens, 48,900 merges, ByteLevel with the GPT-2 pattern
    ->  tokenizer.ggml.model = gpt2, .pre = gpt-2, .tokens, .token_type, .merges, special ids, chat template

How a text is cut before merges apply is code in llama.cpp, chosen by a name. The name is found by comparing the
tokenizer's own pattern with those that are known to be equal; any other tokenizer is refused, since a wrong cut gives
other ids without any error.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from workbench.core.errors import UsageError

_NEXT = "take --format merged, and convert that with llama.cpp's own script"

_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|DIGITS| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_PATTERNS = {
    "qwen2": _WORDS.replace("DIGITS", r"\p{N}"),
    "llama-bpe": _WORDS.replace("DIGITS", r"\p{N}{1,3}"),
}
"""llama.cpp's name to the pattern of a `Split`, isolated, before bytes."""
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED = 1, 2, 3, 4, 5


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """A byte-level BPE tokenizer."""

    pre: str
    tokens: list[str]
    types: list[int]
    merges: list[str]
    special_ids: dict[str, int]
    """`bos`, `eos`, `unk`, `pad` to id, where there is one."""
    adds_bos: bool
    chat_template: str | None


def vocabulary(tokenizer: Any, size: int) -> Vocabulary:
    """The vocabulary of a fast tokenizer, filled up to `size` rows of the embedding.

    Raises UsageError if it is no byte-level BPE, or cuts text in a way that llama.cpp is not known to.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise _unknown("it is no fast tokenizer")
    settings = json.loads(backend.to_str())
    model = settings["model"]
    if model["type"] != "BPE" or model.get("byte_fallback"):
        raise _unknown(f"it is {model['type']} with byte fallback, not BPE over bytes")
    if settings.get("normalizer") not in (None, {"type": "NFC"}):
        raise _unknown("it normalises text")
    tokens = [f"[PAD{number}]" for number in range(size)]
    types = [UNUSED] * size
    for token, number in model["vocab"].items():
        tokens[number], types[number] = token, NORMAL
    for added in settings["added_tokens"]:
        number = added["id"]
        tokens[number], types[number] = added["content"], CONTROL if added["special"] else USER_DEFINED
    return Vocabulary(
        pre=_cutting(settings["pre_tokenizer"]),
        tokens=tokens,
        types=types,
        merges=[merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]],
        special_ids={
            name: number
            for name in ("bos", "eos", "unk", "pad")
            if (number := getattr(tokenizer, f"{name}_token_id")) is not None
        },
        adds_bos=adds_bos(tokenizer),
        chat_template=tokenizer.chat_template or None,
    )


def adds_bos(tokenizer: Any) -> bool:
    """Whether the tokenizer puts the beginning-of-text token before every text."""
    return tokenizer.bos_token_id is not None and tokenizer("a").input_ids[:1] == [tokenizer.bos_token_id]


def write_vocabulary(writer: Any, found: Vocabulary) -> None:
    """Adds the tokenizer's keys to a `gguf.GGUFWriter`."""
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(found.pre)
    writer.add_token_list(found.tokens)
    writer.add_token_types(found.types)
    writer.add_token_merges(found.merges)
    writer.add_add_bos_token(found.adds_bos)
    add = {
        "bos": writer.add_bos_token_id,
        "eos": writer.add_eos_token_id,
        "unk": writer.add_unk_token_id,
        "pad": writer.add_pad_token_id,
    }
    for name, number in found.special_ids.items():
        add[name](number)
    if found.chat_template:
        writer.add_chat_template(found.chat_template)


def _cutting(pre_tokenizer: dict[str, Any] | None) -> str:
    """llama.cpp's name for how this tokenizer cuts text."""
    steps = (pre_tokenizer or {}).get("pretokenizers") or [pre_tokenizer or {}]
    kinds = [step.get("type") for step in steps]
    if kinds[-1:] != ["ByteLevel"] or steps[-1].get("add_prefix_space"):
        raise _unknown(f"its steps are {', '.join(map(str, kinds))}")
    uses_gpt2_pattern = bool(steps[-1].get("use_regex", True))
    if kinds == ["ByteLevel"] and uses_gpt2_pattern:
        return "gpt-2"
    if kinds == ["Digits", "ByteLevel"] and steps[0].get("individual_digits") and uses_gpt2_pattern:
        return "smollm"
    if kinds == ["Split", "ByteLevel"] and not uses_gpt2_pattern and steps[0].get("behavior") == "Isolated":
        pattern = steps[0].get("pattern", {}).get("Regex")
        for name, known in _PATTERNS.items():
            if pattern == known:
                return name
    raise _unknown("it cuts text by a pattern that llama.cpp is not known to have")


def _unknown(reason: str) -> UsageError:
    return UsageError(
        f"the tokenizer of this model cannot be written as GGUF here: {reason}", where="--format", next_step=_NEXT
    )
