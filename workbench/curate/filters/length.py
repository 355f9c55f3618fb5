"""`length`: shorter or longer than wanted.

    min_answer_chars 3, assistant: "7"                             ->  drop  too_short: 1 character, at least 3 wanted
    max_words 2000, a document of 2,417 words                       ->  drop  too_long: 2417 words, at most 2000 wanted
    user: "Write an essay about bees."   assistant: "Bees fly."     ->  flag  short_answer
    assistant: ""                                                  ->  nothing here: `empty_output` says it
    user: "Positive or negative?"        assistant: "positive"      ->  nothing

A short answer is not a bad one: labels and extracted words are right. By default no answer is too short (a blank one is
`empty_output`; where that filter is left out, it is too short), no record is too long (`tokens` says what training
would cut), and few words are noted only where the task asks for many.
"""

from __future__ import annotations

import re

from workbench.core.curation import CurateConfig
from workbench.curate.filters.contract import Filter, Subject, Verdict
from workbench.curate.filters.wording import any_of

_ASKS_FOR_MANY = re.compile(
    r"(?:\A|[.!?\n] ?|\b(?:please|can you|could you) )(?:write|compose|draft|create|generate|tell)(?: me)? "
    r"(?:an?|the|your|two|three) (?:[\w-]+ ){0,3}"
    + any_of("essay story article report letter e-?mail paragraph blog poem speech script song lyrics tutorial guide")
    + r"\b|(?:\A|[.!?\n] ?)(?:explain|describe|discuss|elaborate)\b.{0,80}"
    r"\b(?:in detail|detailed|step[- ]by[- ]step|thoroughly|at length)\b",
    re.IGNORECASE,
)
_ASKING_STEMS = ("write", "compose", "draft", "create", "generate", "tell", "detail", "step", "thorough", "at length")
_ASKS_FOR_FEW = re.compile(
    r"\b(?:one|two|three|a|single|few|[1-5])[- ](?:word|sentence|line|character|letter|phrase|number)s?\b"
    r"|\b(?:brief\w*|short\w*|concise\w*|title|name|headline|label|classif\w+"
    r"|yes or no|true or false|haiku|which|option)\b",
    re.IGNORECASE,
)
_ASKED_WITHIN = 300
"""Characters at both ends of a question in which the task stands."""
_FEW_WORDS = 4
_FEW_CHARACTERS = 40


def check(subject: Subject, config: CurateConfig) -> list[Verdict]:
    """Drops answers under `min_answer_chars` characters and records over `max_words` words; flags answers that are
    short for their task."""
    verdicts = []
    answer = subject.answer if len(subject.answer) > 1000 else subject.answer.strip()
    is_said_elsewhere = not answer and (config.filters is None or "empty_output" in config.filters)
    if len(answer) < config.min_answer_chars and not subject.calls_tools and not is_said_elsewhere:
        characters = f"{len(answer)} {'character' if len(answer) == 1 else 'characters'}"
        verdicts.append(Verdict("too_short", "drop", f"{characters}, at least {config.min_answer_chars} wanted"))
    if 0 < len(answer) < _FEW_CHARACTERS and _is_short_for_its_task(subject, answer):
        words = len(answer.split())
        counted = "1 word" if words == 1 else f"{words} words"
        verdicts.append(Verdict("short_answer", "flag", f"{counted} where many were asked for"))
    if config.max_words is not None and subject.length > config.max_words:
        verdicts.append(Verdict("too_long", "drop", f"{subject.length} words, at most {config.max_words} wanted"))
    return verdicts


def _is_short_for_its_task(subject: Subject, answer: str) -> bool:
    if subject.question is None or subject.calls_tools or not answer.isascii() or len(answer.split()) > _FEW_WORDS:
        return False
    task = subject.question
    if len(task) > 2 * _ASKED_WITHIN:
        task = f"{task[:_ASKED_WITHIN]}\n{task[-_ASKED_WITHIN:]}"
    lowered = task.lower()
    if not any(stem in lowered for stem in _ASKING_STEMS):
        return False
    return bool(_ASKS_FOR_MANY.search(task)) and not _ASKS_FOR_FEW.search(task)


FILTER = Filter("length", ("too_short", "too_long", "short_answer"), check)
