"""What a model server can do, asked once before it is relied on.

    probe(endpoint, logprobs=True, schema=False)  ->  Capabilities(logprobs=True, schema=False, remarks=())

Servers ignore what they do not know without a word: some return prose for a JSON schema, and nothing where log-
probabilities were asked for. So each ability is tried on a question whose answer shows it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from workbench.core.errors import PrerequisiteError
from workbench.core.records import Message
from workbench.endpoints.calls import Answer, CallFailed, ChatRequest, Endpoint, FailureReason, Reply

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
_ADVICE: dict[FailureReason, str] = {
    "unreachable": "start the server, or correct base_url",
    "dropped": "look at the server's log: it closed the connection",
    "timeout": "raise timeout_s, or ask a faster server",
    "auth": "check the key in the variable that api_key_env names",
    "not_found": "check `model` and that base_url ends in /v1",
    "redirected": "correct base_url",
    "not_json": "base_url does not lead to an OpenAI-compatible API; it usually ends in /v1",
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


def probe(endpoint: Endpoint, *, logprobs: bool, schema: bool) -> Capabilities:
    """Tries the wanted abilities with one or two short calls, past the cache of the project: that would tell what stood
    behind the address on another day.

    Raises PrerequisiteError if the endpoint does not answer at all.
    """
    with TemporaryDirectory() as directory:
        return _probe(endpoint.with_cache(Path(directory)), logprobs=logprobs, schema=schema)


def _probe(endpoint: Endpoint, *, logprobs: bool, schema: bool) -> Capabilities:
    answer = _ask(endpoint, ChatRequest(_GREETING, max_tokens=8, top_logprobs=_TOP if logprobs else 0))
    if logprobs and isinstance(answer, CallFailed) and answer.reason in {"bad_request", "bad_logprobs"}:
        answer = _ask(endpoint, ChatRequest(_GREETING, max_tokens=8))
    if isinstance(answer, CallFailed) and answer.reason not in {"refusal", "no_content", "cancelled"}:
        raise PrerequisiteError(
            f"model endpoint does not answer: {answer.message}",
            where=endpoint.name,
            next_step=_ADVICE.get(answer.reason, "check `base_url` and `model` of the endpoint"),
        )
    remarks = []
    problem = _logprobs_problem(answer) if logprobs else None
    if problem:
        remarks.append(f"{endpoint.name}: {problem}; its words are read instead")
    obeys = schema and _obeys_schema(_ask(endpoint, ChatRequest(_COLOUR, max_tokens=32, schema=_COLOUR_SCHEMA)))
    if schema and not obeys:
        remarks.append(f"{endpoint.name}: does not follow a JSON schema; answers are asked for in tagged lines instead")
    return Capabilities(logprobs=logprobs and problem is None, schema=obeys, remarks=tuple(remarks))


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
