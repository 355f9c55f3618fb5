"""`output_equals_prompt`: the answer gives the question back.

    user: "Name three fruits."                  assistant: "Name three fruits."  ->  drop  output_equals_prompt
    user: "Translate to French.\\nGood day to you"  assistant: "Good day to you"  ->  drop  output_equals_prompt
    user: "Correct the grammar.\\nShe sings well"   assistant: "She sings well"   ->  flag  output_equals_prompt
    user: "In capitals, please.\\nGood day to you"  assistant: "GOOD DAY TO YOU"  ->  flag  output_equals_prompt
    user: "Spam? Answer\\nyes or no"               assistant: "no"               ->  nothing: not the whole input

Tasks that may leave their input unchanged (sorting, correcting, repeating), and answers that differ in case or line
breaks, which may have been the task, are flagged for a person.
"""

from __future__ import annotations

import re

from workbench.core.config import CurateConfig
from workbench.core.records import Record
from workbench.curate.filters.contract import Filter, Subject, Verdict
from workbench.text.normalise import normalised

_MAY_CHANGE_NOTHING = re.compile(
    r"\b(sort|order|arrange|rearrange|organi[sz]e|correct|fix|edit|proofread|rewrite|rephrase|paraphrase|format|clean|remove|replace"
    r"|convert|repeat|copy|echo|say|quote|extract|find|identify|select|choose|complete)\b",
    re.IGNORECASE,
)
_SHORTEST_INPUT = 3
"""Words an answer must have to be an input repeated: a question may end in the very label that answers it."""


def check(subject: Subject, config: CurateConfig) -> list[Verdict]:
    """Drops, or flags, answers equal to the last user turn or to its input part."""
    question = _last_user_turn(subject.record)
    if question is None or not subject.answer.strip():
        return []
    repeated = _repeated(question, subject)
    if repeated is None:
        return []
    if task := _MAY_CHANGE_NOTHING.search(question):
        why = f"; the task ({task.group().lower()!r}) may leave it unchanged"
    elif subject.answer.strip() not in question:
        why = ", but for case, spelling of characters or line breaks"
    else:
        return [Verdict("output_equals_prompt", "drop", f"the answer repeats {repeated}")]
    return [Verdict("output_equals_prompt", "flag", f"the answer repeats {repeated}{why}")]


def _repeated(question: str, subject: Subject) -> str | None:
    answer = normalised(subject.answer)
    if answer == normalised(question):
        return "the whole prompt"
    if len(subject.answer_tokens) >= _SHORTEST_INPUT and answer == normalised(_input_part(question)):
        return "the input in the prompt"
    return None


def _last_user_turn(record: Record) -> str | None:
    return next((turn.content for turn in reversed(record.messages) if turn.role == "user"), None)


def _input_part(question: str) -> str:
    """What follows the first line: the input of an instruction with input."""
    return question.strip().partition("\n")[2]


FILTER = Filter("output_equals_prompt", check)
