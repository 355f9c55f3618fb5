"""What a training learns from and towards, and what is known of each objective before anything is loaded.

    OBJECTIVES["dpo"].rows        ->  ("preference",): pairs of a better and a worse ending
    OBJECTIVES["dpo"].reference   ->  True: how far the model moves is measured against the base, the adapter off
    ABSENT["ppo"]                 ->  ("TRL has no PPO trainer any more ...", "grpo")

The trainers are made by `workbench.train.objectives.registry`; here stands what other rooms ask.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import Field, model_validator

from workbench.core.errors import SettingError
from workbench.core.methods import METHODS, Kind, Method
from workbench.core.records import Record
from workbench.core.wire import Wire

Objective = Literal["sft", "pretrain", "dpo", "orpo", "kto", "reward", "grpo", "gkd"]
RowKind = Literal["chat", "preference", "rated", "document"]
"""`rated`: a conversation with thumbs up or down. The others as `Record.kind`."""

_ALL_KINDS: tuple[Kind, ...] = ("lora", "scaling", "prompt", "full")
_ADAPTERS: tuple[Kind, ...] = ("lora", "scaling")
_NEEDS_ADAPTER = "its reference is the same model with its adapter switched off, and "
_NO_ADAPTER: dict[Kind, str] = {
    "prompt": "both must begin as one: a fresh prompt changes the model already",
    "full": "whole weights have no adapter to switch off",
}
"""Why a kind of method has no such base."""


@dataclass(frozen=True, slots=True)
class ObjectiveFacts:
    """What one objective can do."""

    rows: tuple[RowKind, ...]
    """What it learns from; other rows in the training set are an error, never passed over."""
    reference: bool = False
    """Whether it needs the base beside the trained model: the same weights with the adapter switched off."""
    generates: bool = False
    """Whether the model writes answers in training."""
    learning_rate_factor: float = 1.0
    """On the method's peak learning rate, where none is set."""
    kinds: tuple[Kind, ...] = _ALL_KINDS
    """Kinds of methods that can learn it."""
    dropout: bool = True
    """Whether dropout is used where none is set."""
    validates: bool = True
    """Whether rows can be held back and a loss on them taken."""
    noise: bool = False
    """Whether NEFTune's noise on the embeddings may be added."""
    makes: Literal["policy", "reward_model"] = "policy"
    """A model that answers, or one that says how good an answer is."""
    why_not: str = ""
    """Why other kinds of methods are refused."""


OBJECTIVES: dict[Objective, ObjectiveFacts] = {
    "sft": ObjectiveFacts(("chat", "preference", "rated", "document"), noise=True),
    "pretrain": ObjectiveFacts(("document",), noise=True),
    "dpo": ObjectiveFacts(
        ("preference",),
        reference=True,
        learning_rate_factor=0.025,
        kinds=_ADAPTERS,
        dropout=False,
        why_not=_NEEDS_ADAPTER,
    ),
    "orpo": ObjectiveFacts(
        ("preference",),
        learning_rate_factor=0.04,
        kinds=("lora", "scaling", "prompt"),
        dropout=False,
        why_not="its trainer would load a second copy of the weights that nothing reads",
    ),
    "kto": ObjectiveFacts(
        ("rated",),
        reference=True,
        learning_rate_factor=0.025,
        kinds=_ADAPTERS,
        dropout=False,
        why_not=_NEEDS_ADAPTER,
    ),
    "reward": ObjectiveFacts(
        ("preference",),
        learning_rate_factor=0.5,
        kinds=_ADAPTERS,
        dropout=False,
        makes="reward_model",
        why_not="its output layer is trained and saved beside the matrices of an adapter",
    ),
    "grpo": ObjectiveFacts(
        ("chat",),
        reference=True,
        generates=True,
        learning_rate_factor=0.05,
        kinds=_ADAPTERS,
        dropout=False,
        validates=False,
        why_not=_NEEDS_ADAPTER,
    ),
    "gkd": ObjectiveFacts(
        ("chat",),
        generates=True,
        kinds=_ADAPTERS,
        dropout=False,
        why_not="it is tried and tested with adapters beside weights or on them",
    ),
}

ABSENT: dict[str, tuple[str, Objective]] = {
    "ppo": ("TRL has no PPO trainer any more, and GRPO needs no value model", "grpo"),
    "rloo": ("its advantage is GRPO's without the division by the group's spread", "grpo"),
    "rlhf": ("it is the name of a whole pipeline: a reward model, then learning from it", "grpo"),
    "prm": ("rewards of single reasoning steps need rows labelled by step, which no record here has", "reward"),
    "simpo": ("it is not built in, and orpo needs no reference either", "orpo"),
    "cpo": ("it is not built in, and orpo needs no reference either", "orpo"),
    "ipo": ("it is DPO with another loss", "dpo"),
    "bco": ("TRL has no BCO trainer any more, and KTO takes the same rows", "kto"),
    "online_dpo": ("it needs a judge at every step, which grpo has as a reward", "grpo"),
    "xpo": ("TRL has no XPO trainer any more", "grpo"),
    "nash_md": ("TRL has no Nash-MD trainer any more", "grpo"),
    "distillation": ("it is called gkd here", "gkd"),
    "cpt": ("it is called pretrain here", "pretrain"),
    "rm": ("it is called reward here", "reward"),
}
"""What people ask for and is not here: why, and what comes nearest."""


def row_kind(record: Record) -> RowKind:
    """What a record is to an objective."""
    if record.kind == "chat" and record.label is not None:
        return "rated"
    return record.kind


def objective_problem(objective: Objective, method: Method) -> tuple[str, str] | None:
    """What is wrong with `objective` and `method` together, and what to do instead; None if they go together."""
    facts, how = OBJECTIVES[objective], METHODS[method]
    if how.kind not in facts.kinds:
        reason = facts.why_not + (_NO_ADAPTER[how.kind] if facts.reference else "")
    elif facts.reference and not how.off_is_base:
        reason = f"with its adapter switched off a model of method {method} is not the base, which is its reference"
    elif facts.makes == "reward_model" and not how.off_is_base:
        reason = f"{method} is saved as plain LoRA of twice the rank, which leaves the new output layer out"
    elif method == "adalora" and objective not in ("sft", "pretrain"):
        reason = "the penalty that keeps its matrices orthogonal is part of the loss of answers alone"
    else:
        return None
    nearest = "qlora" if "nf4" in how.precisions else "lora"
    return f"objective {objective} cannot be trained with method {method}: {reason}", f"set train.method: {nearest}"


def rows_problem(objective: Objective, counts: Mapping[RowKind, int]) -> tuple[str, str] | None:
    """What is wrong with training `objective` on so many rows of each kind, and what to do; None if it learns from
    all of them."""
    wanted = OBJECTIVES[objective].rows
    if all(kind in wanted for kind, count in counts.items() if count):
        return None
    listed = " and ".join(f"{count} {kind}" for kind, count in sorted(counts.items()) if count)
    problem = (
        f"objective {objective} learns from {' or '.join(wanted)} rows, but the training set has {listed} rows"
    )
    fitting = [name for name, facts in OBJECTIVES.items() if all(kind in facts.rows for kind in counts if counts[kind])]
    advice = f"set train.objective: {' or '.join(fitting)}" if fitting else "train on each kind in a run of its own"
    return problem, f"{advice}, or leave the other data out (data, mix.shares)"


class DpoConfig(Wire):
    """Settings of objective `dpo` (Rafailov et al., 2023, arXiv 2305.18290)."""

    beta: float = Field(default=0.1, gt=0)
    """How dear moving away from the base is: lower values allow more."""
    loss: Literal["sigmoid", "ipo", "hinge"] = "sigmoid"
    """`sigmoid` is DPO; `ipo` (arXiv 2310.12036) overfits less where one ending always wins; `hinge` is SLiC
    (arXiv 2305.10425)."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=0.5)
    """Share of pairs that are assumed to be the wrong way round (robust DPO, arXiv 2403.00409); `sigmoid` only."""
    sft_weight: float = Field(default=0.0, ge=0)
    """Weight of the chosen ending's own loss besides; holds its likelihood up, which DPO alone lets sink."""

    @model_validator(mode="after")
    def _smoothing_has_a_loss(self) -> DpoConfig:
        if self.label_smoothing and self.loss != "sigmoid":
            problem = f"`label_smoothing` is defined for loss sigmoid alone, not for {self.loss}"
            raise SettingError(problem, key="label_smoothing", next_step="set train.dpo.label_smoothing: 0")
        return self


class KtoConfig(Wire):
    """Settings of objective `kto` (Ethayarajh et al., 2024, arXiv 2402.01306)."""

    beta: float = Field(default=0.1, gt=0)
    """How dear moving away from the base is: lower values allow more."""
    desirable_weight: float = Field(default=1.0, gt=0)
    """Weight of thumbs up; the paper wants (weight x rows) of up and down within 1:1 and 4:3."""
    undesirable_weight: float = Field(default=1.0, gt=0)
    """Weight of thumbs down."""


class OrpoConfig(Wire):
    """Settings of objective `orpo` (Hong et al., 2024, arXiv 2403.07691)."""

    beta: float = Field(default=0.1, gt=0)
    """Weight of the odds ratio beside the chosen ending's own loss (lambda in the paper)."""


class RewardConfig(Wire):
    """Settings of objective `reward`: a pair's loss is -log sigmoid(better - worse) (Bradley and Terry, 1952)."""

    centre: float = Field(default=0.0, ge=0)
    """Weight of (better + worse)^2 besides, which holds the scores around zero (arXiv 2312.09244); 0.01 is usual."""
