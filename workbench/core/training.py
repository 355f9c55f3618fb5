"""The section `train` of the configuration: method, length, schedule, memory."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from workbench.core.errors import SettingError
from workbench.core.methods import Method
from workbench.core.objectives import (
    ABSENT,
    OBJECTIVES,
    DpoConfig,
    KtoConfig,
    Objective,
    OrpoConfig,
    RewardConfig,
    objective_problem,
)
from workbench.core.online import GkdConfig, GrpoConfig
from workbench.core.wire import Wire

Tracker = Literal["tensorboard", "mlflow", "wandb", "trackio"]
Optimizer = Literal["adamw", "adamw_8bit", "paged_adamw", "paged_adamw_8bit"]


class TrainConfig(Wire):
    """Training: what is learned (`objective`), what is changed (`method`), for how long, in how much memory."""

    objective: Objective = "sft"
    """What is learned: `sft` answers, `pretrain` whole documents, `dpo`, `orpo` and `kto` preferences, `reward` a model
    that says how good an answer is, `grpo` what named rewards want, `gkd` a larger model's answers; docs/objectives.md
    has the rows each needs."""
    dpo: DpoConfig = DpoConfig()
    """Settings of `dpo`."""
    kto: KtoConfig = KtoConfig()
    """Settings of `kto`."""
    orpo: OrpoConfig = OrpoConfig()
    """Settings of `orpo`."""
    reward: RewardConfig = RewardConfig()
    """Settings of `reward`."""
    grpo: GrpoConfig = GrpoConfig()
    """Settings of `grpo`."""
    gkd: GkdConfig = GkdConfig()
    """Settings of `gkd`."""
    method: Method = "qlora"
    """What is changed: `qlora` matrices beside an NF4 base, `lora` beside a bf16 or fp32 base, `full` the weights
    themselves; the others are in docs/training.md."""
    rank: int = Field(default=16, ge=1)
    """Rank of the adapter matrices (`lora` and its kin; `adalora` ends at it; take 256 for `vera`)."""
    alpha: int = Field(default=32, ge=1)
    """Scaling is alpha / rank, for `rslora` alpha / sqrt(rank)."""
    dropout: float | None = Field(default=None, ge=0, lt=1)
    """On the adapter's input. None: 0.1 below 1,000 training rows, 0.05 below 50,000, else 0; for objectives other than
    `sft` and `pretrain` 0."""
    virtual_tokens: int = Field(default=20, ge=1)
    """Learned tokens of `prefix`, `prompt` and `p-tuning`."""
    loraplus_ratio: float = Field(default=16, ge=1)
    """`lora+`: how much faster the second matrix learns than the first."""
    learning_rate: float | None = Field(default=None, gt=0)
    """Peak learning rate. None: by method, objective and model size; 2e-4 for `qlora` and `lora` on answers, half of it
    above 13 billion parameters, a fortieth for `dpo`."""
    scheduler: Literal["cosine", "linear", "constant_with_warmup"] = "cosine"
    """Course of the learning rate after the warm-up."""
    warmup_steps: int | None = Field(default=None, ge=0)
    """Steps in which the learning rate rises from zero; None takes `warmup_share` of all steps."""
    warmup_share: float = Field(default=0.1, ge=0, lt=1)
    """Share of the steps in which the learning rate rises, where `warmup_steps` is not set."""
    max_grad_norm: float = Field(default=1.0, gt=0)
    """Gradients are clipped to this norm."""
    weight_decay: float = Field(default=0.0, ge=0)
    """Decoupled weight decay of AdamW."""
    neftune_alpha: float = Field(default=0.0, ge=0)
    """Noise on the embeddings in training (NEFTune); 5 is usual for chat answers, 0 is none."""
    max_steps: int | None = Field(default=None, ge=1)
    """Optimiser steps; not together with `epochs`."""
    epochs: float | None = Field(default=None, gt=0)
    """Passes over the training rows. Where neither this nor `max_steps` is set: 3 below 2,000 rows, 2 below 20,000,
    else 1."""
    batch_size: int = Field(default=8, ge=1)
    """Sequences per forward pass; halved at equal steps where they do not fit into memory."""
    gradient_accumulation: int = Field(default=1, ge=1)
    """Forward passes per optimiser step."""
    max_length: int | None = Field(default=None, ge=8)
    """Longest training sequence in tokens; None takes the model's."""
    validation_share: float | None = Field(default=None, ge=0, lt=1)
    """Share of the training rows held back to see when training begins to overfit, at most 200 rows. None: 0.05 where
    rows are read more than once and that gives at least 20, else none."""
    validation_steps: int | None = Field(default=None, ge=1)
    """Steps between two looks at the validation rows; None takes a tenth of all steps."""
    early_stopping_patience: int = Field(default=3, ge=0)
    """Looks without a better validation loss after which training stops; 0 never stops. The best adapter is kept."""
    checkpoint_steps: int = Field(default=20, ge=1)
    """Steps between checkpoints: what a kill can cost."""
    samples: int = Field(default=2, ge=0, le=16)
    """Prompts that the model answers every `sample_steps` steps, to be read while it trains; 0 is none. They are of
    held-back rows where rows are held back, and change nothing of what is learned."""
    sample_steps: int | None = Field(default=None, ge=1)
    """Steps between two looks at the samples; there is one before the first step and one after the last. None takes
    half of all steps: three looks."""
    sample_tokens: int = Field(default=32, ge=1, le=1024)
    """Longest answer to a sample prompt, in tokens."""
    gradient_checkpointing: bool = False
    """Compute activations again in the backward pass: less memory, about a third more time."""
    optimizer: Optimizer = "adamw"
    """`adamw_8bit` keeps the moments in 8 bits, `paged_adamw` moves them to the CPU when memory is short (GPU only)."""
    activation_offloading: bool = False
    """Keep activations in CPU memory until the backward pass (GPU only)."""
    gpu_kernels: bool = True
    """Use FlashAttention 2 and Liger where they are installed (GPU only, objectives `sft` and `pretrain`)."""
    report_to: tuple[Tracker, ...] = ()
    """Experiment trackers that hear of every step, besides the workbench's own events."""
    processes: int | None = Field(default=None, ge=1, le=64)
    """Processes on this machine that share the rows of every step, each with the whole model. None: one per visible GPU
    (as many as divide the rows of a step), one on a CPU."""
    threads: int | None = Field(default=None, ge=1)
    """CPU threads of each process; None lets the library choose, and shares the cores among several."""

    @property
    def in_several_processes(self) -> bool:
        """Whether the objective can be trained in several processes: those whose loss is a mean over tokens."""
        return self.objective in ("sft", "pretrain")

    @property
    def length(self) -> str:
        """How long is trained, in words."""
        if self.max_steps is not None:
            return f"{self.max_steps} steps"
        return "1 to 3 epochs" if self.epochs is None else f"{self.epochs:g} epochs"

    @field_validator("objective", mode="before")
    @classmethod
    def _is_here(cls, objective: object) -> object:
        name = str(objective).lower().replace("-", "_")
        if name in ABSENT:
            reason, nearest = ABSENT[name]
            raise SettingError(f"there is no objective {objective}: {reason}", next_step=f"the nearest is {nearest}")
        return objective

    @model_validator(mode="after")
    def _objective_and_method(self) -> TrainConfig:
        if (problem := objective_problem(self.objective, self.method)) is not None:
            raise SettingError(problem[0], key="method", next_step=problem[1])
        facts = OBJECTIVES[self.objective]
        if self.neftune_alpha and not facts.noise:
            raise SettingError(
                f"`neftune_alpha` adds noise that objective {self.objective} would take for a preference",
                key="neftune_alpha",
                next_step="set train.neftune_alpha: 0",
            )
        if self.validation_share and not facts.validates:
            raise SettingError(
                f"`validation_share`: objective {self.objective} has no loss on held-back rows",
                key="validation_share",
                next_step="leave it out, its curve and the suites show what is learned",
            )
        if self.objective == "kto" and self.batch_size < 2:
            raise SettingError(
                "objective kto measures how far the model moved on other rows of a forward pass: there are none",
                key="batch_size",
                next_step="set train.batch_size: 2 or more (train.gradient_accumulation makes up for it)",
            )
        if facts.generates and self.dropout:
            raise SettingError(
                f"`dropout`: objective {self.objective} would learn from answers of another model than the one whose "
                "probabilities it changes",
                key="dropout",
                next_step="leave it out",
            )
        return self

    @model_validator(mode="after")
    def _answers_are_written(self) -> TrainConfig:
        problem = None
        if self.objective == "grpo":
            problem = self.grpo.problem(self.batch_size * self.gradient_accumulation)
        elif self.objective == "gkd":
            problem = self.gkd.problem()
        if problem is not None:
            key, what, advice = problem
            raise SettingError(what, key=key, next_step=advice)
        return self

    @model_validator(mode="after")
    def _shared_rows(self) -> TrainConfig:
        rows = self.batch_size * self.gradient_accumulation
        if self.processes is not None and self.processes > 1 and not self.in_several_processes:
            raise SettingError(
                f"objective {self.objective} is trained in one process; sft and pretrain take more",
                key="processes",
                next_step="set train.processes: 1",
            )
        if self.processes is not None and rows % self.processes:
            raise SettingError(
                f"{self.processes} processes cannot share the {rows} rows of a step (batch_size x "
                "gradient_accumulation) evenly",
                key="processes",
                next_step=f"take a multiple of {self.processes} rows",
            )
        return self

    @model_validator(mode="after")
    def _one_length(self) -> TrainConfig:
        if self.max_steps is not None and self.epochs is not None:
            raise SettingError("`max_steps` and `epochs` are both set", key="epochs", next_step="leave one of them out")
        return self
