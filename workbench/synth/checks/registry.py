"""The checks, cheap to dear. All run on every candidate that could be read, and every score is kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from workbench.core.records import Check
from workbench.synth.checks import (
    answer_type,
    boilerplate,
    contamination,
    evaluation_overlap,
    evidence,
    grounding,
    leak,
    length,
    novelty,
    parsed,
    repetition,
    standalone,
)
from workbench.synth.checks.desk import Desk
from workbench.synth.drafts import Draft


@dataclass(frozen=True, slots=True)
class Rule:
    """One check and what its failure means."""

    check: Callable[[Draft, Desk], Check]
    failure: Literal["rejected", "review"] = "rejected"


CHECKS: tuple[Rule, ...] = (
    Rule(parsed.check),
    Rule(length.check),
    Rule(evidence.check),
    Rule(grounding.check),
    Rule(leak.check),
    Rule(answer_type.check),
    Rule(standalone.check),
    Rule(repetition.check),
    Rule(boilerplate.check),
    Rule(novelty.check),
    Rule(contamination.check),
    Rule(evaluation_overlap.check, failure="review"),
)
