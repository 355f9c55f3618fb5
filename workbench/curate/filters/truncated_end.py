"""`truncated_end`: the answer breaks off in the middle of a sentence.

    assistant: "The Amazon rises in Peru. It is fed by more than a thousand tributaries and flows through the"
        ->  flag  truncated_end
    assistant: "Lima", "1. Apples\\n2. Pears", a poem, a table, code, a title, "Best regards,\\nAnna"   ->  nothing

Only prose tells: the last line must be long or hold a finished sentence, and end without a mark. In a list, only a last
word that cannot end anything (the, and, of) tells. Scripts without full stops tell nothing, nor does what the prompt
holds word for word, nor a review, a message or a chat: few people end those in a full stop.
"""

from __future__ import annotations

import re

from workbench.core.curation import CurateConfig
from workbench.curate.filters.contract import Filter, Subject, Verdict
from workbench.curate.filters.text_shape import is_list_item, shape
from workbench.curate.filters.wording import any_of

_BREAKS_OFF = re.compile(r"(?:[^\W_]|[,;(\[{“‘«—–-])\Z")
_SENTENCE_INSIDE = re.compile(
    r"[a-z\u00df-\u024f\u0400-\u04ff)\"”’»][.!?…][\"”’»)]{0,2} +[\"“‘«(]?[^\W\d_]|[。！？]"
)
_GOES_ON = re.compile(
    r"(?:\b(?:the|an|and|or|of|because|which|whose|its|their|your|my|les|des|und|oder|der|die|das|los|las)|[,(\[{“])\Z",
    re.IGNORECASE,
)
_ENDS_OTHERWISE = re.compile(r"(?:https?://\S+|www\.\S+|# ?\w+|@\w+|\S+@\S+|\*\*|</\w+>|\b\d[\d.,]*)\Z")
_SIGNED = re.compile(
    r"(?:[.!?…\"”’»)]\s{0,4}(?:[-–—~]\s?(?=[^\W\d_])|"
    + any_of(
        """
        yours sincerely regards best kind warm love cheers thanks thank~you respectfully signed faithfully cordially
        with~(?:love|respect|hope|gratitude|best|kind|warm) your~(?:friend|servant)
        """
    )
    + r"\b)(?:[^.!?]|\b(?:[a-z]|dr|mr|mrs|ms|prof|st|jr)\.){0,60}|\n[^\n]{0,59})\Z",
    re.IGNORECASE,
)
_INFORMAL = re.compile(
    r"\b(?:reviews?|tweets?|comments?|captions?|messages?|dialog\w*|chats?|posts?|texting|headlines?|slogans?)\b",
    re.IGNORECASE,
)
_UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]")
_SHORTEST = 60
"""Characters of a last line that can tell."""


def check(subject: Subject, config: CurateConfig) -> list[Verdict]:
    """Flags answers, not documents, that end without an end."""
    if subject.record.kind == "document" or subject.calls_tools:
        return []
    answer = subject.answer.rstrip()
    if len(answer) < _SHORTEST or not _BREAKS_OFF.search(answer[-1:]):
        return []
    last = answer[answer.rfind("\n") + 1 :].strip()
    if not _breaks_off(last) or shape(answer) in ("code", "table", "verse"):
        return []
    prompt = subject.record.prompt()
    if answer in prompt or _INFORMAL.search(prompt):
        return []
    return [Verdict("truncated_end", "flag", f"ends in {last[-40:]!r}")]


def _breaks_off(last: str) -> bool:
    end = last[-300:]
    if len(last) < _SHORTEST or _ENDS_OTHERWISE.search(end) or _SIGNED.search(end) or _UNSPACED.search(last[-40:]):
        return False
    if is_list_item(last) or "|" in last:
        return bool(_GOES_ON.search(last[-20:])) and last[-1] != ","
    return bool(_SENTENCE_INSIDE.search(last)) or bool(_GOES_ON.search(last[-20:]))


FILTER = Filter("truncated_end", ("truncated_end",), check)
