"""`special_tokens`: a model's control tokens, written out in the text.

    assistant: "Lima.<|endoftext|>"                          ->  repair  edge_special_token: "Lima."
    assistant: "Lima.<|im_end|>\\n<|im_start|>user\\nAnd?"     ->  drop    special_token_in_text
    user: "What does <|endoftext|> do in GPT-2?"             ->  nothing: the tokens are the topic
    "Write `<|im_end|>` at the end of a turn."               ->  nothing: quoted as code

    "<s> Lima.</s>"                                          ->  repair  edge_special_token: "Lima."
    "Use <s> or <del>."  "std::vector<s>"                    ->  nothing: HTML, C++, or spoken of
    "<s>10 EUR</s>"                                          ->  flag    special_token_in_text: struck-out HTML?

At the ends of what the assistant says, and of documents, they are cut off. `<s>` and `</s>`, which are HTML too, count
as `<s>` at the very start, `</s>` at the very end, and where one text ends and the next begins (`</s><s>`); not where
HTML, programs or such tokens are spoken of. `<unk>` stands for a word that a corpus left out: flagged.
"""

from __future__ import annotations

import re

from workbench.core.curation import CurateConfig
from workbench.core.records import Record
from workbench.curate.filters.contract import Filter, Repair, Subject, Verdict, rewritten
from workbench.curate.filters.text_shape import without_code

_TOKEN = re.compile(
    r"<\|/?[A-Za-z][A-Za-z0-9_]{0,40}\|>|<｜[^<>｜\s]{1,40}｜>|<(?:start|end)_of_(?:turn|image)>|<(?:bos|eos|pad)>"
    r"|\[/?INST\]|<</?SYS>>|</?s>|\[(?:/?(?:AVAILABLE_TOOLS|TOOL_RESULTS|SYSTEM_PROMPT)|TOOL_CALLS)\]"
)
_TOPIC = re.compile(
    r"\b(?:special|control|stop|eos|bos|pad|sep|mask|start|end|end[- ]of[- ](?:text|sequence|turn|sentence)|padding"
    r"|separator|chat)[- _]tokens?\b"
    r"|\btokeni[sz]\w*|\bchatml\b|\bchat templates?\b|\bprompt (?:format|template|injection)s?\b|\bdelimiters?\b"
    r"|\bjailbreak"
    r"|\b(?:what|why|how|which|explain|describe|meaning of|purpose of)\b[^\n?.!]{0,80}(?:<\||<｜|\[/?INST|<</?SYS"
    r"|</?s>|_of_turn>|<[be]os>|<pad>|<unk>)",
    re.IGNORECASE,
)
_OF_SEQUENCE = ("<s>", "</s>")
_NO_SEQUENCE = re.compile(
    r"</?(?:p|b|i|u|div|span|a|li|ul|ol|td|tr|del|em|strong|body|html|h[1-6])\b[^<>]{0,200}>"
    r"|\b(?:html|css|xml|markup|markdown|tags?|strik(?:e|es|ing)|struck|strikethrough|crossed|cross(?:ing)? out|tokens?"
    r"|tokeni[sz]\w+|(?-i:(?:Ro|Al|AL|De|Distil|m)?BERT\w*)|durchgestrichen\w*|barrée?s?|tachad[oa]s?)(?!\w)",
    re.IGNORECASE,
)
"""Where this is in a record, `<s>` and `</s>` are not taken for ends of a sequence."""
_PROGRAMS = re.compile(r"\b(?:c\+\+|rust|java|typescript|generics?|templates?)(?!\w)", re.IGNORECASE)
"""Where this is, `<s>` is not."""
_NEXT_SEQUENCE = re.compile(r"</s>\s{0,8}<s>")


def check(subject: Subject, config: CurateConfig) -> list[Verdict]:
    """Drops control tokens left inside any text, unless they are its topic or stand in code."""
    whole = subject.whole
    if not _may_hold_tokens(whole):
        return []
    found = [token for text in subject.texts if (token := _first_token(without_code(text), whole))]
    if found and not _is_topic(subject):
        return [Verdict("special_token_in_text", "drop", f"{found[0]} inside the text")]
    if "<unk>" in whole and not _is_topic(subject):
        return [Verdict("special_token_in_text", "flag", "<unk> inside the text: a word was left out")]
    if "<s>" in subject.answer and _is_struck_out(subject.answer) and not _NO_SEQUENCE.search(whole):
        return [Verdict("special_token_in_text", "flag", "<s> and </s> around the answer: tokens, or struck-out HTML")]
    return []


def repair(record: Record, config: CurateConfig) -> list[Repair]:
    """Control tokens at the ends of what the assistant says are cut off, unless the prompt asks about such tokens."""
    cut: list[str] = []
    asked = "\n".join(turn.content for turn in record.messages if turn.role != "assistant")

    def without_edges(text: str) -> str:
        if not _may_hold_tokens(text):
            return text
        start, end = _inner(text, f"{asked}\n{text}")
        if (start, end) == (0, len(text)):
            return text
        cut.extend(_TOKEN.findall(text[:start] + text[end:]))
        return text[start:end].strip()

    repaired = rewritten(record, without_edges, roles=("assistant",))
    if repaired is record or any(_TOPIC.search(turn.content) for turn in record.messages if turn.role == "user"):
        return []
    named = ", ".join(dict.fromkeys(cut[:20]))
    return [Repair(repaired, "edge_special_token", f"cut {named} off the ends")]


def _may_hold_tokens(text: str) -> bool:
    return "<" in text or "[" in text


def _inner(text: str, said: str) -> tuple[int, int]:
    """Start and end of what stands between the tokens at the ends: walks inwards, linear in the text."""
    found = list(_TOKEN.finditer(text))
    if _may_be_markup(text, said):
        found = [token for token in found if token.group() not in _OF_SEQUENCE]
    start, end = 0, len(text)
    for token in found:
        if text[start : token.start()].strip() or token.group() == "</s>":
            break
        start = token.end()
    for token in reversed(found):
        if token.start() < start or text[token.end() : end].strip() or token.group() == "<s>":
            break
        end = token.start()
    return start, end


def _may_be_markup(text: str, said: str) -> bool:
    """Whether `<s>` and `</s>` in a text may be HTML or a program; `said` is everything in the record."""
    opened = "<s>" in text
    if not opened and "</s>" not in text:
        return False
    return _is_struck_out(text) or bool(_NO_SEQUENCE.search(said) or (opened and _PROGRAMS.search(said)))


def _is_struck_out(text: str) -> bool:
    """Whether `<s>` opens what a later `</s>` closes; a tokenizer puts a space behind a `<s>` at the very start."""
    opened = text.find("<s>")
    begins = not text[:opened].strip() and text.startswith(" ", opened + len("<s>"))
    return 0 <= opened < text.find("</s>") and not begins


def _first_token(text: str, said: str) -> str | None:
    """The first control token inside a text; `said` is everything in the record."""
    inside = (token.group() for token in _TOKEN.finditer(text) if token.group() not in _OF_SEQUENCE)
    if token := next(inside, None):
        return token
    is_between = not _is_struck_out(text) and _NEXT_SEQUENCE.search(text) is not None
    return "</s>" if is_between and not (_NO_SEQUENCE.search(said) or _PROGRAMS.search(said)) else None


def _is_topic(subject: Subject) -> bool:
    spoken_of_in = subject.record.prompt() if subject.record.messages else subject.answer
    return _TOPIC.search(spoken_of_in) is not None


FILTER = Filter("special_tokens", ("special_token_in_text", "edge_special_token"), check, repair)
