"""`refusal`: the answer declines.

    assistant: "I'm sorry, but I can't help with that."         ->  flag  refusal
    assistant: "I cannot believe how good this is!"             ->  nothing
    assistant: "I'm sorry for your loss."                       ->  nothing
    assistant: "Say: \"I'm sorry, but I can't help with that.\""   ->  nothing: quoted

Only the beginning of an answer is looked at. Refusals are flagged and never dropped: about one in seven of the answers
in tool-call data refuses rightly, because no tool for it was given.
"""

from __future__ import annotations

import re

from workbench.core.curation import CurateConfig
from workbench.curate.filters.contract import Filter, Subject, Verdict
from workbench.curate.filters.wording import any_of

_HEAD = 300
"""Characters in which a refusal begins."""
_WILL_NOT = any_of(
    """
    can(?:not|['’]t|~not) could(?:n['’]t|~not) won['’]t(?:~be~able~to)? will~not(?:~be~able~to)?
    (?:am|['’]m)~(?:currently~)?(?:unable|incapable|not~(?:able|capable|allowed|permitted|comfortable))(?:~to|~of)?
    must~(?:decline|refuse) have~to~decline refuse~to decline~to
    """
)
_HAVE_NOT = r"do(?:n['’]t| not) (?:currently )?(?:have|possess) (?:\w+ ){0,2}" + any_of(
    r"""
    abilit\w+ capabilit\w+ capacity access information data permission means feelings emotions opinions preferences
    experiences functions? functionality
    """
)
_HOW = any_of(
    "directly currently actually really personally physically ethically legally be~able~to in~good~conscience"
)
_DO = any_of(
    r"""
    access\w* answer\w* assist\w* book\w* brows\w+ call\w* cancel\w* complet\w+ compl(?:y|ying) condon\w+ connect\w*
    continu\w+ creat\w+ determine discuss\w* display\w* do download\w* draw\w* endors\w+ engag\w+ estimat\w+ execut\w+
    find fulfil\w* generat\w+ giv(?:e|ing) help\w* identify interact\w* mak\w+ offer\w* open order\w* participat\w+ pay
    perform\w* play\w* predict\w* process\w* produc\w+ promot\w+ provid\w+ recommend\w* respond\w* retriev\w+
    schedul\w+ search\w* see send\w* set shar\w+ support\w* tell track\w* translat\w+ update\w* verify view\w* writ\w+
    that this such personal
    """
)
_CANNOT = (
    rf"(?:i|we) ?(?:currently |also |still |just )?(?:{_WILL_NOT} (?:to )?(?:{_HOW} )*{_DO}|{_HAVE_NOT})\b"
)
_ASKED_OF_IT = any_of("that this you request content information such any illegal harmful the access")
_REGRETS = (
    r"(?:(?:very |really |so |deeply |terribly )?(?:sorry|afraid|apologi[sz]e[^.!?\n]{0,60})|unfortunately|regrettably"
    r"|my apologies|(?:i am|i['’]m|as) (?:just )?an? (?:ai|artificial|large language|language)[^.!?\n,]{0,50}"
    r"|however|but)"
)
_PHRASES = (
    rf"{_REGRETS}[,.!]? ?(?:but |and |that |as an? [^.!?\n,]{{1,50}}, |however,? )*(?:at this time,? )?{_CANNOT}",
    rf"\A{_CANNOT}(?=[^.!?\n]{{0,60}}\b{_ASKED_OF_IT}\b)",
    r"\Ai(?: a|['’])m (?:sorry|afraid)[,.]? (?:but )?(?:that|this|it) (?:request )?"
    r"(?:is(?:n['’]t| not)|goes against|violates) ",
    r"it(?: is|['’]s) not (?:appropriate|ethical|possible) (?:for me )?"
    r"to (?:provide|assist|help|generate|create|share|write)",
    r"goes against my (?:programming|guidelines|ethical)",
    r"(?:抱歉|对不起|對不起|不好意思|遗憾)[^。!?\n]{0,30}(?:无法|不能|不可以|没有办法|沒有辦法|無法|没有能力)",
    r"(?:作为|由于我是)(?:一个|一名)?(?:ai|人工智能|语言模型)[^。\n]{0,30}(?:无法|不能)",
    r"\A我(?:无法|不能)(?:访问|查看|提供|回答|帮助|协助|满足|生成|完成)",
    r"es tut mir leid[^.!\n]{0,40}(?:kann ich|ich kann)[^.!\n]{0,80}(?:nicht|keine)\b",
    r"je suis désolée?[^.!\n]{0,40}je ne peux pas|je ne peux pas (?:vous aider|répondre|fournir)",
    r"lo siento[^.!\n]{0,40}no puedo|no puedo (?:ayudar|proporcionar|cumplir)",
    r"desculpe[^.!\n]{0,40}não posso|mi dispiace[^.!\n]{0,40}non posso",
    r"к сожалению, я не могу|извините[^.!\n]{0,40}я не могу",
    r"申し訳(?:ありません|ございません)[^。\n]{0,60}(?:できません|できかねます)",
    r"죄송(?:합니다|하지만)[^.\n]{0,60}(?:없습니다|수 없)",
)
_REFUSES = re.compile("|".join(_PHRASES))
_STEMS = (
    *("sorry", "afraid", "apolog", "unfortunately", "regret", "cannot", "can't", "can’t", "can not", "unable"),
    *("not able", "as an a", "decline", "refuse", "won't", "won’t", "not appropriate", "not ethical"),
    *("not possible", "goes against", "do not have", "don't have", "don’t have"),
    *("tut mir leid", "peux pas", "no puedo", "non posso"),
)
_OTHER_STEMS = (
    *("抱歉", "对不起", "對不起", "不好意思", "遗憾", "作为", "由于我是", "我无法", "我不能"),
    *("não posso", "не могу", "申し訳", "죄송"),
)


def check(subject: Subject, config: CurateConfig) -> list[Verdict]:
    """Flags answers that begin with a refusal."""
    said = refused(subject)
    return [Verdict("refusal", "flag", f"{said!r} in the answer")] if said else []


def refused(subject: Subject) -> str | None:
    """How the answer refuses; None if it does not, and for documents."""
    if subject.record.kind == "document":
        return None
    head = subject.answer[:_HEAD].lstrip().lower()
    may_refuse = any(stem in head for stem in _STEMS)
    if not may_refuse and (head.isascii() or not any(stem in head for stem in _OTHER_STEMS)):
        return None
    found = next((found for found in _REFUSES.finditer(head) if not _is_quoted(head[: found.start()])), None)
    return found.group()[:80].strip(" ,.") if found else None


def _is_quoted(before: str) -> bool:
    """Whether a quotation is open after `before`, which has said something outside of it."""
    if before.count('"') % 2:
        return bool(before[: before.rindex('"')].strip())
    opened = max(before.rfind(mark) for mark in "“„«「『")
    is_open = max(before.rfind(mark, opened + 1) for mark in "”»」』“") < 0
    return opened > 0 and is_open and bool(before[:opened].strip())


FILTER = Filter("refusal", ("refusal",), check)
