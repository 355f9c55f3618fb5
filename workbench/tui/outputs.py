"""Raw outputs as people read them: a choice with its log-likelihoods, a likelihood per token, or the text as it is.

readable('{"choice": 1, "texts": ["was", "were"], "logprobs": [-6.69, -6.44]}')
->  "were\\nlog-likelihood  -6.69 was  -6.44 were"
"""

from __future__ import annotations

import json


def readable(output: str) -> str:
    """The output for the screen of one document; text that is no choice or likelihood comes back unchanged."""
    said = _parsed(output)
    logprobs = said.get("logprobs")
    if "choice" in said and isinstance(logprobs, list):
        texts = _texts(said, len(logprobs))
        all_of_them = "  ".join(f"{_number(value)} {text}" for text, value in zip(texts, logprobs, strict=True))
        return f"{_choice(said['choice'], texts)}\nlog-likelihood  {all_of_them}"
    nll, tokens = said.get("nll"), said.get("tokens")
    if isinstance(nll, int | float) and isinstance(tokens, int) and tokens > 0:
        return f"{nll / tokens:.3f} nats per token over {tokens} tokens"
    return output


def in_brief(output: str) -> str:
    """The first line of `readable`, for a cell."""
    return readable(output).partition("\n")[0] if _parsed(output) else output


def _parsed(output: str) -> dict[str, object]:
    if not output.startswith("{") or len(output) > 10_000:
        return {}
    try:
        said = json.loads(output)
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def _texts(said: dict[str, object], count: int) -> list[str]:
    """The choices on one line each; numbered where the row does not hold their texts."""
    texts = said.get("texts")
    if isinstance(texts, list) and len(texts) == count:
        return [" ".join(str(text).split()) for text in texts]
    return [f"choice {place} of {count}" for place in range(1, count + 1)]


def _choice(choice: object, texts: list[str]) -> str:
    known = isinstance(choice, int) and 0 <= choice < len(texts)
    return texts[choice] if known and isinstance(choice, int) else f"no choice of {len(texts)}"


def _number(value: object) -> str:
    return f"{value:.2f}" if isinstance(value, int | float) else "-"
