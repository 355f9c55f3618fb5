"""`template_leftover`: pieces of somebody's template that were meant to be filled in or cut off.

    assistant: "Hello, I am {{name}}."                       ->  drop    template_placeholder
    user: "What does {{ x }} do in Jinja?"                    ->  flag    template_placeholder: perhaps the topic
    assistant: "Lima.<|im_end|>\\n<|im_start|>user\\nAnd?"     ->  drop    special_token_in_text
    assistant: "Lima.\\n\\n### Instruction:\\nName a river."    ->  drop    run_on_next_example
    assistant: "Lima.<|endoftext|>"                          ->  repair  edge_special_token: "Lima."
    user: "Name a river.\\n<noinput>"                         ->  repair  input_placeholder: "Name a river."

An unfilled placeholder is a defect where only the answer has it; in prompts and documents it may be the topic. Code and
the `${{ }}` of workflow files are not searched.
"""

from __future__ import annotations

import re
from typing import Literal

from workbench.core.config import CurateConfig
from workbench.core.records import Record
from workbench.curate.filters.contract import Filter, Repair, Subject, Verdict, rewritten

_SPECIAL_TOKEN = re.compile(r"<\|[A-Za-z][A-Za-z0-9_]{0,40}\|>|<(?:start|end)_of_turn>|\[/?INST\]|<</?SYS>>")
_PLACEHOLDER = re.compile(r"(?<!\$)\{\{\s{0,8}[A-Za-z_][\w. -]{0,60}?\s{0,8}\}\}")
_CODE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]+`", re.DOTALL)
_NEXT_EXAMPLE = re.compile(r"^#{2,3} ?(?:Instruction|Response|Input|Human|User|Assistant):", re.MULTILINE)
_NO_INPUT = re.compile(r"(?:input:\s*)?(?:<no ?input>|\[no ?input\])\Z", re.IGNORECASE)


def check(subject: Subject, config: CurateConfig) -> list[Verdict]:
    """Unfilled placeholders, control tokens inside the text, and a next example that was not cut off."""
    record = subject.record
    verdicts = _placeholders(record)
    for text in _texts(record):
        if token := _SPECIAL_TOKEN.search(text):
            verdicts.append(Verdict("special_token_in_text", "drop", f"{token.group()} inside the text"))
            break
    if record.kind != "document" and (heading := _NEXT_EXAMPLE.search(subject.answer)):
        verdicts.append(Verdict("run_on_next_example", "drop", f"{heading.group()!r} in the answer"))
    return verdicts


def repair(record: Record) -> list[Repair]:
    """Control tokens at the ends of what the assistant says, and a note that there is no input, are cut off."""
    repairs = []
    cleaned = rewritten(record, _without_edge_tokens, role="assistant")
    if cleaned.id != record.id:
        repairs.append(Repair(cleaned, "edge_special_token", "cut control tokens off the ends of the answer"))
    noteless = rewritten(cleaned, _without_input_note, role="user")
    if noteless.id != cleaned.id:
        repairs.append(Repair(noteless, "input_placeholder", "removed the note that there is no input"))
    return repairs


def _without_edge_tokens(text: str) -> str:
    """Walks inwards over the tokens found: linear in the text, whatever it holds."""
    found = [token.span() for token in _SPECIAL_TOKEN.finditer(text)]
    start, end = 0, len(text)
    for token_start, token_end in found:
        if text[start:token_start].strip():
            break
        start = token_end
    for token_start, token_end in reversed(found):
        if token_start < start or text[token_end:end].strip():
            break
        end = token_start
    return text if (start, end) == (0, len(text)) else text[start:end].strip()


def _without_input_note(text: str) -> str:
    found = _NO_INPUT.search(text.rstrip())
    return text[: found.start()].rstrip() if found else text


def _placeholders(record: Record) -> list[Verdict]:
    in_prompt = set(_PLACEHOLDER.findall(_CODE.sub(" ", record.prompt())))
    answers = [_CODE.sub(" ", text) for text in _answers(record)]
    in_answer = {found for text in answers for found in _PLACEHOLDER.findall(text)}
    if not in_prompt and not in_answer:
        return []
    action: Literal["drop", "flag"] = "flag" if in_prompt or record.kind == "document" else "drop"
    place = "document" if record.kind == "document" else "answer" if in_answer else "prompt"
    return [Verdict("template_placeholder", action, f"{', '.join(sorted(in_answer or in_prompt)[:3])} in the {place}")]


def _answers(record: Record) -> list[str]:
    return [record.answer(), record.rejected.content if record.rejected else ""]


def _texts(record: Record) -> list[str]:
    return [*(turn.content for turn in record.messages), *_answers(record)]


FILTER = Filter("template_leftover", check, repair)
