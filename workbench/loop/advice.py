"""What to train, on what, and whether to train at all.

    advise(architecture, machine, DatasetFacts(rows=4,000, ...))
    ->
    Advice(methods=(qlora nf4 1.4 GiB fits, lora bf16 1.6 GiB fits, ..., full bf16 3.4 GiB fits),
           recommendation=Recommendation(method="lora", precision="bf16", rank=16, batch_size=8, max_length=256, ...),
           cautions=(), duration=Duration(seconds=5400, source="..."))

Nothing is loaded: memory comes from `workbench.models.memory`, time from an earlier training of this project where
there is one, else from the number of operations.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from workbench.core.methods import METHODS, Method, Precision
from workbench.core.training import TrainConfig
from workbench.loop.dataset_facts import DatasetFacts
from workbench.models.architecture import Architecture, published_architectures
from workbench.models.machine import Machine
from workbench.models.memory import MemoryParts, TrainingSetting, estimate, trained_parameters
from workbench.models.published import PUBLISHED
from workbench.report.numbers import counted
from workbench.train.defaults import dropout_of, steps_of

USABLE_SHARE = 0.95
"""Of a device's memory: the rest goes to fragmentation."""
VERA_RANK = 256
"""VeRA learns one number per rank, so its ranks are larger than LoRA's (docs/training.md)."""
_LENGTH_STEP = 64
_DEFAULT_LENGTH = 512
_COVERED = 0.99
"""Share of the rows that the recommended length cuts nothing from."""
_RANKS = (16, 32, 64, 128)
_BITS_PER_PARAMETER = 2
"""What a parameter can store: Allen-Zhu and Li 2024, Physics of Language Models 3.3, arXiv:2404.05405."""
_BITS_PER_ANSWER_TOKEN = 1
"""What an answer token has to teach; a rule of thumb."""
_MICRO_BATCHES = (8, 4, 2, 1)
_GOOD_MICRO_BATCH = 4
_PREFERRED: tuple[tuple[Method, Precision, bool], ...] = (
    ("lora", "bf16", False),
    ("qlora", "nf4", False),
    ("lora", "bf16", True),
    ("qlora", "nf4", True),
)
"""Method, precision, checkpointing: no quantisation where there is room, no recomputing if it can be helped."""


@dataclass(frozen=True, slots=True)
class MethodAdvice:
    """What one method needs with one precision of the base."""

    method: Method
    precision: Precision
    trained_parameters: int
    parts: MemoryParts
    fits: bool


@dataclass(frozen=True, slots=True)
class Recommendation:
    """Settings to begin with."""

    model_ref: str
    """What `model.ref` is set to."""
    setting: TrainingSetting
    effective_batch: int
    """Rows per optimiser step."""
    steps: int
    """Optimiser steps, by the defaults of the training section."""
    parts: MemoryParts
    reasons: tuple[str, ...]
    """One sentence for each choice."""

    @property
    def settings(self) -> dict[str, str | int | bool]:
        """The keys of the configuration and their values."""
        chosen: dict[str, str | int | bool] = {
            "model.ref": self.model_ref,
            "model.precision": self.setting.precision,
            "train.method": self.setting.method,
            "train.rank": self.setting.rank,
            "train.alpha": 2 * self.setting.rank,
            "train.max_length": self.setting.length,
            "train.batch_size": self.setting.batch_size,
            "train.gradient_accumulation": self.setting.gradient_accumulation,
        }
        if self.setting.gradient_checkpointing:
            chosen["train.gradient_checkpointing"] = True
        return chosen


@dataclass(frozen=True, slots=True)
class Fitting:
    """A published model that would fit, where the one asked about does not."""

    name: str
    licence: str
    method: Method
    total_bytes: int


@dataclass(frozen=True, slots=True)
class Caution:
    """A reason to do something else first."""

    problem: str
    first: str
    """What to try before training."""


@dataclass(frozen=True, slots=True)
class Advice:
    """All of it."""

    architecture: Architecture
    machine: Machine
    data: DatasetFacts | None
    setting: TrainingSetting
    """What the table of methods was computed for; method and precision vary."""
    methods: tuple[MethodAdvice, ...]
    recommendation: Recommendation | None
    """None if nothing fits."""
    instead: tuple[Fitting, ...]
    cautions: tuple[Caution, ...]


def advise(
    architecture: Architecture, machine: Machine, data: DatasetFacts | None = None, max_length: int | None = None
) -> Advice:
    """Advice on training `architecture` on `machine` with `data`; sequences as long as the data's, or `max_length`, but
    never longer than the model was made for."""
    basis = _basis(architecture, machine, data, max_length)
    recommendation = _recommend(architecture, machine, data, basis)
    shown = recommendation.setting if recommendation else replace(basis, batch_size=1)
    return Advice(
        architecture=architecture,
        machine=machine,
        data=data,
        setting=shown,
        methods=tuple(_all_methods(architecture, machine, shown)),
        recommendation=recommendation,
        instead=() if recommendation else tuple(_that_fit(architecture, machine, data, basis)),
        cautions=(
            *_device_cautions(architecture, machine, max_length),
            *(_data_cautions(architecture, data) if data else ()),
        ),
    )


def _basis(
    architecture: Architecture, machine: Machine, data: DatasetFacts | None, max_length: int | None
) -> TrainingSetting:
    """What follows from the data alone."""
    length = max_length
    if length is None:
        needed = data.length_of(_COVERED) if data else _DEFAULT_LENGTH
        length = -(-needed // _LENGTH_STEP) * _LENGTH_STEP
    length = min(length, architecture.max_positions or length)
    answered = data.answer_tokens / data.tokens if data else 1.0
    return TrainingSetting(
        method="qlora",
        precision="nf4",
        length=length,
        batch_size=_MICRO_BATCHES[0],
        rank=_rank(architecture, data),
        dropout=data is None or dropout_of(TrainConfig(), data.rows) > 0,
        answer_share=answered,
        device=machine.device,
    )


def _rank(architecture: Architecture, data: DatasetFacts | None) -> int:
    """The smallest that can hold what the answers teach."""
    if data is None:
        return _RANKS[0]
    per_rank = sum(linear.count * (linear.inputs + linear.outputs) for linear in architecture.linears)
    needed = data.answer_tokens * _BITS_PER_ANSWER_TOKEN
    return next((rank for rank in _RANKS if rank * per_rank * _BITS_PER_PARAMETER >= needed), _RANKS[-1])


def _recommend(
    architecture: Architecture, machine: Machine, data: DatasetFacts | None, basis: TrainingSetting
) -> Recommendation | None:
    """The first of the preferred ways that fits with at least 4 sequences at a time, else the first that fits."""
    ways = [
        (_setting(basis, method, precision, batch_size, checkpointing), batch_size)
        for method, precision, checkpointing in _PREFERRED
        for batch_size in _MICRO_BATCHES
    ]
    fitting = [(setting, size) for setting, size in ways if _fits(estimate(architecture, setting), machine)]
    chosen = next((one for one, size in fitting if size >= _GOOD_MICRO_BATCH), fitting[0][0] if fitting else None)
    if chosen is None:
        return None
    effective = _effective_batch(data)
    accumulation = max(1, effective // chosen.batch_size)
    chosen = replace(chosen, batch_size=min(chosen.batch_size, effective), gradient_accumulation=accumulation)
    train = TrainConfig(batch_size=chosen.batch_size, gradient_accumulation=accumulation)
    published = PUBLISHED.get(architecture.name)
    return Recommendation(
        model_ref=published.hub_id if published else architecture.name,
        setting=chosen,
        effective_batch=chosen.batch_size * accumulation,
        steps=steps_of(train, data.rows) if data else 0,
        parts=estimate(architecture, chosen),
        reasons=tuple(_reasons(architecture, data, chosen)),
    )


def _setting(
    basis: TrainingSetting, method: Method, precision: Precision, batch_size: int, checkpointing: bool
) -> TrainingSetting:
    # accumulation keeps gradients through the next pass: reckon with it, whether it is needed or not
    return replace(
        basis,
        method=method,
        precision=precision,
        batch_size=batch_size,
        gradient_checkpointing=checkpointing,
        gradient_accumulation=2,
    )


def _effective_batch(data: DatasetFacts | None) -> int:
    """Small for few rows, so that there are steps enough; LoRA gains nothing from large ones."""
    if data is None or data.rows < 5_000:
        return 8
    return 16 if data.rows < 50_000 else 32


def _reasons(architecture: Architecture, data: DatasetFacts | None, setting: TrainingSetting) -> Iterator[str]:
    if setting.precision == "bf16":
        yield "LoRA on the 16-bit base: it fits, so nothing needs to be lost to quantisation"
    else:
        recomputed = "even with" if setting.gradient_checkpointing else "without"
        yield f"QLoRA: a 16-bit base leaves no room for a useful batch, {recomputed} gradient checkpointing"
    if setting.gradient_checkpointing:
        yield "gradient checkpointing: activations do not fit otherwise; it costs about a third more time"
    learned = trained_parameters(architecture, setting)
    if data is None:
        yield f"rank {setting.rank}, the usual one: without data nothing speaks for another"
        return
    yield (
        f"rank {setting.rank}: {learned:,} parameters hold about {_BITS_PER_PARAMETER * learned:,} bits, "
        f"the answers teach about {data.answer_tokens * _BITS_PER_ANSWER_TOKEN:,}"
    )
    cut = sum(length > setting.length for length in data.lengths)
    yield f"length {setting.length}: {cut:,} of {len(data.lengths):,} rows are longer"


def _all_methods(
    architecture: Architecture, machine: Machine, shown: TrainingSetting
) -> Iterator[MethodAdvice]:
    """Every method with 4-bit and 16-bit base, as far as it has them."""
    for method, facts in METHODS.items():
        for precision in facts.precisions:
            if precision == "fp32":
                continue
            rank = VERA_RANK if method == "vera" else shown.rank
            setting = replace(shown, method=method, precision=precision, rank=rank)
            parts = estimate(architecture, setting)
            trained = trained_parameters(architecture, setting)
            yield MethodAdvice(method, precision, trained, parts, _fits(parts, machine))


def _that_fit(
    architecture: Architecture, machine: Machine, data: DatasetFacts | None, basis: TrainingSetting
) -> Iterator[Fitting]:
    """Published models that fit, largest first."""
    for other in sorted(published_architectures(), key=lambda one: -one.parameters):
        if other.parameters < architecture.parameters and (found := _recommend(other, machine, data, basis)):
            yield Fitting(other.name, other.licence, found.setting.method, found.parts.total)


def _fits(parts: MemoryParts, machine: Machine) -> bool:
    return parts.total <= USABLE_SHARE * machine.memory_bytes


def _device_cautions(architecture: Architecture, machine: Machine, max_length: int | None) -> Iterator[Caution]:
    """What was asked for and is not there."""
    context = architecture.max_positions
    if context and max_length is not None and max_length > context:
        yield Caution(
            f"--max-length {max_length:,} is beyond the {context:,} tokens the model was made for, so advice is for "
            f"{context:,}",
            "cut longer rows into parts, or take a model with a longer context",
        )
    if not machine.has_bf16:
        yield Caution(
            f"{machine.name} has no bf16: the base is kept in it, products are made in fp16 or emulated, and neither "
            "the speed nor the accuracy of that was measured",
            "try make gpu-check there, or take a GPU of a later generation (Ampere or newer)",
        )


def _rows(number: int, one: str, several: str) -> str:
    return f"{counted(number, 'row')} {one if number == 1 else several}"


def _data_cautions(architecture: Architecture, data: DatasetFacts) -> Iterator[Caution]:
    """Where something cheaper should be tried first; the rules and their sources stand in docs/advice.md."""
    usable = len(data.lengths)
    if usable < 50:
        yield Caution(
            f"{_rows(usable, 'is', 'are')} too few to learn from, and too few to see whether anything was learned",
            "put the best three to five of them into the prompt as examples, and score that as an arm with a "
            "system_prompt",
        )
    elif usable < 200:
        yield Caution(
            f"{usable} rows are few: form and tone can be learned from them, knowledge cannot",
            "score a prompt with examples as an arm of its own, and train only if it falls short",
        )
    answers = data.answers - (data.unusable if data.documents == 0 else 0)
    if answers > 1 and data.distinct_answers == 1:
        yield Caution("all answers are the same", "say it in the system prompt")
    elif answers >= 50 and data.distinct_answers <= max(2, min(20, answers // 10)):
        yield Caution(
            f"there are only {data.distinct_answers} different answers: this is classification",
            "name the labels in a system prompt, with an example of each, and score that as an arm; a classifier on "
            "embeddings is cheaper too",
        )
    if answers and data.copied > 0.8 * answers:
        yield Caution(
            "the answer stands in the prompt, word for word, in more than 80% of the rows: this is extraction",
            "ask for it in a prompt with two examples and score that as an arm",
        )
    if data.documents > 0.9 * data.rows:
        yield Caution(
            "the rows are documents, not questions with answers: training on them teaches style and wording, and facts "
            "only badly (Ovadia et al. 2023, arXiv:2312.05934)",
            "if the facts are what you want, put the passages that a search finds into the prompt",
        )
    if data.duplicates > 0.2 * data.rows:
        yield Caution(f"{data.duplicates:,} of {data.rows:,} rows are exact copies of others", "workbench curate FILE")
    if not data.has_template:
        yield Caution(
            "the model's tokenizer has no chat template, so conversations cannot be written for it",
            "take the instruction-tuned model of the same family",
        )
    if architecture.max_positions and (longer := sum(one > architecture.max_positions for one in data.lengths)):
        yield Caution(
            f"{_rows(longer, 'is', 'are')} longer than the {architecture.max_positions:,} tokens the model was made "
            "for",
            "cut them into parts, or take a model with a longer context",
        )
    if data.unusable:
        yield Caution(f"{_rows(data.unusable, 'has', 'have')} no answer that could be learned", "workbench curate FILE")
