"""Is the exported model the adapter that was scored? Logits of both on the same texts.

    logits_on(adapter on its base, texts)   [positions, vocabulary] fp32
    logits_on(exported model, texts)        the same positions
    ->  Agreement(top1_agreement=0.97, mean_kl=0.004, nll_rise=0.001, max_logit_difference=0.6, ...)

The texts are fixed (prose, code, numbers, a conversation), and where the training set is at hand its first rows are
among them: an adapter shows most where it was trained. One largest difference says little and one greedy answer
nothing, so the limits are on means over all positions: the rise of the negative log-likelihood, the divergence of the
distributions, and the share of positions with the same first choice.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from workbench.core.errors import IncompleteError
from workbench.core.records import Message, Record, Source
from workbench.core.wire import Wire

_POSITIONS = 640
"""Rows of logits held at most: 0.4 GB in fp32 at a vocabulary of 152,000."""
_LONGEST = 96
"""Tokens read of one text."""
_ROWS_OF_TRAINING = 8
_BATCH = 4
"""Texts read at once: a 4-bit base is dequantised once for all of them."""
_TIE = 0.05
"""Nats between two tokens that rounding alone may put in either order."""

_FIXED_TEXTS = (
    "The harbour froze late that winter, and for three weeks no boat left the quay. Fishermen mended nets indoors, "
    "children skated between the moored hulls, and the baker sold twice as much bread as in any other February.",
    "Water boils at a lower temperature on a mountain because the air presses less on its surface. Cooking takes "
    "longer there: what counts for the potato is how hot the water gets, not how wildly it bubbles.",
    "def median(values):\n    ordered = sorted(values)\n    middle = len(ordered) // 2\n    if len(ordered) % 2:\n"
    "        return ordered[middle]\n    return (ordered[middle - 1] + ordered[middle]) / 2\n",
    "Invoice 2041: 12 chairs at 89.50 each make 1,074.00; with 19 per cent tax added the total is 1,278.06, due "
    "within 30 days of 3 March.",
    "La biblioteca abre a las nueve. Der Zug nach Leipzig hat zehn Minuten Verspätung. Les enfants jouent dehors.",
)
_FIXED_QUESTIONS = (
    ("What is the capital of Peru?", "The capital of Peru is Lima."),
    ("List three things that float on water.", "Wood, ice and cork all float on water because they are less dense."),
)


class Agreement(Wire):
    """Two models on the same texts."""

    reference: str
    found: str
    positions: int
    """Tokens predicted by both."""
    max_logit_difference: float
    mean_kl: float
    """Mean divergence KL(reference || found), nats per token."""
    top1_agreement: float
    """Share of positions at which the first choice of `found` is, for `reference`, first or within 0.05 nats of it."""
    perplexity_reference: float
    perplexity_found: float
    nll_rise: float
    """Mean negative log-likelihood of the texts, found minus reference, nats per token: above 0 is worse."""


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far an exported model may be from what it was made of. The measurements behind it: docs/export.md."""

    nll_rise: float
    """Nats per token."""
    mean_kl: float
    """Nats per token."""
    top1_agreement: float


@dataclass(frozen=True, slots=True)
class Logits:
    """What a model predicts at every position of the texts."""

    values: Any
    """`[positions, vocabulary]`, fp32, on the CPU."""
    targets: Any
    """`[positions]`, the tokens that follow."""


def texts_for(tokenizer: Any, records: Sequence[Record], system_prompt: str | None) -> list[list[int]]:
    """Token ids of the texts to compare on: the fixed ones, and the first of `records`, each shortened."""
    from workbench.models.chat import encode_record, start_ids, text_ids

    encoded = [start_ids(tokenizer) + text_ids(tokenizer, text) for text in _FIXED_TEXTS]
    asked = [_conversation(*turn) for turn in _FIXED_QUESTIONS] if tokenizer.chat_template else []
    for record in [*asked, *records[:_ROWS_OF_TRAINING]]:
        encoded.append(encode_record(tokenizer, record, _LONGEST, system_prompt).input_ids)
    return [ids[:_LONGEST] for ids in encoded if len(ids) > 1]


def logits_on(model: Any, texts: Sequence[Sequence[int]]) -> Logits:
    """Logits of a causal model in evaluation mode at the positions of `texts`, 640 at most.

    Rows of a batch are padded on the right, where causal attention keeps the padding out of every real position.
    """
    import torch

    rows, targets, left = [], [], _POSITIONS
    for start in range(0, len(texts), _BATCH):
        batch = texts[start : start + _BATCH]
        longest = max(len(ids) for ids in batch)
        given = torch.tensor([[*ids, *[0] * (longest - len(ids))] for ids in batch], device=model.device)
        with torch.inference_mode():
            logits = model(input_ids=given, use_cache=False).logits
        for ids, found in zip(batch, logits, strict=True):
            wanted = torch.tensor(ids[1 : left + 1], dtype=torch.long)
            rows.append(found[: len(wanted)].float().cpu())
            targets.append(wanted)
            left -= len(wanted)
        if left == 0:
            break
    return Logits(torch.cat(rows), torch.cat(targets))


def agreement(reference_name: str, reference: Logits, found_name: str, found: Logits) -> Agreement:
    """Compares two models on the same texts; IncompleteError if their vocabularies differ or a logit is not finite."""
    if reference.values.shape != found.values.shape or not bool((reference.targets == found.targets).all()):
        raise IncompleteError(
            f"{found_name} predicts {list(found.values.shape)} logits, {reference_name} {list(reference.values.shape)}",
            next_step="export with the tokenizer and the base that the adapter was trained on",
        )
    for name, logits in ((reference_name, reference), (found_name, found)):
        if not bool(logits.values.isfinite().all()):
            raise IncompleteError(f"{name} gives logits that are not finite", next_step="look at the base's weights")
    p, q = reference.values.log_softmax(-1), found.values.log_softmax(-1)
    before, after = (-part.gather(1, reference.targets[:, None]).double().mean() for part in (p, q))
    behind = p.max(-1).values - p.gather(1, q.argmax(-1, keepdim=True))[:, 0]
    same = behind <= _TIE
    return Agreement(
        reference=reference_name,
        found=found_name,
        positions=len(reference.targets),
        max_logit_difference=float((reference.values - found.values).abs().max()),
        mean_kl=max(0.0, float((p.exp() * (p - q)).sum(-1).double().mean())),
        top1_agreement=float(same.double().mean()),
        perplexity_reference=math.exp(before),
        perplexity_found=math.exp(after),
        nll_rise=float(after - before),
    )


def require(found: Agreement, tolerance: Tolerance, next_step: str) -> None:
    """Raises IncompleteError, with every limit that is passed, if the two models are too far apart."""
    faults = []
    if found.nll_rise > tolerance.nll_rise:
        faults.append(
            f"perplexity {found.perplexity_found:.4g} against {found.perplexity_reference:.4g}, that is "
            f"{found.nll_rise:.4f} nats per token more (limit {tolerance.nll_rise:g})"
        )
    if found.mean_kl > tolerance.mean_kl:
        faults.append(f"mean divergence {found.mean_kl:.4f} nats per token (limit {tolerance.mean_kl:g})")
    if found.top1_agreement < tolerance.top1_agreement:
        faults.append(
            f"the same first choice at {found.top1_agreement:.1%} of {found.positions} positions "
            f"(limit {tolerance.top1_agreement:.0%})"
        )
    if faults:
        raise IncompleteError(
            f"{found.found} is not {found.reference}: {'; '.join(faults)}. Nothing was written", next_step=next_step
        )


def in_words(found: Agreement) -> str:
    """One line for people."""
    return (
        f"{found.found} against {found.reference}: same first choice at {found.top1_agreement:.1%} of "
        f"{found.positions} positions, perplexity {found.perplexity_found:.4g} against "
        f"{found.perplexity_reference:.4g}, divergence {found.mean_kl:.2g} nats, largest logit difference "
        f"{found.max_logit_difference:.2g}"
    )


def _conversation(question: str, answer: str) -> Record:
    messages = (Message(role="user", content=question), Message(role="assistant", content=answer))
    return Record(id="0" * 16, kind="chat", messages=messages, source=Source(dataset="fixed"))
