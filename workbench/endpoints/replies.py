"""Reading a server's reply, which may be anything: every shape that is no usable answer gets its reason.

    b'{"choices": [{"message": {"content": "A"}, "finish_reason": "stop"}]}'   ->  Reply("A", "stop", None, 0, 0)
    b'{"choices": null}'                                                       ->  CallFailed("no_choices", ...)
    b'<html>502</html>'                                                        ->  CallFailed("not_json", ...)
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from workbench.core.wire import printable, storable
from workbench.endpoints.calls import Answer, CallFailed, ChatRequest, Reply

_EXCERPT_CHARACTERS = 120
_MESSAGE_CHARACTERS = 300
_LARGEST_LOGPROB = 1e-3
"""Servers round: a certain token may come as 1e-7 instead of 0. Anything above is no log-probability."""
_MOST_TOKENS = 1 << 24
"""No call has more; a server may report anything."""


class _Lenient(BaseModel):
    """Servers add fields of their own; only what is read here must have the right shape."""

    model_config = ConfigDict(extra="ignore", strict=False)


_Shape = TypeVar("_Shape", bound=_Lenient)


class _Alternative(_Lenient):
    token: str
    logprob: float | None = None


class _Position(_Alternative):
    top_logprobs: list[_Alternative] | None = None


class _Logprobs(_Lenient):
    content: list[_Position] | None = None


class _ServerMessage(_Lenient):
    content: str | None = None
    refusal: str | None = None


class _Choice(_Lenient):
    message: _ServerMessage
    finish_reason: str | None = None
    logprobs: _Logprobs | None = None


class _Usage(_Lenient):
    prompt_tokens: int = 0
    completion_tokens: int = 0


class _Completion(_Lenient):
    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    model: Any = None
    """No reason to refuse a reply, whatever it is."""


@dataclass(frozen=True, slots=True)
class EchoedPrompt:
    """A prompt as the server reads it."""

    tokens: tuple[str, ...]
    logprobs: tuple[float | None, ...]
    """Natural-log probability of each token after those before it; None for the first."""


class _EchoLogprobs(_Lenient):
    tokens: list[str]
    token_logprobs: list[float | None]


class _EchoChoice(_Lenient):
    logprobs: _EchoLogprobs | None = None


class _Echo(_Lenient):
    choices: list[_EchoChoice] | None = None


def read_completion(body: bytes) -> Answer:
    """The answer in the body of a 200 reply of /chat/completions. Never raises."""
    completion = _read(_Completion, body)
    if isinstance(completion, CallFailed):
        return completion
    usage = completion.usage or _Usage()
    prompt, made = _tokens(usage.prompt_tokens), _tokens(usage.completion_tokens)
    if not completion.choices:
        return CallFailed("no_choices", f"reply has no choices: {excerpt(body)}", prompt, made)
    answer = _read_choice(completion.choices[0], completion.model)
    return replace(answer, prompt_tokens=prompt, completion_tokens=made)


def _tokens(reported: int) -> int:
    return min(max(0, reported), _MOST_TOKENS)


def read_echo(body: bytes) -> EchoedPrompt | CallFailed:
    """Tokens and log-probabilities in a 200 reply of /completions with `echo`. Never raises."""
    echo = _read(_Echo, body)
    if isinstance(echo, CallFailed):
        return echo
    found = echo.choices[0].logprobs if echo.choices else None
    if found is None or len(found.tokens) != len(found.token_logprobs):
        return CallFailed("bad_logprobs", "the reply has no log-probabilities of the prompt")
    for value in found.token_logprobs:
        if value is not None and _is_impossible(value):
            return CallFailed("bad_logprobs", f"the server gave {value} as a log-probability of the prompt")
    return EchoedPrompt(tuple(found.tokens), tuple(found.token_logprobs))


def usable(request: ChatRequest, reply: Reply) -> Answer:
    """The reply, or `length` where an answer that had to be complete JSON was cut off.

    Log-probabilities that nobody asked for are left out: where a caller does without, they were found to be wrong.
    """
    if request.schema is not None and reply.finish_reason == "length":
        return CallFailed("length", f"the JSON answer was cut off after {request.max_tokens} tokens")
    return reply if request.top_logprobs else replace(reply, first_token_logprobs=None)


def _read(shape: type[_Shape], body: bytes) -> _Shape | CallFailed:
    try:
        # json rather than pydantic's own parser, which refuses lone surrogates instead of letting them be replaced
        document = json.loads(body)
    except (ValueError, RecursionError) as error:  # ValueError also for an integer of thousands of digits
        return CallFailed("not_json", f"200 without JSON ({type(error).__name__}): {excerpt(body)}")
    try:
        return shape.model_validate(document)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(piece) for piece in problem["loc"])
        return CallFailed("bad_reply", f"reply has another shape than a completion: {place}: {problem['msg']}")


def excerpt(body: bytes) -> str:
    """The beginning of a body, safe to print."""
    return repr(shortened(body[: 4 * _EXCERPT_CHARACTERS].decode("utf-8", "replace"))[:_EXCERPT_CHARACTERS])


def _read_choice(choice: _Choice, model: Any) -> Answer:
    """What a choice says, without what it cost."""
    if choice.message.refusal or choice.finish_reason == "content_filter":
        said = choice.message.refusal or "stopped by the server's content filter"
        return CallFailed("refusal", f"the model refused: {printable(said)[:_EXCERPT_CHARACTERS]}")
    if choice.message.content is None:
        return CallFailed("no_content", f"the reply has no text (finish reason {shortened(str(choice.finish_reason))})")
    logprobs = _first_token(choice.logprobs)
    if isinstance(logprobs, CallFailed):
        return logprobs
    return Reply(
        text=storable(choice.message.content),
        finish_reason=shortened(choice.finish_reason or "unknown"),
        first_token_logprobs=logprobs,
        prompt_tokens=0,
        completion_tokens=0,
        model=shortened(model) if isinstance(model, str) and model else None,
    )


def _first_token(logprobs: _Logprobs | None) -> dict[str, float] | CallFailed | None:
    """Alternatives at the first position. NaN and values above 0 fail; minus infinity (impossible) is left out."""
    if logprobs is None or not logprobs.content:
        return None
    first = logprobs.content[0]
    found: dict[str, float] = {}
    for alternative in (first, *(first.top_logprobs or ())):
        value = alternative.logprob
        if value is None or value == -math.inf:
            continue
        if _is_impossible(value):
            return CallFailed("bad_logprobs", f"the server gave {value} as a log-probability")
        found[storable(alternative.token)] = min(0.0, value)
    return found or None


def _is_impossible(logprob: float) -> bool:
    return math.isnan(logprob) or logprob > _LARGEST_LOGPROB


def server_said(body: str) -> str:
    """The message inside an error body: `error.message`, `error`, `message`, `detail`, or the body itself."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return body
    inner = document.get("error", document) if isinstance(document, dict) else document
    if isinstance(inner, dict):
        inner = inner.get("message") or inner.get("detail") or inner
    return str(inner)


def shortened(text: str) -> str:
    """Foreign text for a message: printable, on one line, at most 300 characters."""
    line = " ".join(printable(text).split())
    return line if len(line) <= _MESSAGE_CHARACTERS else line[:_MESSAGE_CHARACTERS] + "..."
