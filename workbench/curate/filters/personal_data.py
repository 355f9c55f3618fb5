"""`personal_data`: addresses, telephone and card numbers, accounts, secrets.

    assistant: "Write to ann.lee@acme.io."
        ->  flag    pii_email: 1 in the answer, such as a***@a***.io
        ->  repair  pii_email: "Write to <EMAIL>."               (personal_data: {action: mask})
        ->  drop    pii_email: 1 in the answer, ...              (personal_data: {action: drop})

Every turn is searched, with tool calls, tool definitions and the rejected answer. Masking keeps JSON valid, and the
same kind has the same mask in every turn. What counts is said in `workbench.text.personal_data`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Literal

from workbench.core.curation import CurateConfig
from workbench.core.records import Message, Record
from workbench.curate.filters.contract import Filter, Repair, Subject, Verdict
from workbench.text.personal_data import KINDS, Found, find, masked

REASONS = tuple(f"pii_{kind}" for kind in KINDS)
_HINTS_SHOWN = 3


def check(subject: Subject, config: CurateConfig) -> list[Verdict]:
    """One verdict per kind of personal data, with how often it came, where, and a hint at the first ones."""
    settings = config.personal_data
    found: dict[str, list[tuple[str, Found]]] = {}
    for place, text in texts_of(subject.record):
        for one in find(text, settings.kinds):
            found.setdefault(one.kind, []).append((place, one))
    action: Literal["drop", "flag"] = "drop" if settings.action == "drop" else "flag"
    return [Verdict(f"pii_{kind}", action, _detail(found[kind])) for kind in KINDS if kind in found]


def repair(record: Record, config: CurateConfig) -> list[Repair]:
    """Masks what is found, one repair per kind; kinds that `curate.actions` treats otherwise are left to `check`."""
    settings = config.personal_data
    if settings.action != "mask":
        return []
    present = {one.kind for _, text in texts_of(record) for one in find(text, settings.kinds)}
    repairs = []
    for kind in KINDS:
        if kind in present and f"pii_{kind}" not in config.actions:
            record, times = _without(record, kind)
            repairs.append(Repair(record, f"pii_{kind}", f"masked {times} as <{kind.upper()}>"))
    return repairs


def texts_of(record: Record) -> Iterator[tuple[str, str]]:
    """Every text of a record and what it is."""
    for turn in record.messages:
        is_answer = turn is record.messages[-1] and record.kind == "chat"
        yield from _turn_texts("answer" if is_answer else f"{turn.role} turn", turn)
    if record.chosen:
        yield from _turn_texts("answer", record.chosen)
    if record.rejected:
        yield from _turn_texts("rejected answer", record.rejected)
    if record.text:
        yield "document", record.text
    if record.tools:
        yield "tools", record.tools


def _turn_texts(place: str, turn: Message) -> Iterator[tuple[str, str]]:
    yield place, turn.content
    for call in turn.tool_calls:
        yield f"{place} (tool call)", call.arguments


def _detail(found: list[tuple[str, Found]]) -> str:
    places = ", ".join(dict.fromkeys(place for place, _ in found))
    hints = ", ".join(list(dict.fromkeys(one.hint for _, one in found))[:_HINTS_SHOWN])
    return f"{len(found)} in the {places}, such as {hints}"


def _without(record: Record, kind: str) -> tuple[Record, int]:
    """The record with one kind masked throughout, under the id of its new content, and how often it was there."""
    times = sum(len(find(text, (kind,))) for _, text in texts_of(record))
    messages = tuple(_masked_turn(turn, kind) for turn in record.messages)
    chosen = _masked_turn(record.chosen, kind) if record.chosen else None
    rejected = _masked_turn(record.rejected, kind) if record.rejected else None
    text = None if record.text is None else masked(record.text, (kind,))
    tools = None if record.tools is None else _masked_json(record.tools, kind)
    changed = record.with_content(messages, chosen, rejected, text)
    return changed.model_copy(update={"tools": tools}), times


def _masked_turn(turn: Message, kind: str) -> Message:
    calls = tuple(call.model_copy(update={"arguments": _masked_json(call.arguments, kind)}) for call in turn.tool_calls)
    return turn.model_copy(update={"content": _masked_json(turn.content, kind), "tool_calls": calls})


def _masked_json(text: str, kind: str) -> str:
    """`text` masked; what was JSON before is JSON after, rewritten as a whole only where a mask would break it."""
    mended = masked(text, (kind,))
    if mended == text or not text.lstrip().startswith(("{", "[")):
        return mended
    parsed = _parsed(text)
    if parsed is None or _parsed(mended) is not None:
        return mended
    return json.dumps(_masked_value(parsed, kind), ensure_ascii=False)


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _masked_value(value: Any, kind: str, name: str = "") -> Any:
    """A JSON value masked; `name`, its key, may say what a number is. A number that is masked becomes a string."""
    if isinstance(value, dict):
        return {masked(key, (kind,)): _masked_value(part, kind, key) for key, part in value.items()}
    if isinstance(value, list):
        return [_masked_value(part, kind, name) for part in value]
    if value is None or isinstance(value, bool):
        return value
    before = f'"{name}": "'
    hidden = masked(f"{before}{value}", (kind,)).removeprefix(before)
    return value if hidden == str(value) else hidden


FILTER = Filter("personal_data", REASONS, check, repair)
"""What is found is flagged: whether it is harm or part of the task, only a person can say."""
