"""`url_only_input`: the task is about a page that the model cannot open.

    user: "Summarize the article.\\nhttps://example.com/a"        ->  drop  url_only_input
    user: "https://example.com/a"                               ->  drop  url_only_input
    user: "Extract the domain of this URL.\\nhttps://a.org/b"     ->  nothing: the address is the input
    user: "Fetch it.\\nhttps://a.org" and a tool that can         ->  nothing
"""

from __future__ import annotations

import re

from workbench.core.curation import CurateConfig
from workbench.curate.filters.contract import Filter, Subject, Verdict
from workbench.curate.filters.refusal import refused

_URL = r"(?:https?://|ftp://|www\.)[^\s<>]{3,2000}"
_ONLY_URLS = re.compile(
    rf"(?:(?:url|link|article|website|source|page|video"
    rf"|input) ?: ?)?[<(\[\"']?{_URL}(?:[,;]?\s{{1,4}}(?:and )?[<(\[\"']?{_URL}){{0,20}}\s*\Z",
    re.IGNORECASE,
)
_ABOUT_ADDRESSES = re.compile(
    r"\b(?:urls?|uris?|domains?|host ?names?|sub-?domains?|links?|hyperlinks?|address(?:es)?|phish\w*|malicious|safe"
    r"|scam|spam|pars\w+|encod\w+|decod\w+"
    r"|shorten\w*|slugs?|query string|param\w*|protocol|scheme|http\w*|redirect\w*|curl|wget|html|markdown|anchor"
    r"|regex|validat\w+|format\w*|qr|citations?"
    r"|cite|reference|bibliograph\w*|path|tld|seo|extension|requests?|script|code|function|api|python|javascript)\b",
    re.IGNORECASE,
)
_FETCHES = re.compile(r"<(?:search|browse|fetch)|\b(?:browse|search|fetch|open)_?\w*\(", re.IGNORECASE)


def check(subject: Subject, config: CurateConfig) -> list[Verdict]:
    """Drops conversations whose whole input is one or more addresses of pages, unless addresses are the topic."""
    question = subject.question
    if question is None or ("://" not in question and "www." not in question.lower()):
        return []
    instruction, given = _input_part(question.strip())
    if not _ONLY_URLS.match(given) or _ABOUT_ADDRESSES.search(instruction):
        return []
    record = subject.record
    if record.tools or subject.calls_tools or any(turn.role == "tool" or turn.tool_calls for turn in record.messages):
        return []
    if _FETCHES.match(subject.answer.lstrip()):
        return []
    detail = f"the input is {given[:80]!r} and nothing else"
    if refused(subject):
        return [Verdict("url_only_input", "flag", f"{detail}; the answer refuses")]
    return [Verdict("url_only_input", "drop", detail)]


def _input_part(question: str) -> tuple[str, str]:
    """The instruction, and what follows its first line; a question of one line is an input without an instruction."""
    first, _, rest = question.partition("\n")
    return (first, rest.strip()) if rest.strip() else ("", first)


FILTER = Filter("url_only_input", ("url_only_input",), check)
