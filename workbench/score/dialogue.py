"""Regression items that hold a whole conversation: with the chat template every turn keeps its role.

    {"question": "User: Capital of Peru?\\n\\nAssistant: Lima.\\n\\nUser: And of Chile?", "choices": [...], "answer": 0,
     "messages": [{"role": "user", "content": "Capital of Peru?"}, {"role": "assistant", "content": "Lima."},
                  {"role": "user", "content": "And of Chile?"}]}

`question` is the same for people, for suites without a chat template and for those with a template of their own. A
system turn takes the place of the configured system prompt.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from pydantic import TypeAdapter, ValidationError

from workbench.core.errors import UsageError
from workbench.core.fingerprints import canonical_json
from workbench.core.records import Message
from workbench.core.suites import Suite, SuiteDocument

FIELD = "messages"
_MESSAGES: TypeAdapter[tuple[Message, ...]] = TypeAdapter(tuple[Message, ...])


def messages_of(fields: Mapping[str, Any]) -> tuple[Message, ...] | None:
    """The conversation before the answer; None if the document has none. ValueError if it cannot be one."""
    if fields.get(FIELD) is None:
        return None
    try:
        messages = _MESSAGES.validate_python(fields[FIELD])
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in (FIELD, *first["loc"]))
        raise ValueError(f"{place}: {first['msg']}") from error
    if not messages or messages[-1].role != "user":
        raise ValueError(f"{FIELD}: the last turn must be a user's")
    return messages


def dialogue_problem(suite: Suite, fields: Mapping[str, Any]) -> None:
    """ValueError if a conversation that the suite shows turn by turn cannot be one."""
    if _keeps_turns(suite):
        messages_of(fields)


def template_problems(
    suite: Suite, documents: Iterable[SuiteDocument], tokenizer: Any, system_prompt: str | None
) -> dict[int, str]:
    """Why a conversation cannot be shown to the model, by `doc_id`: its template refuses the roles, or what somebody
    said would be read as a control token, for lm-eval passes prompts on as text."""
    from workbench.models.chat import control_tokens, prompt_ids

    problems: dict[int, str] = {}
    control = {token.id for token in control_tokens(tokenizer).values()}
    for document in documents if _keeps_turns(suite) else ():
        if (messages := messages_of(document.fields)) is None:
            continue
        try:
            ids = prompt_ids(tokenizer, messages, system_prompt)
        except UsageError as error:
            problems[document.doc_id] = error.problem
            continue
        read = tokenizer.encode(tokenizer.decode(ids, skip_special_tokens=False), add_special_tokens=False)
        if [one for one in read if one in control] != [one for one in ids if one in control]:
            problems[document.doc_id] = f"{FIELD}: a turn holds a control token of the model's"
    return problems


def stand_in(suite: Suite, fields: dict[str, Any]) -> dict[str, Any]:
    """What lm-eval, which knows one question, gets of an item: a name of its conversation, if its turns are kept."""
    messages = messages_of(fields) if _keeps_turns(suite) else None
    return fields if messages is None else {**fields, "question": _name(messages)}


def conversations(suite: Suite, documents: Iterable[SuiteDocument]) -> dict[str, tuple[Message, ...]]:
    """Conversations by the names that stand for them; what `dialogue_problem` refuses is left out."""
    found: dict[str, tuple[Message, ...]] = {}
    for document in documents if _keeps_turns(suite) else ():
        with suppress(ValueError):
            if messages := messages_of(document.fields):
                found[_name(messages)] = messages
    return found


def turn_by_turn(history: Sequence[Mapping[str, str]], known: Mapping[str, tuple[Message, ...]]) -> list[Message]:
    """lm-eval's turns, with a conversation in place of its name."""
    turns: list[Message] = []
    for turn in history:
        whole = known.get(turn["content"]) if turn["role"] == "user" else None
        turns += whole or (Message.model_validate({"role": turn["role"], "content": turn["content"]}),)
    return turns


def _keeps_turns(suite: Suite) -> bool:
    """A template of the suite's own is written for `question`."""
    return suite.kind == "regression" and suite.chat and "doc_to_text" not in suite.task


def _name(messages: Sequence[Message]) -> str:
    return canonical_json([message.model_dump(mode="json") for message in messages])
