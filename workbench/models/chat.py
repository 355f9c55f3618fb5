"""Conversations as token ids, the same in training, scoring and generation.

    messages    user: "Capital of Peru?"   assistant: "Lima"
    prompt      <|im_start|>user\\nCapital of Peru?<|im_end|>\\n<|im_start|>assistant\\n          label -100
    answer      Lima<|im_end|>                                                                  trained

Two things that go wrong elsewhere are taken care of. A template that adds a system prompt of its own when none is given
(SmolLM2, Qwen2.5, Llama 3) adds none: base and adapter see what the configuration says and nothing else. And text is
text: `<|im_end|>` inside a user's message is encoded as the characters it consists of, never as the control token.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from workbench.core.errors import UsageError
from workbench.core.fingerprints import canonical_json, fingerprint
from workbench.core.records import Message, Record

IGNORED = -100
"""Label of a token that is read but not learned."""
NO_LIMIT = 1 << 40
"""A `max_length` that cuts nothing off."""
RENDER_VERSION = 1
"""Raised when the same messages would give other token ids."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """One training sequence."""

    input_ids: list[int]
    labels: list[int]
    """Equal to the ids on the answer, -100 elsewhere."""
    truncated: bool = False
    """Whether the end was cut off to fit `max_length`."""

    @property
    def answer_tokens(self) -> int:
        """Tokens that are learned. The first token of a sequence is never predicted and never counts."""
        return sum(label != IGNORED for label in self.labels[1:])

    @property
    def answer_starts(self) -> int:
        """Place of the answer's first token; the length where there is none."""
        return next((place for place, label in enumerate(self.labels) if label != IGNORED), len(self.labels))


def prompt_ids(tokenizer: Any, messages: Sequence[Message], system_prompt: str | None) -> list[int]:
    """Token ids of a conversation up to where the assistant's next answer begins.

    `system_prompt` goes before it unless the conversation begins with a system turn of its own. Raises UsageError if
    the tokenizer has no chat template, or one that cannot be rendered for these roles.
    """
    turns = _turns(messages, system_prompt)
    text = _marked(tokenizer, [turn.role for turn in turns], generation_prompt=True)
    return _ids(tokenizer, runs(text, [turn.content for turn in turns], control_tokens(tokenizer)))


def encode_record(tokenizer: Any, record: Record, max_length: int, system_prompt: str | None) -> Encoded:
    """Ids and labels of a record; the answer alone is learned.

    The answer is the last assistant turn (`chat`) or the chosen ending (`preference`). A document is learned whole,
    after the beginning-of-text token where the tokenizer has one. What exceeds `max_length` is cut off at the end; a
    prompt that fills it leaves no answer tokens. Raises as `prompt_ids`.
    """
    if record.kind == "document":
        prompt, answer = start_ids(tokenizer), text_ids(tokenizer, record.text or "") + end_ids(tokenizer)
    else:
        turns = conversation(record, system_prompt)
        frame = conversation_frame(tokenizer, [turn.role for turn in turns])
        contents, control = [turn.content for turn in turns], control_tokens(tokenizer)
        # The answer is encoded apart, as it is generated, so the prompt is an exact prefix.
        prompt, answer = (_ids(tokenizer, runs(text, contents, control)) for text in (frame.prompt, frame.answer))
    ids = prompt + answer
    labels = [IGNORED] * len(prompt) + answer
    return Encoded(ids[:max_length], labels[:max_length], truncated=len(ids) > max_length)


def text_ids(tokenizer: Any, text: str) -> list[int]:
    """Ids of plain text: no beginning or end token, and control tokens in it are encoded as the characters they are."""
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)
    return ids


def start_ids(tokenizer: Any) -> list[int]:
    """What a text without a prompt follows: the beginning-of-text token, or the end token where there is none."""
    first = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    return [] if first is None else [first]


def template_hash(tokenizer: Any, system_prompt: str | None) -> str:
    """What must agree for two arms to see the same conversations: template, system prompt, special tokens, rules."""
    return fingerprint([RENDER_VERSION, tokenizer.chat_template, system_prompt, tokenizer.special_tokens_map])


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn as the template gets it."""

    role: str
    content: str
    """What is said, tool calls included."""


@dataclass(frozen=True, slots=True)
class Frame:
    """What the template writes around the contents of a conversation: marks stand where they go.

    It depends on the roles alone, so one frame serves all conversations with the same roles.
    """

    prompt: str
    answer: str


@dataclass(frozen=True, slots=True)
class ControlToken:
    """A token that only the template may write."""

    id: int
    strips_before: bool
    """Whether white space before it is dropped."""
    strips_after: bool


def conversation(record: Record, system_prompt: str | None) -> list[Turn]:
    """Turns of a `chat` or `preference` record, the answer last.

    Raises ValueError if it does not end in an assistant turn, or has no turn before.
    """
    ending = record.chosen if record.kind == "preference" else record.messages[-1] if record.messages else None
    before = record.messages if record.kind == "preference" else record.messages[:-1]
    if ending is None or ending.role != "assistant":
        raise ValueError(f"record {record.id} does not end in an assistant turn")
    return [*_turns(before, system_prompt), Turn(ending.role, _spoken(ending))]


def conversation_frame(tokenizer: Any, roles: Sequence[str]) -> Frame:
    """The template's text for a conversation of `roles`, the last of which answers. Raises as `prompt_ids`."""
    prompt = _marked(tokenizer, roles[:-1], generation_prompt=True)
    whole = _marked(tokenizer, roles, generation_prompt=False)
    if not whole.startswith(prompt):
        raise UsageError(
            "the chat template renders an answered conversation otherwise than its prompt: the answer cannot be found",
            where="model.ref",
            next_step="take a model whose template only appends",
        )
    # What follows the end-of-turn token (a newline in ChatML) is never generated and is not learned.
    return Frame(prompt, whole[len(prompt) :].rstrip())


def control_tokens(tokenizer: Any) -> dict[str, ControlToken]:
    """The tokenizer's control tokens by their text."""
    special = [token for token in tokenizer.added_tokens_decoder.values() if token.special]
    return {
        str(token): ControlToken(tokenizer.convert_tokens_to_ids(str(token)), token.lstrip, token.rstrip)
        for token in special
    }


def runs(marked: str, contents: Sequence[str], control: Mapping[str, ControlToken]) -> list[str | ControlToken]:
    """A marked text with its contents filled in: plain text and control tokens in turn.

    Text between two control tokens is one run, whether it comes from the template or from a message: tokens may span
    both, exactly as when the whole conversation is encoded at once. Control tokens in a message are plain text.
    """
    found: list[str | ControlToken] = []
    run = ""
    strip_next = False
    for index, piece in enumerate(_MARKS.split(marked)):
        is_content = index % 2 == 1
        if is_content:
            parts = [contents[int(piece)]]
        else:
            parts = re.split(_any_of(tuple(control)), piece) if control else [piece]
        for part in parts:
            token = None if is_content else control.get(part)
            if token is None:
                run += part.lstrip() if strip_next and not is_content else part
                strip_next = strip_next and not part
                continue
            found += [run.rstrip() if token.strips_before else run, token]
            run, strip_next = "", token.strips_after
    return [*found, run]


_MARK = "\ue000{}\ue001"
_MARKS = re.compile("\ue000([0-9]+)\ue001")


def _turns(messages: Sequence[Message], system_prompt: str | None) -> list[Turn]:
    turns = [Turn(message.role, _spoken(message)) for message in messages]
    if not turns:
        raise ValueError("a conversation needs at least one turn")
    if system_prompt is not None and turns[0].role != "system":
        turns.insert(0, Turn("system", system_prompt))
    return turns


def _spoken(message: Message) -> str:
    """What a turn says, with its tool calls as one JSON line each."""
    calls = [canonical_json({"name": call.name, "arguments": call.arguments}) for call in message.tool_calls]
    return "\n".join([message.content, *calls] if message.content else calls) if calls else message.content


def _marked(tokenizer: Any, roles: Sequence[str], *, generation_prompt: bool) -> str:
    """The template's text around marks that stand for the contents, without a system prompt of the template's own."""
    text = _apply(tokenizer, [(role, _MARK.format(index)) for index, role in enumerate(roles)], generation_prompt)
    if roles[0] != "system":
        begin, added = _own_system_prompt(tokenizer, tokenizer.chat_template)
        if text.startswith(begin + added):
            text = begin + text[len(begin + added) :]
    return text


@lru_cache(maxsize=16)
def _own_system_prompt(tokenizer: Any, template: str) -> tuple[str, str]:
    """What `template` puts before a first user turn: beginning-of-text token, and a system prompt of its own.

    A user turn that is not the first shows what a user turn alone looks like. Templates that write the two differently
    for another reason (they put the first turn inside something else) are left as they are.
    """
    user, answer, again = (_MARK.format(index) for index in range(3))
    opening = [("user", user), ("assistant", answer)]
    first = _apply(tokenizer, opening[:1], False)
    answered = _apply(tokenizer, opening, False)
    continued = _apply(tokenizer, [*opening, ("user", again)], False)
    turn = continued.removeprefix(answered).replace(again, user)
    if not continued.startswith(answered) or not first.endswith(turn):
        return "", ""
    before = first.removesuffix(turn)
    begin = tokenizer.bos_token or ""
    if turn.startswith(begin) or not before.startswith(begin):
        begin = ""
    return begin, before.removeprefix(begin)


def _apply(tokenizer: Any, turns: Sequence[tuple[str, str]], generation_prompt: bool) -> str:
    from jinja2 import TemplateError

    if not tokenizer.chat_template:
        raise UsageError(
            "the model's tokenizer has no chat template, so conversations cannot be written for it",
            where="model.ref",
            next_step="take the instruction-tuned model of the same family",
        )
    messages = [{"role": role, "content": content} for role, content in turns]
    try:
        text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=generation_prompt)
    except (TemplateError, TypeError, ValueError) as error:
        roles = ", ".join(role for role, _ in turns)
        raise UsageError(
            f"the model's chat template refuses a conversation of {roles}: {error}",
            where="model.ref",
            next_step="leave such conversations out, or take a model whose template knows these roles",
        ) from error
    return str(text)


def _ids(tokenizer: Any, found: Sequence[str | ControlToken]) -> list[int]:
    """Ids of runs: text as plain text, control tokens as themselves."""
    ids: list[int] = []
    for run in found:
        ids += text_ids(tokenizer, run) if isinstance(run, str) else [run.id]
    return ids


@lru_cache(maxsize=16)
def _any_of(tokens: tuple[str, ...]) -> re.Pattern[str]:
    longest_first = sorted(tokens, key=len, reverse=True)
    return re.compile("(" + "|".join(re.escape(token) for token in longest_first) + ")")


def end_ids(tokenizer: Any) -> list[int]:
    """What ends a document that is learned: the end-of-text token, where there is one."""
    return [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
