"""Merging: the adapter's change added to the weights of its base, and the result compared with the adapter.

    base "full"            W + delta                    W as published, not the NF4 weights the adapter was trained on
    base "dequantised"     dequant(NF4(W)) + delta      the weights that training and scoring saw

The sum is made in fp32 and rounded once, by whoever writes it: a fine-tune's change of a weight is often smaller than
half the last digit of bf16. A QLoRA adapter works on the published weights usually as well or better, for some models
not at all, so two things are measured: the merge itself, and the whole way from the adapter as it was scored.
"""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from workbench.adapters.export.record import Base
from workbench.adapters.export.verify import Agreement, Logits, Tolerance, agreement, logits_on, require
from workbench.adapters.registry import Registered
from workbench.core.config import ModelConfig, Precision
from workbench.core.errors import IncompleteError, UsageError
from workbench.models.adapter_files import CONFIG, attached, check_adapter_fits
from workbench.models.full_weights import is_full
from workbench.models.loading import load, locate
from workbench.models.refs import resolve

EXACT = Tolerance(nll_rise=0.001, mean_kl=0.0005, top1_agreement=0.99)
"""The same fp32 weights, added before or during the forward pass: a wrong scale or a lost matrix, and nothing else."""
ROUNDED = Tolerance(nll_rise=0.03, mean_kl=0.03, top1_agreement=0.9)
"""The same weights, rounded to the precision in which the base is published, and computed in it."""
REQUANTISED_RISE = 0.05
"""Nats per token by which the loss may rise where training saw other base weights than the merged model has."""
REQUANTISED_KL = (1.5, 0.01)
"""The divergence may be so many times what quantisation alone does to the base on the same texts, and so much more."""

_CANNOT_MERGE = {
    "PREFIX_TUNING": "it consists of keys and values put before the text, not of a change of weights",
    "PROMPT_TUNING": "it consists of input vectors put before the text, not of a change of weights",
    "MULTITASK_PROMPT_TUNING": "it consists of input vectors put before the text, not of a change of weights",
    "P_TUNING": "it consists of input vectors put before the text, not of a change of weights",
    "CPT": "it consists of input vectors put before the text, not of a change of weights",
    "ADAPTION_PROMPT": "it adds gated attention to learned prompts, not a change of weights",
    "XLORA": "its adapters are weighed anew for every token",
    "POLY": "its adapters are weighed anew for every task",
}


@dataclass(frozen=True, slots=True)
class ExportSource:
    """The adapter to be exported and what it belongs to."""

    adapter: Path
    model: ModelConfig
    """The base, at the commit it had in training where it is a hub model."""
    precision: Precision
    """Of the frozen base in training."""
    method: str
    """As configured in training, else PEFT's name for it."""


@dataclass(frozen=True, slots=True)
class Merged:
    """A plain model in memory, verified."""

    model: Any
    """In fp32, on the CPU: what is written is rounded once."""
    tokenizer: Any
    published: str
    """Name of the torch type in which the base is published."""
    reference: Reference
    checks: tuple[Agreement, ...]


@dataclass(frozen=True, slots=True)
class Reference:
    """What an exported model is compared with."""

    name: str
    logits: Logits
    tolerance: Tolerance


def read_source(adapter: Registered, system_prompt: str | None, project: Path) -> ExportSource:
    """What is to be exported; the base is taken at the commit it had in training where it is a hub model.

    Raises IncompleteError for what is no safetensors adapter or one of another base, and as `resolve`.
    """
    at_hub = resolve(adapter.base, None, project).kind == "hub"
    revision = adapter.base_fingerprint.rpartition("@")[2] if at_hub else None
    precision = _precision(adapter)
    model = ModelConfig(ref=adapter.base, revision=revision, precision=precision, system_prompt=system_prompt)
    check_adapter_fits(adapter.directory, model, project)
    return ExportSource(adapter.directory, model, precision, adapter.method)


def _precision(adapter: Registered) -> Precision:
    """Of the base in training; bf16 where the adapter does not say."""
    for known in get_args(Precision):
        if adapter.precision in (known, None):
            return "bf16" if adapter.precision is None else known
    raise IncompleteError(f"its precision {adapter.precision!r} is not known", where=str(adapter.directory))


def peft_settings(adapter: Path) -> dict[str, Any]:
    """PEFT's settings of an adapter; IncompleteError if there are none."""
    try:
        settings = json.loads((adapter / CONFIG).read_bytes())
    except FileNotFoundError:
        advice = "name a directory with an adapter, or NAME@VERSION"
        raise IncompleteError(f"no adapter: {CONFIG} is missing", where=str(adapter), next_step=advice) from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise IncompleteError(f"is no JSON: {error}", where=str(adapter / CONFIG)) from None
    if not isinstance(settings, dict) or not isinstance(settings.get("peft_type"), str):
        raise IncompleteError("names no `peft_type`", where=str(adapter / CONFIG))
    return settings


def require_mergeable(adapter: Path) -> None:
    """Raises UsageError if adapters of this kind cannot be merged, with the reason."""
    kind = peft_settings(adapter)["peft_type"]
    if kind in _CANNOT_MERGE:
        raise UsageError(
            f"a {kind.lower()} adapter cannot be merged into its base: {_CANNOT_MERGE[kind]}",
            where=str(adapter),
            next_step="take --format adapter and serve it on its base, or train with method lora",
        )


def require_base(base: Base, precision: Precision) -> None:
    """Raises UsageError for a dequantised base of an adapter whose base was not quantised."""
    if base == "dequantised" and precision != "nf4":
        raise UsageError(
            f"the adapter was trained on a base in {precision}, so there is nothing to dequantise",
            where="--base",
            next_step="leave --base out",
        )


def merge(source: ExportSource, base: Base, texts: list[list[int]], project: Path) -> Merged:
    """The merged model in fp32, compared with the adapter beside the same weights on `texts`.

    Raises IncompleteError if the two differ by more than rounding, or a merged weight is not finite; and as `load`.
    """
    requantised = base == "full" and source.precision == "nf4"
    scored, scored_base = _logits_as_scored(source, texts, project, with_base=requantised)
    peft_model, tokenizer, published = _with_adapter(source, base, project)
    beside = logits_on(peft_model, texts)
    tolerance = ROUNDED
    if scored_base is not None:
        with peft_model.disable_adapter():
            quantisation = agreement("the NF4 base", scored_base, "the base", logits_on(peft_model, texts))
        factor, more = REQUANTISED_KL
        tolerance = Tolerance(REQUANTISED_RISE, factor * quantisation.mean_kl + more, 0.0)
    model = _merged(peft_model, source.adapter)
    check = agreement("the adapter beside its base", beside, "the merged model", logits_on(model, texts))
    require(check, EXACT, "keep the adapter apart: --format adapter")
    reference = Reference(f"the adapter as scored ({source.precision} base)", scored, tolerance)
    return Merged(model, tokenizer, published, reference, (check,))


def require_as_scored(merged: Merged, name: str, found: Logits, base: Base) -> Agreement:
    """How what was made of a merged model agrees with the adapter as scored; IncompleteError past the tolerance."""
    check = agreement(merged.reference.name, merged.reference.logits, name, found)
    advice = "merge into what the adapter was trained on: --base dequantised; or --format adapter"
    require(check, merged.reference.tolerance, advice if base == "full" else "take --format adapter")
    return check


def _logits_as_scored(
    source: ExportSource, texts: list[list[int]], project: Path, *, with_base: bool
) -> tuple[Logits, Logits | None]:
    """Of the adapter on its base in the precision of training, and of that base alone; the model is gone afterwards."""
    model = load(source.model, source.precision, project, adapter=source.adapter).model
    scored = logits_on(model, texts)
    if not with_base:
        return scored, None
    with model.disable_adapter():
        return scored, logits_on(model, texts)


def _with_adapter(source: ExportSource, base: Base, project: Path) -> tuple[Any, Any, str]:
    """The adapter on the base it will be merged into (fp32, CPU), the tokenizer, and the base's published type."""
    published = _published_dtype(source, project)
    loaded = load(source.model, "bf16" if published == "bfloat16" else "fp32", project)
    model = loaded.model.to("cpu").float()
    if base == "dequantised":
        _take_dequantised_weights(model, load(source.model, "nf4", project).model)
    model = attached(model, source.adapter)
    model.eval()
    return model, loaded.tokenizer, published


def _take_dequantised_weights(model: Any, quantised: Any) -> None:
    """Copies what every 4-bit layer of `quantised` stands for, in its compute precision, into `model`."""
    import torch
    from bitsandbytes.functional import dequantize_4bit
    from bitsandbytes.nn import Linear4bit

    with torch.no_grad():
        for name, layer in quantised.named_modules():
            if isinstance(layer, Linear4bit):
                weight = dequantize_4bit(layer.weight.data, layer.weight.quant_state)
                model.get_submodule(name).weight.copy_(weight)


def _merged(peft_model: Any, adapter: Path) -> Any:
    if is_full(adapter):
        return peft_model  # whole weights took the place of the base's when they were attached
    try:
        with warnings.catch_warnings():
            # A tied head is checked by the comparison, like everything else.
            warnings.filterwarnings("ignore", message=".*tie_word_embeddings.*")
            model = peft_model.merge_and_unload(safe_merge=True)
    except (ValueError, NotImplementedError, AttributeError) as error:
        reason = str(error).splitlines()[0][:300] if str(error) else type(error).__name__
        raise IncompleteError(
            f"the adapter cannot be merged: {reason}", where=str(adapter), next_step="take --format adapter"
        ) from error
    model.eval()
    return model


def _published_dtype(source: ExportSource, project: Path) -> str:
    """`bfloat16`, `float16` or `float32`: what the base's configuration says its weights are."""
    from transformers import AutoConfig

    location = locate(source.model.ref, source.model.revision, project)
    config = AutoConfig.from_pretrained(location.name, trust_remote_code=False, **location.options)
    name = str(config.get_text_config().dtype).removeprefix("torch.")
    return name if name in ("float16", "float32") else "bfloat16"
