"""`special_tokens`: a model's control tokens, written out in the text.

    assistant: "Lima.<|endoftext|>"                          ->  repair  edge_special_token: "Lima."
    assistant: "Lima.<|im_end|>\\n<|im_start|>user\\nAnd?"     ->  drop    special_token_in_text
    user: "What does <|endoftext|> do in GPT-2?"             ->  nothing: the tokens are the topic
    "Write `<|im_end|>` at the end of a turn."               ->  nothing: quoted as code

At the ends of what the assistant says, and of documents, they are cut off. `<s>` and `</s>` count only where they are
not the two halves of HTML that is struck through. `<unk>` stands for a word that a corpus left out: flagged.
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
_OTHER_HTML = re.compile(r"</(?:p|b|i|u|div|span|a|li|ul|ol|td|tr|del|em|strong|body|html|h[1-6])>", re.IGNORECASE)


def check(subject: Subject, config: CurateConfig) -> list[Verdict]:
    """Drops control tokens left inside any text, unless they are its topic or stand in code."""
    whole = subject.whole
    if not _may_hold_tokens(whole):
        return []
    verdicts = []
    for text in subject.texts:
        if (token := _first_token(without_code(text))) and not _is_topic(subject):
            verdicts.append(Verdict("special_token_in_text", "drop", f"{token} inside the text"))
            break
    if not verdicts and "<unk>" in whole and not _is_topic(subject):
        verdicts.append(Verdict("special_token_in_text", "flag", "<unk> inside the text: a word was left out"))
    return verdicts


def repair(record: Record, config: CurateConfig) -> list[Repair]:
    """Control tokens at the ends of what the assistant says are cut off, unless the prompt asks about such tokens."""
    cut: list[str] = []

    def without_edges(text: str) -> str:
        if not _may_hold_tokens(text):
            return text
        start, end = _inner(text)
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


def _inner(text: str) -> tuple[int, int]:
    """Start and end of what stands between the tokens at the ends: walks inwards, linear in the text."""
    found = [token.span() for token in _tokens(text)]
    start, end = 0, len(text)
    for token_start, token_end in found:
        if text[start:token_start].strip():
            break
        start = token_end
    for token_start, token_end in reversed(found):
        if token_start < start or text[token_end:end].strip():
            break
        end = token_start
    return start, end


def _tokens(text: str) -> list[re.Match[str]]:
    """The control tokens of a text, without `<s>` and `</s>` where they are HTML."""
    found = list(_TOKEN.finditer(text))
    spelled = [token.group() for token in found]
    if "<s>" not in spelled and "</s>" not in spelled:
        return found
    around = text.lstrip().startswith("<s>") and text.rstrip().endswith("</s>") and spelled.count("<s>") == 1
    is_pair = "</s>" in spelled and "<s>" in spelled[: spelled.index("</s>")]
    if (around or not is_pair) and not _OTHER_HTML.search(text):
        return found
    return [token for token in found if token.group() not in ("<s>", "</s>")]


def _first_token(text: str) -> str | None:
    return next((token.group() for token in _tokens(text)), None)


def _is_topic(subject: Subject) -> bool:
    spoken_of_in = subject.record.prompt() if subject.record.messages else subject.answer
    return _TOPIC.search(spoken_of_in) is not None


FILTER = Filter("special_tokens", ("special_token_in_text", "edge_special_token"), check, repair)
