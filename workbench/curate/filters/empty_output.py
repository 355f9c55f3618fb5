"""`empty_output`: there is nothing to learn.

    user: "Name a prime."   assistant: ""                             ->  drop  empty_output
    user: "Name a prime."   assistant: "N/A"                          ->  drop  empty_output
    user: "Draw a house."   assistant: "<nooutput> A model cannot."   ->  drop  empty_output
    prompt: "Name a prime."  chosen: "7"  rejected: ""                ->  flag  empty_rejected
    user: "Name a prime."   assistant: "nan"                          ->  flag  empty_output: perhaps a missing value
    user: "Name a prime."   assistant: "7"                            ->  nothing: short is not empty
    user: "The phone number, or N/A?"   assistant: "N/A"              ->  nothing: asked for
    user: "Give me an empty code block."   assistant: "```\\n```"      ->  nothing: asked for
    user: "Weather?"        assistant: "" + a tool call               ->  nothing: the call is the answer
"""

from __future__ import annotations

import re

from workbench.core.curation import CurateConfig
from workbench.curate.filters.contract import Filter, Subject, Verdict

_NOTHING = re.compile(
    r"[<\[({]\s?no[ _-]?(?:out|in)put\s?[>\])}]|[<\[({]\s?(?:empty|no (?:response|answer|content)"
    r"|blank)\s?[>\])}]\s*\Z|[<\[]?(?:无输出|無輸出)[>\]]?\s*\Z",
    re.IGNORECASE,
)
_SAYS_NOTHING = frozenset(
    {"n/a", "n.a", "no output", "nooutput", "no input", "noinput", "not applicable", "no response", "no answer"}
)
_MISSING_VALUE = frozenset({"nan", "null", "undefined", "<na>", "nil"})
_EMPTY_BLOCK = re.compile(r"```\w{0,20}\s*```\s*\Z")
_ASKS_FOR_A_BLOCK = re.compile(r"```|\b(?:empty|blank)\b|\bcode[- ]?(?:block|fence)s?\b|\bfence\b", re.IGNORECASE)
_PRINTS = re.compile(
    r"```|\b(?:print\w*|outputs?|program|script|code|function|command|query|sql|python|java(?:script)?|json|c\+\+"
    r"|value|label|classif\w+|shell|bash)\b",
    re.IGNORECASE,
)
_LONGEST = 24
"""Characters of an answer that may say nothing in so many words."""


def check(subject: Subject, config: CurateConfig) -> list[Verdict]:
    """Drops records whose answer is blank or only says that there is none; flags a blank rejected ending."""
    rejected = subject.record.rejected
    verdicts = [] if subject.calls_tools else _emptiness(subject)
    if rejected and not rejected.content.strip() and not rejected.tool_calls:
        verdicts.append(Verdict("empty_rejected", "flag", "the rejected ending is empty"))
    return verdicts


def _emptiness(subject: Subject) -> list[Verdict]:
    if len(subject.answer) > _LONGEST and subject.answer[0] not in " \t\n<[({`":
        return []
    bare = subject.answer.strip()
    if not bare:
        return [Verdict("empty_output", "drop", "the answer is empty")]
    if _NOTHING.match(bare):
        return [Verdict("empty_output", "drop", f"the answer says only {bare[:60]!r}")]
    if _EMPTY_BLOCK.match(bare):
        if _ASKS_FOR_A_BLOCK.search(subject.record.prompt()):
            return []
        return [Verdict("empty_output", "drop", "the answer is an empty code block")]
    said = bare.lower().rstrip(".!")
    if said not in _SAYS_NOTHING | _MISSING_VALUE:
        return []
    prompt = subject.record.prompt()
    if said in prompt.lower() or (said != "n/a" and _PRINTS.search(prompt)):
        return []
    if said in _MISSING_VALUE:
        return [Verdict("empty_output", "flag", f"the answer says only {bare!r}: perhaps a missing value")]
    return [Verdict("empty_output", "drop", f"the answer says only {bare!r}")]


FILTER = Filter("empty_output", ("empty_output", "empty_rejected"), check)
