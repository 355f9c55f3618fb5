"""`ai_boilerplate`: another assistant speaks about itself.

    assistant: "As an AI language model, I have no opinion, but ..."   ->  flag  ai_boilerplate
    assistant: "As an AI researcher, she ..."                         ->  nothing
    user: "Are you a human?"  assistant: "No, as an AI, I ..."         ->  nothing: that was the question
"""

from __future__ import annotations

import re

from workbench.core.curation import CurateConfig
from workbench.curate.filters.contract import Filter, Subject, Verdict
from workbench.curate.filters.wording import any_of

_KIND = any_of("ai artificial~intelligence language~model assistant chatbot")
_MAKERS = any_of("openai anthropic google meta microsoft")
_PHRASES = (
    rf"\bas an? (?:{any_of('advanced helpful large text-based open-source ai-powered ai-based')} )*{_KIND}"
    r"(?: (?:language model|assistant|model|chatbot|system|program))?(?: (?:developed|created|trained|made|built) by"
    r" [\w .]{1,40})?(?:, (?=i|my|we)| i (?:do|can|am|have|don|cannot|lack)\b)",
    r"\bas a (?:large )?language model\b",
    r"\bi(?: a|['’])m (?:just |only |simply )?an? (?:(?:large )?language model|ai (?:language )?model|ai assistant)\b",
    r"\bmy (?:knowledge|training)(?: data)? (?:cut-?off|was last updated|only goes)",
    r"\bas of my (?:last|latest|knowledge|most recent) (?:update|training|knowledge|cut-?off|data)",
    rf"\bi was (?:trained|developed|created) by {_MAKERS}",
    r"\bi(?: a|['’])m (?:chatgpt|gpt-?[34]\w*|claude|bard|gemini)\b",
    r"(?:作为|身为)(?:一个|一名|一款)?(?:ai|人工智能|大?型?语言模型|智能助手|虚拟助手)",
    r"我是(?:一个|一款)?(?:ai|人工智能)?(?:语言模型|大模型)",
    r"\bals (?:ein )?ki(?:-sprachmodell|-assistent|-modell)?\b(?=.{0,20}\bich\b)",
    r"\ben tant qu['e’ ]+(?:ia|intelligence artificielle|modèle de langage)",
    r"\bcomo (?:una? )?(?:ia|inteligencia artificial|modelo de (?:lenguaje|linguagem))\b",
    r"\bкак (?:языковая модель|искусственный интеллект|ии)\b",
    r"\bcome (?:modello linguistico|intelligenza artificiale)\b",
    r"(?:ai|言語モデル|人工知能)(?:アシスタント)?(?:として|なので)",
    r"(?:ai|인공지능|언어 모델)(?: 언어 모델)?로서",
)
_PHRASE = re.compile("|".join(_PHRASES))
_STEMS = (
    *("an ai ", "as an a", "as a large", "as a language", "as a help", "language model", "as of my ", "my knowledge"),
    *("my training", " by openai", " by anthropic", " by google", " by meta", " by microsoft"),
    *("chatgpt", "gpt-", "claude", " bard", "gemini", "als ki", "als ein ki", "en tant qu", "como ", "come mod"),
)
_OTHER_STEMS = (
    *("作为", "身为", "语言模型", "大模型", "как ", "として", "なので", "로서"),
)
_ASKED = re.compile(
    r"\b(?:who|what) (?:are|r) (?:you|u)\b|\byour name\b|\byourself\b"
    r"|\bwho (?:made|created|built|developed|trained) you"
    rf"|\bare you (?:an? |really |the )?{any_of('ai human robot bot real person machine chatgpt gpt computer alive')}"
    r"|\bare you (?:based|trained|powered|made|built|developed|created)\b"
    r"|\bas an ai\b|\blanguage model|\bchatgpt|\bopenai"
    rf"|\b{any_of('role act acting imagine pretend play you~are perspective letter story scene character')}\b"
    r"[^.\n]{0,80}\b(?:ai|artificial intelligence|robot)\b"
    r"|你是谁|你是(?:一个)?(?:人|机器|什么)|你叫什么|介绍(?:一下)?(?:你)?自己",
    re.IGNORECASE,
)


def check(subject: Subject, config: CurateConfig) -> list[Verdict]:
    """Flags answers in which an assistant speaks about being one, unless it was asked about itself."""
    if subject.record.kind == "document" or not _may_speak_of_itself(subject.answer_lowered):
        return []
    found = _PHRASE.search(subject.answer_lowered)
    if found is None or _ASKED.search(subject.question or ""):
        return []
    return [Verdict("ai_boilerplate", "flag", f"{found.group().strip(' ,')!r} in the answer")]


def _may_speak_of_itself(answer: str) -> bool:
    if any(stem in answer for stem in _STEMS):
        return True
    return not answer.isascii() and any(stem in answer for stem in _OTHER_STEMS)


FILTER = Filter("ai_boilerplate", ("ai_boilerplate",), check)
