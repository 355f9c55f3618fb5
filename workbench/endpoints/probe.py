"""What a model server can do, asked before it is relied on.

    probe(endpoint, logprobs=True, schema=False)  ->  Capabilities(logprobs=True, schema=False, remarks=())

Servers ignore what they do not know without a word: some return prose for a JSON schema, and nothing where log-
probabilities were asked for. So each ability is tried on a question whose answer shows it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial

from workbench.core.errors import PrerequisiteError
from workbench.core.records import Message
from workbench.endpoints.calls import (
    Abilities,
    Ability,
    Answer,
    CallFailed,
    ChatRequest,
    Endpoint,
    FailureReason,
    Reply,
)

_GREETING = (Message(role="user", content="Reply with the single word: ready"),)
_COLOUR = (Message(role="user", content="Name a colour. Answer as JSON."),)
_COLOUR_SCHEMA = {
    "type": "object",
    "properties": {"workbench_probe_colour": {"type": "string", "enum": ["vermilion", "cerulean"]}},
    "required": ["workbench_probe_colour"],
    "additionalProperties": False,
}
"""A key and values that no model would choose by itself."""
_TOP = 20
_INSTEAD = {
    "log-probabilities": "its words are read instead",
    "JSON schemas": "answers are asked for in tagged lines instead",
}
"""What is tried, and what is done without."""
_LOGPROBS, _SCHEMA = _INSTEAD
_SAYS_NOTHING: frozenset[FailureReason] = frozenset(
    {"unreachable", "timeout", "dropped", "rate_limited", "auth", "budget"}
)
"""Failures that have nothing to do with what was asked for."""
_CANNOT = ("500:", "501:")
"""How some servers answer what they do not know; other statuses from 502 on are those of a server that is busy."""
_ADVICE: dict[FailureReason, str] = {
    "unreachable": "start the server, or correct base_url",
    "dropped": "look at the server's log: it closed the connection",
    "timeout": "raise timeout_s, or ask a faster server",
    "auth": "check the key in the variable that api_key_env names",
    "not_found": "check `model` and that base_url ends in /v1",
    "redirected": "correct base_url",
    "not_json": "base_url does not lead to an OpenAI-compatible API; it usually ends in /v1",
    "server_error": "look at the server's log, or wait until it is up again",
    "rate_limited": "wait, or lower `concurrency`",
    "budget": "raise max_requests, max_total_tokens, max_cost or max_seconds",
}


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What was seen to work."""

    logprobs: bool
    """First-token log-probabilities come, and belong to the first token."""
    schema: bool
    """Answers follow a JSON schema."""
    remarks: tuple[str, ...] = ()
    """What was asked for and does not work, for people."""


def probe(endpoint: Endpoint, *, logprobs: bool, schema: bool, anew: bool = False) -> Capabilities:
    """Tries the wanted abilities with one or two short calls; where they are known from an earlier run, not before
    the first call that is not in the cache, or at once with `anew`.

    Raises PrerequisiteError if the endpoint is asked and does not answer at all; `Endpoint.abilities` says what a later
    `chat` may raise.
    """
    wanted = [name for name, asked_for in ((_LOGPROBS, logprobs), (_SCHEMA, schema)) if asked_for]
    found = endpoint.abilities(wanted, partial(_tried, wanted), anew=anew)
    remarks = [f"{endpoint.name}: {found[name].remark}; {_INSTEAD[name]}" for name in wanted if not found[name].works]
    able = {name for name in wanted if found[name].works}
    return Capabilities(logprobs=_LOGPROBS in able, schema=_SCHEMA in able, remarks=tuple(remarks))


def _tried(wanted: list[str], endpoint: Endpoint) -> Abilities:
    logprobs = _LOGPROBS in wanted
    answer = _ask(endpoint, ChatRequest(_GREETING, max_tokens=8, top_logprobs=_TOP if logprobs else 0))
    if logprobs and isinstance(answer, CallFailed) and answer.reason in {"bad_request", "bad_logprobs"}:
        answer = _ask(endpoint, ChatRequest(_GREETING, max_tokens=8))
    if isinstance(answer, CallFailed) and answer.reason not in {"refusal", "no_content", "cancelled"}:
        raise _away(endpoint, answer)
    found: Abilities = {}
    if logprobs:
        problem = _logprobs_problem(answer)
        found[_LOGPROBS] = Ability(problem is None, problem or "")
    if _SCHEMA in wanted:
        answer = _ask(endpoint, ChatRequest(_COLOUR, max_tokens=32, schema=_COLOUR_SCHEMA))
        if isinstance(answer, CallFailed) and _says_nothing(answer):
            raise _away(endpoint, answer)
        obeys = _obeys_schema(answer)
        found[_SCHEMA] = Ability(obeys, "" if obeys else "does not follow a JSON schema")
    return found


def _says_nothing(failure: CallFailed) -> bool:
    """Whether the same question may be answered a moment later."""
    if failure.reason == "server_error":
        return not failure.message.startswith(_CANNOT)
    return failure.reason in _SAYS_NOTHING


def _away(endpoint: Endpoint, failure: CallFailed) -> PrerequisiteError:
    return PrerequisiteError(
        f"model endpoint does not answer: {failure.message}",
        where=endpoint.name,
        next_step=_ADVICE.get(failure.reason, "check `base_url` and `model` of the endpoint"),
    )


def _ask(endpoint: Endpoint, request: ChatRequest) -> Answer:
    return endpoint.chat([request])[0]


def _logprobs_problem(answer: Answer) -> str | None:
    """Why log-probabilities cannot be used; a server whose most likely token is not the one it said is off by one."""
    logprobs = answer.first_token_logprobs if isinstance(answer, Reply) else None
    if not isinstance(answer, Reply) or not logprobs:
        return "gives no log-probabilities"
    said = answer.text.strip()
    # some servers show the raw vocabulary, where a leading space is one of these signs
    likeliest = max(logprobs, key=logprobs.__getitem__).strip(" \n\t\u0120\u2581")
    if said and likeliest and not said.startswith(likeliest):
        return f"log-probabilities do not belong to its answer (said {said[:20]!r}, likeliest token {likeliest[:20]!r})"
    return None


def _obeys_schema(answer: Answer) -> bool:
    if not isinstance(answer, Reply):
        return False
    try:
        found = json.loads(answer.text)
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and found.get("workbench_probe_colour") in ("vermilion", "cerulean")
