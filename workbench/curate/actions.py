"""What a reason does to a row: what its filter says, unless `curate.actions` says otherwise or a person took it back.

    curate: {actions: {refusal: drop, repetition: flag, mojibake: off}}

    refusal     flag by default     ->  drop
    repetition  drop by default     ->  flag
    mojibake    repair by default   ->  nothing is done, and nothing is said
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from workbench.core.curation import CurateConfig
from workbench.core.errors import UsageError
from workbench.curate import decontaminate, ifd, rating, semantic, tokens
from workbench.curate.filters.registry import all_reasons

Action = Literal["drop", "flag", "repair"]

EXACT, NEAR = "exact_duplicate", "near_duplicate"
_SAID_OF_RESTORED = "; kept, because a person took it back"


@dataclass(frozen=True, slots=True)
class Said:
    """One finding about a row, before it has its row."""

    filter: str
    reason: str
    action: Action
    detail: str
    saved: bool = False
    """Whether it would have dropped the row, had nobody taken it back."""


@dataclass(frozen=True, slots=True)
class Actions:
    """`curate.actions`, applied."""

    overrides: Mapping[str, Literal["drop", "flag", "off"]]

    def of(self, reason: str, default: Action) -> Action | None:
        """What the reason does; None if it is switched off."""
        chosen = self.overrides.get(reason, default)
        return None if chosen == "off" else chosen

    def said(self, name: str, reason: str, default: Action, detail: str, *, restored: bool) -> Said | None:
        """The finding of filter `name` about a row; None if its reason is switched off."""
        action = self.of(reason, default)
        if action is None:
            return None
        if restored and action == "drop":
            return Said(name, reason, "flag", detail + _SAID_OF_RESTORED, saved=True)
        return Said(name, reason, action, detail)


def known_reasons() -> frozenset[str]:
    """Every reason code that curation may give."""
    own = {EXACT, NEAR}
    return all_reasons().union(own, *(part.REASONS for part in (decontaminate, tokens, ifd, rating, semantic)))


def check_actions(config: CurateConfig) -> None:
    """UsageError for a reason that nothing gives."""
    known = known_reasons()
    for reason in config.actions:
        if reason not in known:
            close = difflib.get_close_matches(reason, sorted(known), n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"known reasons: {', '.join(sorted(known))}"
            raise UsageError(f"unknown reason {reason!r}; {hint}", where="curate.actions")
