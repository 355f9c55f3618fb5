"""How each state looks and what it means: a glyph and a word beside every colour.

An effect inside the noise is neutral: only `improved` and `regressed` have a colour of their own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from workbench.core.results import RunState, SuiteState

Tone = Literal["good", "bad", "open", "neutral"]


@dataclass(frozen=True, slots=True)
class Look:
    """Glyph, colour class and meaning of a state."""

    label: str
    glyph: str
    tone: Tone
    meaning: str


SUITE_STATES: dict[SuiteState, Look] = {
    "improved": Look(
        "improved", "▲", "good", "The gain is above zero, also after Holm's correction over all primary suites."
    ),
    "non-inferior": Look(
        "non-inferior", "≈", "neutral", "The whole interval lies above −margin: whatever was lost does not matter."
    ),
    "inconclusive": Look(
        "inconclusive",
        "?",
        "open",
        "The interval reaches below −margin but not only there: harm is neither shown nor excluded.",
    ),
    "regressed": Look(
        "regressed", "▼", "bad", "The whole interval lies below −margin, or a hard limit is broken: something was lost."
    ),
    "not informative": Look(
        "not informative",
        "○",
        "neutral",
        "The base scores like guessing, or so high that nothing can be gained: the suite is shown and decides nothing.",
    ),
    "not comparable": Look(
        "not comparable",
        "×",
        "open",
        "The arms were scored under different conditions, or too many documents failed: no number is to be believed.",
    ),
}

RUN_STATES: dict[RunState, Look] = {
    "passed": Look("Passed", "✓", "good", "Every gated suite is improved or non-inferior."),
    "regressed": Look("Regressed", "▼", "bad", "At least one gated suite regressed."),
    "inconclusive": Look("Inconclusive", "?", "open", "No gated suite regressed, and at least one leaves harm open."),
    "not comparable": Look("Not comparable", "×", "open", "The arms, or a gated suite, cannot be compared."),
}

NOTHING_CHANGED = Look("nothing changed", "=", "neutral", "Every document that was scored is the same to the last bit.")

PURPOSES: dict[str, tuple[str, str]] = {
    "sham": ("Sham adapter", "An adapter of zeros. It must change nothing, or the comparison itself is broken."),
    "noise": ("A/A noise", "The base against itself in another batch order: how many flips mean nothing."),
    "quantisation": (
        "Quantisation",
        "The published base against its quantised self: what is lost before any training.",
    ),
    "prompt": ("Prompt only", "A system prompt in place of training."),
    "export": ("Exported model", "What is shipped against what was trained: merging and formats must lose nothing."),
    "other": ("Further pair", "Compared besides, and not part of the verdict."),
    "candidate": ("Candidate", "The pair that decides."),
}
"""Purpose of a pair: its title and what to expect of it."""
