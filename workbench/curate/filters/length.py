"""`length`: too short to be an answer, or too long to be learned from.

    min_answer_chars 3, assistant: "7"        ->  drop  too_short: 1 character, at least 3 wanted
    max_words 2000, a document of 2,417 words  ->  drop  too_long: 2417 words, at most 2000 wanted

Short answers are the right ones in classification and extraction: by default only blank ones are too short.
"""

from __future__ import annotations

from workbench.core.config import CurateConfig
from workbench.curate.filters.contract import Filter, Subject, Verdict


def check(subject: Subject, config: CurateConfig) -> list[Verdict]:
    """Drops answers under `min_answer_chars` characters and records over `max_words` words."""
    verdicts = []
    characters = len(subject.answer.strip())
    if characters < config.min_answer_chars and not subject.calls_tools:
        unit = "character" if characters == 1 else "characters"
        detail = f"{characters} {unit}, at least {config.min_answer_chars} wanted"
        verdicts.append(Verdict("too_short", "drop", detail))
    if subject.length > config.max_words:
        verdicts.append(Verdict("too_long", "drop", f"{subject.length} words, at most {config.max_words} wanted"))
    return verdicts


FILTER = Filter("length", check)
