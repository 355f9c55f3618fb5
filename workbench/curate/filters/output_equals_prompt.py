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

from workbench.core.curation import CurateConfig
from workbench.curate.filters.contract import Filter, Subject, Verdict
from workbench.text.normalise import same_text

_MAY_CHANGE_NOTHING = re.compile(
    r"\b(sort|order|arrange|rearrange|organi[sz]e|correct|fix|edit|proofread|rewrite|rephrase|paraphrase|format|clean"
    r"|remove|replace"
    r"|convert|repeat|copy|echo|say|quote|extract|find|identify|select|choose|complete|match|pair|add|insert"
    r"|capitali[sz]e|punctuate"
    r"|check|ensure|make sure|simplify|shorten|sortiere?n?|korrigieren?|corrige\w*|corrija\w*|trie[rz]?|ordena\w*"
    r"|répéte\w*|repite)\b"
    r"|排序|排列|整理|改正|纠正|修改|更正|校对|重写|改写|插入|添加|标点|选择|找出|识别|提取|删除|去除|替换|复制|重复|转换|简化|匹配|补全|完成",
    re.IGNORECASE,
)
_SHORTEST_INPUT = 3
"""Words an answer must have to be an input repeated: a question may end in the very label that answers it."""


def check(subject: Subject, config: CurateConfig) -> list[Verdict]:
    """Drops, or flags, answers equal to the last user turn or to its input part."""
    question = subject.question
    if question is None or not _may_repeat(question, subject.answer):
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
    answer = same_text(subject.answer)
    if answer == same_text(question):
        return "the whole prompt"
    if len(subject.answer_tokens) >= _SHORTEST_INPUT and answer == same_text(_input_part(question)):
        return "the input in the prompt"
    return None


def _may_repeat(question: str, answer: str) -> bool:
    """Whether the two end in the same word, and begin alike: for ASCII, where only case and space can differ, that
    settles most rows at once."""
    question, answer = question.strip(), answer.strip()
    if not answer or not question.isascii() or not answer.isascii():
        return bool(answer)
    if question[-40:].lower().split()[-1:] != answer[-40:].lower().split()[-1:]:
        return False
    first = answer[0].lower()
    return first in (question[:1].lower(), _input_part(question).lstrip()[:1].lower())


def _input_part(question: str) -> str:
    """What follows the first line: the input of an instruction with input."""
    return question.strip().partition("\n")[2]


FILTER = Filter("output_equals_prompt", ("output_equals_prompt",), check)
