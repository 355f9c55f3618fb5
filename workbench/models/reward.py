"""Reward models: a sequence classifier with one output says how good an answer is.

    loaded = load_reward_model("OpenAssistant/reward-model-deberta-v3-large-v2", project)
    rewards(loaded, [record of "Capital of Peru?" -> "Lima."])   ->   [2.31]
    load_reward_model("my-rater", project)                       ->   the adapter that objective `reward` trained, on
                                                                      the base its note names

The output is a logit without a scale: it orders answers, and a threshold belongs to one model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.core.config import ModelConfig
from workbench.core.errors import UsageError
from workbench.core.fingerprints import file_sha256, fingerprint
from workbench.core.records import Record
from workbench.models.adapter_files import CONFIG, NOTE, WEIGHTS, read_note
from workbench.models.chat import NO_LIMIT, conversation, encode_record
from workbench.models.likelihood import batches
from workbench.models.loading import load, locate, readable
from workbench.models.quiet import quiet_libraries
from workbench.models.refs import model_fingerprint, named_at, resolve

_BATCH_ROWS = 8
_LONGEST_TOKENS = 1024


@dataclass(frozen=True, slots=True)
class RewardModel:
    """A sequence classifier with one output in memory, in evaluation mode."""

    model: Any
    tokenizer: Any
    max_tokens: int
    """Longer conversations lose their beginning, so that the answer stays."""


def load_reward_model(ref: str, project: Path, where: str = "curate.rating.reward_model") -> RewardModel:
    """The classifier, or the directory with an adapter of objective `reward`, that `ref` names; safetensors only, no
    remote code.

    Raises UsageError or PrerequisiteError, at the key `where`, if there is no such model, it cannot be read, or it has
    not exactly one output; IncompleteError for an adapter whose base is another one now.
    """
    if (adapter := _adapter(ref, project)) is not None:
        return _trained_here(adapter, project, where)
    # 4 s: torch and transformers, on first use only
    import torch
    from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

    quiet_libraries()
    with readable(ref, where):
        location = locate(ref, None, project)
        config = AutoConfig.from_pretrained(location.name, trust_remote_code=False, **location.options)
        if config.num_labels != 1:
            raise ValueError(f"it has {config.num_labels} outputs, a reward model has one")
        tokenizer = AutoTokenizer.from_pretrained(location.name, trust_remote_code=False, **location.options)
        model, report = AutoModelForSequenceClassification.from_pretrained(
            location.name,
            dtype=torch.float32,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
            **location.options,
        )
        if report["missing_keys"]:
            raise ValueError(f"weights of its output are missing: {', '.join(sorted(report['missing_keys'])[:3])}")
        if tokenizer.pad_token_id is None:
            tokenizer.pad_token = tokenizer.eos_token
        if tokenizer.pad_token_id is None:
            raise ValueError("its tokenizer has no padding token")
    # a causal classifier reads its score at the last token that is no padding
    model.config.pad_token_id = tokenizer.pad_token_id
    return _rater(model.to("cuda" if torch.cuda.is_available() else "cpu").eval(), tokenizer)


def reward_fingerprint(ref: str, project: Path) -> str:
    """What names the weights of `ref`; an adapter's are its own files, whose note names the base. Raises as `resolve`.
    """
    if (adapter := _adapter(ref, project)) is None:
        return model_fingerprint(resolve(ref, None, project))
    return fingerprint([(name, file_sha256(adapter / name)) for name in (CONFIG, NOTE, WEIGHTS)])


def _adapter(ref: str, project: Path) -> Path | None:
    """The directory with a whole adapter that `ref` names, if it does."""
    directory = project / Path(ref).expanduser()
    return directory if all((directory / name).is_file() for name in (CONFIG, NOTE, WEIGHTS)) else None


def _trained_here(adapter: Path, project: Path, where: str) -> RewardModel:
    """The base of an adapter's note with the adapter and its output layer on it."""
    note = read_note(adapter)
    assert note is not None
    if note.train.get("objective") != "reward":
        raise UsageError(
            f"{adapter} is an adapter that answers and does not rate",
            where=where,
            next_step="name a reward model, or train one: workbench train --data pairs.jsonl --objective reward",
        )
    with named_at(where):
        loaded = load(ModelConfig(ref=note.base), note.precision, project, adapter, rates=True)
    return _rater(loaded.model, loaded.tokenizer)


def _rater(model: Any, tokenizer: Any) -> RewardModel:
    tokenizer.truncation_side = "left"
    positions = getattr(model.config, "max_position_embeddings", _LONGEST_TOKENS)
    return RewardModel(model, tokenizer, min(_LONGEST_TOKENS, positions))


def rewards(
    loaded: RewardModel, records: Sequence[Record], on_batch: Callable[[int], object] | None = None
) -> list[float]:
    """The output for each record's answer, in their order; `on_batch` hears how many are done.

    A model with a chat template reads the conversation through it, another one reads prompt and answer as a pair of
    texts. Raises UsageError for a conversation that the template refuses.
    """
    import torch

    encoded = [_encoded(loaded, record) for record in records]
    scores: dict[int, float] = {}
    for batch in batches([len(one["input_ids"]) for one in encoded], _BATCH_ROWS):
        padded = loaded.tokenizer.pad([encoded[index] for index in batch], return_tensors="pt").to(loaded.model.device)
        with torch.inference_mode():
            logits = loaded.model(**padded).logits
        scores.update(zip(batch, logits[:, 0].float().tolist(), strict=True))
        if on_batch is not None:
            on_batch(len(scores))
    return [scores[index] for index in range(len(records))]


def _encoded(loaded: RewardModel, record: Record) -> dict[str, list[int]]:
    """What the model reads; control tokens in the data are text."""
    if loaded.tokenizer.chat_template:
        ids = encode_record(loaded.tokenizer, record, NO_LIMIT, None).input_ids[-loaded.max_tokens :]
        return {"input_ids": ids, "attention_mask": [1] * len(ids)}
    if record.kind == "document":
        texts = [record.text or ""]
    else:
        *before, ending = conversation(record, None)
        texts = ["\n".join(turn.content for turn in before), ending.content]
    return dict(loaded.tokenizer(*texts, truncation=True, max_length=loaded.max_tokens, split_special_tokens=True))
