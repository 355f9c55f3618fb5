"""`template_placeholder`: a template that nobody filled in.

    assistant: "Hello, I am {{name}}."                  ->  drop  template_placeholder
    user: "Answer the question: {{question}}"           ->  drop  template_placeholder
    user: "Write to {{ customer }}."                    ->  flag  template_placeholder: perhaps the topic
    assistant: "The answer is {answer}."                ->  flag  template_placeholder: single braces
    user: "What does {{ x }} do in Jinja?"              ->  nothing: templates are the topic
    assistant: "Use `{{ x }}`.", "$\\frac{{a}}{b}$"       ->  nothing: code, mathematics

What both prompt and answer have is flagged: the prompt may have given the template. Documents are flagged. The `${{ }}`
of workflow files is not searched.
"""

from __future__ import annotations

import re

from workbench.core.curation import CurateConfig
from workbench.curate.filters.contract import Filter, Subject, Verdict
from workbench.curate.filters.text_shape import shape, without_code

_DOUBLE = re.compile(r"(?<![\w$\\^_={}])\{\{\s{0,8}([A-Za-z_][\w. -]{0,60}?)\s{0,8}\}\}(?!\})")
_SINGLE = re.compile(
    r"(?<![\w$\\^_={}])\{(?:instruction|input|output|question|answer|context|response|prompt|user_?(?:input|name"
    r"|message|query)"
    r"|query|document|passage|completion|system_?prompt|first_?name|last_?name|author)\}(?!\})"
)
_OF_A_PROMPT = re.compile(
    r"\{\{\s*(?:instruction|input|output|question|answer|context|response|prompt|query|document|passage|completion|text"
    r"|sentence)\s*\}\}",
    re.IGNORECASE,
)
_TOPIC = re.compile(
    r"\b(?:jinja\w*|templat\w*|mustache|handlebars|placeholders?|liquid|vue(?:\.?js)?|angular\w*|django|helm|ansible"
    r"|terraform|twig|nunjucks|svelte"
    r"|github actions?|workflow|mail ?merge|f-?strings?|format strings?|string formatting|str\.format|curly|braces?"
    r"|interpolat\w*|variables?|html"
    r"|latex|bibtex|wiki(?:text|media|pedia)?|infobox|react|jsx|blade|go ?lang|hugo|jekyll|regex|python|javascript"
    r"|code|script|function)\b"
    r"|模板|占位符|шаблон|plantilla|vorlage|platzhalter",
    re.IGNORECASE,
)


def check(subject: Subject, config: CurateConfig) -> list[Verdict]:
    """Drops or flags placeholders outside of code; nothing where the prompt speaks of templates."""
    if "{" not in subject.whole:
        return []
    record = subject.record
    rejected = record.rejected.content if record.rejected else ""
    answer = without_code(f"{subject.answer}\n{rejected}" if rejected else subject.answer)
    prompt = without_code(record.prompt())
    in_answer, in_prompt = _found(answer), _found(prompt)
    if (not in_answer and not in_prompt) or _TOPIC.search(prompt):
        return []
    if record.kind == "document":
        return [] if shape(answer) == "code" else [_verdict(in_answer, "document", drop=False)]
    if in_prompt:
        sure = not in_answer and any(_OF_A_PROMPT.match(name) for name in in_prompt)
        return [_verdict(in_answer or in_prompt, "answer" if in_answer else "prompt", drop=sure)]
    sure = any(name.startswith("{{") for name in in_answer) and shape(answer) != "code"
    return [_verdict(in_answer, "answer", drop=sure)]


def _found(text: str) -> list[str]:
    """The distinct placeholders as written, those in double braces first."""
    if "{" not in text:
        return []
    double = [found.group() for found in _DOUBLE.finditer(text)]
    return list(dict.fromkeys([*double, *(found.group() for found in _SINGLE.finditer(text))]))


def _verdict(names: list[str], place: str, *, drop: bool) -> Verdict:
    return Verdict("template_placeholder", "drop" if drop else "flag", f"{', '.join(names[:3])} in the {place}")


FILTER = Filter("template_placeholder", ("template_placeholder",), check)
