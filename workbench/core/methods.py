"""Ways of fine-tuning, and what is known of each before anything is loaded.

    METHODS["pissa"].precisions   ->  ("bf16", "fp32"): the start is computed from the weights, which NF4 no longer has
    METHODS["prompt"].merges      ->  False: there is no weight to add anything to
    METHODS["full"].kind          ->  "full": there is no adapter, the weights themselves are kept

The adapters' own settings are made by `workbench.train.methods`; here stands what other rooms ask: configuration,
scoring, export, advice.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Precision = Literal["nf4", "bf16", "fp32"]
Method = Literal[
    "qlora",
    "lora",
    "dora",
    "rslora",
    "lora+",
    "pissa",
    "olora",
    "ia3",
    "adalora",
    "oft",
    "vera",
    "prefix",
    "prompt",
    "p-tuning",
    "full",
]
Kind = Literal["lora", "scaling", "prompt", "full"]

_ANY: tuple[Precision, ...] = ("nf4", "bf16", "fp32")
_FLOAT: tuple[Precision, ...] = ("bf16", "fp32")


@dataclass(frozen=True, slots=True)
class MethodFacts:
    """What one method can do."""

    precisions: tuple[Precision, ...]
    """Of the frozen base."""
    learning_rate: float
    """Peak learning rate where none is set, for a base of up to 13 billion parameters."""
    kind: Kind = "lora"
    """`lora`: matrices beside a weight. `scaling`: factors or rotations on it. `prompt`: learned tokens or keys before
    the text. `full`: the weights themselves."""
    merges: bool = True
    """Whether the result can be written as weights of the base alone."""
    off_is_base: bool = True
    """Whether the trained model with its adapter switched off computes what the base computes, while it is trained.
    What is saved never needs this: adapters are saved so that they fit the untouched base."""
    sham: Literal["zeros", "untrained", "none"] = "zeros"
    """What an adapter of this kind is that changes nothing: all zeros, the untrained one, or there is none."""
    why_not: str = ""
    """Why the other precisions are refused."""
    instead: dict[Precision, Method] = field(default_factory=dict)
    """The nearest method for a precision that is refused."""


METHODS: dict[Method, MethodFacts] = {
    "qlora": MethodFacts(
        ("nf4",),
        2e-4,
        why_not="it is LoRA on a base in NF4",
        instead={"bf16": "lora", "fp32": "lora"},
    ),
    "lora": MethodFacts(
        _FLOAT,
        2e-4,
        why_not="it is LoRA on a base that is not quantised",
        instead={"nf4": "qlora"},
    ),
    "dora": MethodFacts(_ANY, 2e-4),
    "rslora": MethodFacts(_ANY, 5e-5),
    "lora+": MethodFacts(_ANY, 1e-4),
    "pissa": MethodFacts(
        _FLOAT,
        2e-5,
        off_is_base=False,
        why_not="it takes the largest singular values out of the base's weights, which NF4 does not hold",
        instead={"nf4": "qlora"},
    ),
    "olora": MethodFacts(
        _FLOAT,
        5e-5,
        off_is_base=False,
        why_not="it subtracts its start from the base's weights; in NF4 what is left is rounded again, and the saved "
        "adapter would not fit the base it is scored on",
        instead={"nf4": "qlora"},
    ),
    "ia3": MethodFacts(
        _FLOAT,
        3e-3,
        kind="scaling",
        sham="untrained",
        why_not="on 4-bit layers PEFT leaves scaled keys and values in fp32, which attention refuses beside bf16 "
        "queries",
        instead={"nf4": "qlora"},
    ),
    "adalora": MethodFacts(_ANY, 5e-4),
    "oft": MethodFacts(_ANY, 1e-4, kind="scaling"),
    "vera": MethodFacts(_ANY, 4e-3, sham="untrained"),
    "prefix": MethodFacts(_ANY, 3e-3, kind="prompt", merges=False, sham="none"),
    "prompt": MethodFacts(_ANY, 3e-2, kind="prompt", merges=False, sham="none"),
    "p-tuning": MethodFacts(_ANY, 3e-3, kind="prompt", merges=False, sham="none"),
    "full": MethodFacts(
        _FLOAT,
        2e-5,
        kind="full",
        off_is_base=False,
        why_not="4-bit weights cannot be trained themselves",
        instead={"nf4": "qlora"},
    ),
}


def method_problem(method: Method, precision: Precision) -> tuple[str, str] | None:
    """What is wrong with `method` on a base in `precision`, and what to do instead; None if they go together."""
    facts = METHODS[method]
    if precision in facts.precisions:
        return None
    needs = " or ".join(facts.precisions)
    problem = f"method {method} needs a base in {needs}, but model.precision is {precision}: {facts.why_not}"
    return problem, f"set train.method: {facts.instead[precision]}, or model.precision: {facts.precisions[0]}"
