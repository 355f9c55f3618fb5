"""How much memory a training step needs, part by part, from a model's shapes and the settings alone.

    estimate(read_architecture("llama-3-8b", ...), TrainingSetting("qlora", "nf4", length=2048, batch_size=1))
    ->
    MemoryParts(weights=5.6 GiB, trained=0.2, gradients=0.2, optimizer=0.3, activations=..., logits=..., ...)

What autograd keeps for the backward pass is written down operation by operation for the step as it is computed here:
bf16 autocast, fp32 adapters, SDPA, the loss over answer rows. With T = length x batch_size, per layer, in bytes:

    normalisations   4 per element read (fp32 copies), 8 where the weights themselves are trained
    attention        2 T (2 Q + 2 K): queries, keys, values, output; 4 T heads for the log-sum-exp
    feed-forward     6 T I
    linear layers    `_kept_by_linear`: depends on the method

The sum is compared with torch's own saved tensors in the tests and with the peak memory of whole training steps in
`benchmarks/memory.py`; docs/advice.md has both tables.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from workbench.core.methods import METHODS, Method, Precision
from workbench.core.training import Optimizer
from workbench.models.architecture import Architecture, LinearShape

Device = Literal["cpu", "cuda"]

GIB = 1 << 30
NF4_BITS = 4.127
"""Per weight with double quantisation: 4, an 8-bit scale per 64, an fp32 scale per 256 of those (Dettmers et al. 2023,
QLoRA, arXiv:2305.14314, section 3)."""
OVERHEAD_BYTES: dict[Device, int] = {"cpu": 595 << 20, "cuda": GIB}
"""The process without a model. CPU: measured, 525 MiB with torch, transformers, peft and trl imported, 70 MiB more from
the first step on. GPU: context, kernels and fragmentation, a guess."""
OFT_BLOCK = 32
_LOSS_ROWS = 512
_LOSS_CELL_BYTES = 10
"""The loss over answer rows: logits in 16 bits, as fp32, and their logarithmic softmax, for 512 rows at a time."""
_STOCK_ROWS, _STOCK_COLUMNS = 4096, 32768
_STOCK_CELL_BYTES: dict[Device, int] = {"cpu": 31, "cuda": 2}
"""TRL's own loss, in tiles over all positions: one 16-bit tile on a GPU; on a CPU several in fp32 (measured)."""
_ADALORA_IMPORTANCE_BYTES = 12
"""Three running averages per parameter, by which ranks are given out."""
_MOMENT_BYTES: dict[Optimizer, int] = {"adamw": 8, "adamw_8bit": 2, "paged_adamw": 8, "paged_adamw_8bit": 2}
_FEED_FORWARD_END = ("down_proj", "fc2", "dense_4h_to_h")
_KEYS_AND_VALUES = ("k_proj", "v_proj", "qkv_proj", "query_key_value")
_INPUT_IS_KEPT_ANYWAY = ("o_proj", "dense", "out_proj")
"""Their input is the attention's output, which is kept already; only a copy in another type is new."""


@dataclass(frozen=True, slots=True)
class TrainingSetting:
    """What decides about memory."""

    method: Method
    precision: Precision
    """Of the base."""
    length: int
    """Longest sequence in tokens."""
    batch_size: int
    """Sequences per forward pass."""
    rank: int = 16
    virtual_tokens: int = 20
    dropout: bool = True
    """Whether there is any on the adapter's input: its mask is kept too."""
    gradient_checkpointing: bool = False
    gradient_accumulation: int = 1
    optimizer: Optimizer = "adamw"
    answer_share: float = 1.0
    """Share of the tokens that are learned: logits are made for them alone."""
    device: Device = "cpu"

    @property
    def tokens(self) -> int:
        """Of one forward pass, padding and virtual tokens included."""
        virtual = self.virtual_tokens if self.method in ("prompt", "p-tuning") else 0
        return self.batch_size * (self.length + virtual)


@dataclass(frozen=True, slots=True)
class MemoryParts:
    """Bytes by purpose."""

    weights: int
    """The frozen base."""
    trained: int
    """What is learned, in fp32."""
    gradients: int
    optimizer: int
    """AdamW's two moments; for `adalora` also what its ranks are given out by."""
    activations: int
    """Kept from the forward for the backward pass."""
    logits: int
    """Scores over the vocabulary, their gradient and the hidden rows of the loss."""
    buffers: int
    """Short-lived: dequantised weights, casts, what the backward pass of one layer works with."""
    overhead: int
    """The process without a model."""
    accumulates: bool
    """Whether gradients are there while the next forward pass runs."""

    @property
    def total(self) -> int:
        """The peak. Activations shrink while gradients grow, so only the larger of the two counts, unless gradients are
        accumulated over several passes."""
        lasting = self.weights + self.trained + self.optimizer + self.buffers + self.overhead
        forward = self.activations + self.logits
        return lasting + (forward + self.gradients if self.accumulates else max(forward, self.gradients))


def estimate(architecture: Architecture, setting: TrainingSetting) -> MemoryParts:
    """Peak memory of a training step of `architecture` under `setting`; ValueError for a precision it cannot have."""
    if setting.precision not in METHODS[setting.method].precisions:
        raise ValueError(f"{setting.method} does not train on a base in {setting.precision}")
    trained = trained_parameters(architecture, setting)
    return MemoryParts(
        weights=0 if setting.method == "full" else weight_bytes(architecture, setting),
        trained=4 * trained,
        gradients=4 * trained,
        optimizer=trained
        * (_MOMENT_BYTES[setting.optimizer] + (_ADALORA_IMPORTANCE_BYTES if setting.method == "adalora" else 0)),
        activations=activation_bytes(architecture, setting),
        logits=_logit_bytes(architecture, setting),
        buffers=_buffer_bytes(architecture, setting, trained),
        overhead=OVERHEAD_BYTES[setting.device],
        accumulates=setting.gradient_accumulation > 1,
    )


def trained_parameters(architecture: Architecture, setting: TrainingSetting) -> int:
    """Number of parameters that `setting.method` learns."""
    match setting.method:
        case "full":
            return architecture.parameters
        case "prefix":
            return setting.virtual_tokens * architecture.layers * 2 * architecture.keys
        case "prompt":
            return setting.virtual_tokens * architecture.hidden
        case "p-tuning":
            # an embedding and three linear layers of the model's width, with biases
            return setting.virtual_tokens * architecture.hidden + 3 * (architecture.hidden**2 + architecture.hidden)
        case _:
            return sum(linear.count * _learned_beside(linear, setting) for linear in architecture.linears)


def weight_bytes(architecture: Architecture, setting: TrainingSetting) -> int:
    """The base's weights at its precision. Embedding, head, normalisations and experts of a mixture stay in 16 bits."""
    if setting.precision == "nf4":
        rest = architecture.parameters - architecture.linear_parameters
        return round(architecture.linear_parameters * NF4_BITS / 8) + 2 * rest
    return architecture.parameters * (4 if setting.precision == "fp32" else 2)


def activation_bytes(architecture: Architecture, setting: TrainingSetting) -> int:
    """What autograd keeps between forward and backward pass, without the loss."""
    tokens = setting.tokens
    everything = tokens * _kept_per_token(architecture, setting) + _kept_once(architecture, setting)
    if not setting.gradient_checkpointing:
        return everything
    # every layer's input, and one layer with all it keeps
    value = 4 if setting.precision == "fp32" else 2
    return tokens * value * architecture.hidden * architecture.layers + everything // architecture.layers


def step_flops(architecture: Architecture, setting: TrainingSetting, tokens: int) -> float:
    """Floating-point operations of forward and backward pass over `tokens` tokens.

    2 per weight and token forward, 2 for the gradient of the inputs, 2 more for the gradient of trained weights (Kaplan
    et al. 2020, arXiv:2001.08361, section 2.1); the head for answer tokens only; causal attention 6 T^2 Q per layer and
    sequence forward and backward; checkpointing computes the forward pass twice.
    """
    body = architecture.parameters - architecture.head_parameters - architecture.vocabulary * architecture.hidden
    head = architecture.vocabulary * architecture.hidden * setting.answer_share
    trained = body if setting.method == "full" else trained_parameters(architecture, setting)
    attention = 6 * architecture.layers * setting.length * architecture.queries
    forward_again = 2 * body + attention / 3 if setting.gradient_checkpointing else 0
    return tokens * (4 * (body + head) + (2 if setting.method == "full" else 6) * trained + attention + forward_again)


def _learned_beside(linear: LinearShape, setting: TrainingSetting) -> int:
    match setting.method:
        case "dora":
            return setting.rank * (linear.inputs + linear.outputs) + linear.outputs
        case "adalora":
            # with the singular values, and the number of ranks in use, which PEFT makes a parameter
            return _adalora_rank(setting) * (linear.inputs + linear.outputs + 1) + 1
        case "oft":
            return linear.inputs * (OFT_BLOCK - 1) // 2
        case "vera":
            return setting.rank + linear.outputs
        case "ia3":
            return _rescaled(linear)
        case _:
            return setting.rank * (linear.inputs + linear.outputs)


def _adalora_rank(setting: TrainingSetting) -> int:
    """What it begins with: half as many again as are kept."""
    return max(setting.rank + 1, setting.rank * 3 // 2)


def _rescaled(linear: LinearShape) -> int:
    """Features that (IA)3 rescales: the outputs of keys and values, the inputs of the last feed-forward layer."""
    if linear.name in _FEED_FORWARD_END:
        return linear.inputs
    return linear.outputs if linear.name in _KEYS_AND_VALUES else 0


def _kept_per_token(architecture: Architecture, setting: TrainingSetting) -> int:
    value = 4 if setting.precision == "fp32" else 2
    norms = (8 if setting.method == "full" else 4) * architecture.norm_inputs
    attention = value * (2 * architecture.queries + 2 * architecture.keys) + 4 * architecture.heads
    if setting.method == "prefix":
        # with a mask, keys and values are repeated for every query head
        attention += value * (2 * (architecture.queries - architecture.keys) + setting.length + setting.virtual_tokens)
    feed_forward = 3 * value * architecture.intermediate
    linears = sum(linear.count * _kept_by_linear(linear, setting) for linear in architecture.linears)
    return norms + architecture.layers * (attention + feed_forward) + linears


def _kept_by_linear(linear: LinearShape, setting: TrainingSetting) -> int:
    """Bytes per token that one linear layer keeps for its method, in bf16 or fp32 arithmetic."""
    value = 4 if setting.precision == "fp32" else 2
    masked = 0
    if setting.dropout and METHODS[setting.method].kind == "lora":
        # a GPU keeps one byte per element; a CPU the factors themselves, in fp32
        masked = linear.inputs * (4 if setting.device == "cpu" else 1)
    match setting.method:
        case "full":
            return 0 if linear.name in _INPUT_IS_KEPT_ANYWAY else value * linear.inputs
        case "prefix" | "prompt" | "p-tuning":
            return 0
        case "ia3":
            return (4 if linear.name in _FEED_FORWARD_END else value) * _rescaled(linear)
        case "oft":
            return value * linear.inputs
        case "vera":
            return masked + value * (setting.rank + linear.outputs)
        case "dora":
            return masked + value * (linear.inputs + setting.rank + 2 * linear.outputs)
        case "adalora":
            return masked + value * (linear.inputs + _adalora_rank(setting) + linear.outputs)
        case _:
            return masked + value * (linear.inputs + setting.rank)


def _kept_once(architecture: Architecture, setting: TrainingSetting) -> int:
    """Bytes that linear layers keep whatever the number of tokens: casts and products of the adapter's own matrices.

    DoRA multiplies its matrices with an identity of the layer's width, and with dropout it keeps the base's weight too.
    """
    value = 4 if setting.precision == "fp32" else 2
    total = 0
    for linear in architecture.linears:
        match setting.method:
            case "dora":
                kept = value * linear.inputs * (linear.inputs + (linear.outputs if setting.dropout else 0))
            case "oft":
                kept = value * 6 * OFT_BLOCK * linear.inputs
            case "vera":
                kept = value * setting.rank * (linear.inputs + linear.outputs)
            case _:
                kept = 0
        total += kept * linear.count
    return total


def _logit_bytes(architecture: Architecture, setting: TrainingSetting) -> int:
    if not architecture.plain_head or METHODS[setting.method].kind in ("full", "prompt"):
        # a trained or unusual head, or tokens that are no ids: the loss is the library's
        cells = min(setting.tokens, _STOCK_ROWS) * min(architecture.vocabulary, _STOCK_COLUMNS)
        return _STOCK_CELL_BYTES[setting.device] * cells + 4 * setting.tokens * architecture.hidden
    rows = max(1, round(setting.tokens * setting.answer_share))
    return _LOSS_CELL_BYTES * min(rows, _LOSS_ROWS) * architecture.vocabulary + 4 * rows * architecture.hidden


def _buffer_bytes(architecture: Architecture, setting: TrainingSetting, trained: int) -> int:
    largest = max((linear.inputs * linear.outputs for linear in architecture.linears), default=0)
    backward = 16 * setting.tokens * max(architecture.intermediate, architecture.hidden)
    if setting.precision == "fp32":
        return backward
    if setting.method == "full":
        return backward + 2 * architecture.linear_parameters
    return backward + 2 * trained + (2 * largest if setting.precision == "nf4" else 0)
