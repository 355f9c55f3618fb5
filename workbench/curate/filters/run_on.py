"""`run_on`: the answer goes on with the next example.

    assistant: "Lima.\\n\\n### Instruction:\\nName a river."       ->  drop  run_on_next_example
    assistant: "Lima.\\n\\nHuman: And of Chile?\\n\\nAssistant:"    ->  drop  run_on_next_example
    user: "Q: 1 + 1?\\nA:"   assistant: "2\\nQ: 1 + 2?\\nA: 3"     ->  drop  run_on_next_example
    user: "Write a dialogue." assistant: "...\\nHuman: Hello"     ->  nothing: asked for
    assistant: "## API\\n### Input:\\nA file."                    ->  nothing: headings of a manual

Headings count where they name an instruction or a speaker; an input and a response after some text count only together.
"""

from __future__ import annotations

import re

from workbench.core.curation import CurateConfig
from workbench.curate.filters.contract import Filter, Subject, Verdict
from workbench.curate.filters.text_shape import without_code

_HEADING = re.compile(r"\n[ \t]{0,3}#{2,3} ?(?:Instruction|Human|User|Assistant|指令|用户) ?[:：]", re.IGNORECASE)
_RESPONSE = re.compile(r"\n[ \t]{0,3}### ?(?:Response|Answer|Completion) ?:", re.IGNORECASE)
_INPUT = re.compile(r"\n[ \t]{0,3}### ?(?:Input|Question|Prompt) ?:", re.IGNORECASE)
_SPEAKER = re.compile(
    r"\n[ \t]{0,3}(?:Human|User|USER|HUMAN) ?: ?\S[^\n]*(?:\n[^\n]*){0,40}?"
    r"\n[ \t]{0,3}(?:Assistant|ASSISTANT|AI|Bot) ?:"
)
_NEXT_QUESTION = re.compile(r"\n[ \t]{0,3}(?:Q|Question) ?: ?\S")
_FIRST_QUESTION = re.compile(r"(?:\A|\n)[ \t]{0,3}(?:Q|Question) ?:")
_ENDS_IN_ANSWER = re.compile(r"\n[ \t]{0,3}(?:A|Answer) ?:\s{0,8}\Z")
_LABELLED = re.compile(r"\**(?:Human|User|Assistant|AI|Bot|Chatbot|Customer)\d{0,3} ?\**:", re.IGNORECASE)
_ABOUT_PROMPTS = re.compile(
    r"\b(?:prompts?|templates?|few-shot|instruction[- ](?:tun\w*|format\w*|follow\w*)|fine-?tun\w*|datasets?|alpaca"
    r"|training (?:data|examples?)|readme"
    r"|markdown|documentation)\b|提示词|模板",
    re.IGNORECASE,
)
_ASKS_FOR_TALK = re.compile(
    r"\b(?:dialog\w*|conversations?|chat\w*|transcripts?|scripts?|interview\w*|role-?play\w*|scenes?|skits?|plays?"
    r"|stor(?:y|ies)|exchange|bots?|faqs?"
    r"|prompts?|examples?|templates?|few-shot)\b|对话|聊天",
    re.IGNORECASE,
)


def check(subject: Subject, config: CurateConfig) -> list[Verdict]:
    """Drops answers in which another prompt begins, unless the prompt asks for something like it."""
    answer = subject.answer
    if subject.record.kind == "document" or ("###" not in answer and "## " not in answer and not _may_speak(answer)):
        return []
    found = _next_example(without_code(answer).lstrip(), subject.record.prompt())
    return [Verdict("run_on_next_example", "drop", f"{found.strip()[:60]!r} in the answer")] if found else []


def _may_speak(answer: str) -> bool:
    return "\nHuman" in answer or "\nUser" in answer or "\nQ" in answer or "\nUSER" in answer or "\nHUMAN" in answer


def _next_example(answer: str, prompt: str) -> str | None:
    """How the next example begins; something else must stand before it."""
    if (heading := _heading(answer)) and not _ABOUT_PROMPTS.search(prompt):
        return heading
    if (speaker := _SPEAKER.search(answer)) and not _LABELLED.match(answer) and not _ASKS_FOR_TALK.search(prompt):
        return speaker.group()
    question = _NEXT_QUESTION.search(answer)
    if question and _ENDS_IN_ANSWER.search(prompt[-40:]) and _FIRST_QUESTION.search(prompt):
        return question.group()
    return None


def _heading(answer: str) -> str | None:
    if heading := _HEADING.search(answer):
        return heading.group()
    given = _INPUT.search(answer)
    return given.group() if given and _RESPONSE.search(answer, given.end()) else None


FILTER = Filter("run_on", ("run_on_next_example",), check)
