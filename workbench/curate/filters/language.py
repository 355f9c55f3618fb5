"""`language`: the answer is in another language than the prompt, or in one that is not allowed.

    user: "How do I bake bread at home?"    assistant: "Zuerst mischt man Mehl, Wasser, Hefe und Salz."
        ->  flag  language_mismatch: the prompt is in en (0.97), the answer in de (0.95)
    user: "Say it in German: good evening to all of you"  assistant: "Guten Abend euch allen zusammen"  ->  nothing
    language: {allowed: [en]}
        ->  flag or drop  language_not_allowed: the answer is in de (0.95); allowed: en

Both languages must be clear: short texts, code and numbers have none, and languages that are easily taken for one
another count as the same. A task that translates, or names a language, may be answered in any.
"""

from __future__ import annotations

import re

from workbench.core.curation import CurateConfig
from workbench.core.records import Record
from workbench.curate.filters.contract import Filter, Subject, Verdict
from workbench.text.language import Language, identify

MISMATCH, NOT_ALLOWED = "language_mismatch", "language_not_allowed"

_CLEAR = 0.7
"""Probability from which a language is taken for certain."""
_ALIKE = tuple(
    frozenset(codes.split())
    for codes in (
        "hr bs sr sl mk", "id ms jv su", "no nn nb da sv", "cs sk", "es gl pt ca an oc", "ru uk be bg", "af nl",
        "hi mr ne sa", "az tr tk", "zu xh st", "fa ur ps ar", "bn as",
    )
)  # fmt: skip
"""Languages that are easily taken for one another."""
_SAME = dict.fromkeys(("nb", "nn", "no"), ("nb", "nn", "no"))
"""Norwegian has a code of its own and one for each way of writing it."""
_ANOTHER_LANGUAGE = re.compile(
    r"translat|\b(?:language|multilingual|bilingual|english|french|german|spanish|italian|portuguese|dutch|swedish|danish"
    r"|norwegian|finnish|polish|czech|russian|ukrainian|greek|turkish|arabic|hebrew|hindi|bengali|urdu|persian|farsi"
    r"|chinese|mandarin|cantonese|japanese|korean|vietnamese|thai|indonesian|malay|latin|swahili|romanian|hungarian"
    r"|bulgarian|croatian|serbian|slovak|slovenian|catalan|tagalog|filipino|tamil|telugu|afrikaans|esperanto|gaelic|irish"
    r"|welsh|icelandic|lithuanian|latvian|estonian|albanian|armenian|georgian|kazakh|uzbek|mongolian|nepali|sinhala|khmer"
    r"|lao|burmese|yoruba|zulu|hausa)\b"
    r"|übersetz|\b(?:auf|ins|aus dem) (?:deutsch|englisch|französisch|spanisch|italienisch)|tradu[cizsç]"
    r"|\b(?:en|al|in|au) (?:français|anglais|español|inglés|italiano|inglese|inglês|português)\b|vertaal|översätt"
    r"|oversett|oversæt|перев[её]|перекла|tłumacz|přelož|çevir|ترجم|अनुवाद|翻[译譯訳]|[英中日韩法德俄]文"
    r"|[英汉漢日韩法德俄]语|[英日中]国?語|번역|영어|한국어",
    re.IGNORECASE,
)
"""Words of tasks whose answer is in a language of its own."""


_SEARCHED = 20_000
_PARTS = 5
_QUOTED = re.compile(r"[\"“”„‘’「『«][^\"“”„‘’」』»\n]{12,300}|[A-Za-zÀ-ɏ][A-Za-zÀ-ɏ ,.'’-]{14,300}")
_FENCED = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)
_CODE_LINE = re.compile(
    r"^\s{0,40}(?:(?:def|class|func|function|public|private|static|const|let|var|import|from|for|while|if|return|#include"
    r"|SELECT|INSERT|CREATE)\b[^\n]{0,200}[({:;=>]|[^\n]{0,200}[;{}]\s{0,4}$)",
    re.MULTILINE,
)
"""A line of code outside of a fence: its words are English whatever the language around it."""


def check(subject: Subject, config: CurateConfig) -> list[Verdict]:
    """Compares the language of the answer with the allowed ones and with the prompt's."""
    answer = identify(subject.answer)
    if answer is None or answer.probability < _CLEAR:
        return []
    allowed = config.language.allowed
    verdicts = []
    if allowed and not any(answer.code in _SAME.get(code, (code,)) for code in allowed):
        detail = f"the answer is in {_named(answer)}; allowed: {', '.join(allowed)}"
        verdicts.append(Verdict(NOT_ALLOWED, config.language.action, detail))
    question = _last_user_turn(subject.record)
    prompt = identify(question) if question else None
    if prompt is None or prompt.probability < _CLEAR or _taken_for(prompt, answer):
        return verdicts
    if not _may_differ(subject, question, answer):
        detail = f"the prompt is in {_named(prompt)}, the answer in {_named(answer)}"
        verdicts.append(Verdict(MISMATCH, "flag", detail))
    return verdicts


def _may_differ(subject: Subject, question: str, answer: Language) -> bool:
    """Whether the task asks for another language or for code, or quotes a text in the language of the answer."""
    if _ANOTHER_LANGUAGE.search(subject.record.prompt()[:_SEARCHED]):
        return True
    if _CODE_LINE.search(_FENCED.sub("", subject.answer[:_SEARCHED])):
        return True
    lines = [line for line in question[:_SEARCHED].split("\n") if line.strip()]
    parts = lines[:_PARTS] + lines[-_PARTS:] + _QUOTED.findall(question[:_SEARCHED])[:_PARTS]
    return any((found := identify(part)) is not None and _taken_for(found, answer) for part in parts)


def _taken_for(left: Language, right: Language) -> bool:
    return left.code == right.code or any(left.code in alike and right.code in alike for alike in _ALIKE)


def _last_user_turn(record: Record) -> str:
    return next((turn.content for turn in reversed(record.messages) if turn.role == "user"), "")


def _named(language: Language) -> str:
    return f"{language.code} ({language.probability:.2f})"


FILTER = Filter("language", (MISMATCH, NOT_ALLOWED), check)
