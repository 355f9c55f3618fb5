"""How the exported model is served: an Ollama Modelfile, and vLLM's command line.

    chat template (Jinja) rendered with marks    <|im_start|>user\\nMARK<|im_end|>\\n ...
    ->  TEMPLATE \"\"\"{{- range .Messages }}{{ if eq .Role "system" }}<|im_start|>system
        {{ .Content }}<|im_end|>
        {{ else if ...\"\"\"

Ollama's templates are written in Go and cannot hold Jinja, so what the template puts before and after every turn is
read off rendered conversations, put together again, and compared with the template on other conversations. A template
that does more than wrap turns gets no TEMPLATE line, and the reason is said. A system prompt that the template brings
along by itself is left out: training and scoring never saw it.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.adapters.export.gguf_vocabulary import adds_bos
from workbench.core.errors import UsageError
from workbench.core.records import Message
from workbench.models.chat import conversation_frame, prompt_ids

_ROLES = ("system", "user", "assistant")
_CHECKED = (
    ("user",),
    ("system", "user"),
    ("user", "assistant", "user"),
    ("system", "user", "assistant", "user", "assistant", "user"),
)
_VLLM_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""Ranks that vLLM's `--max-lora-rank` takes."""


@dataclass(frozen=True, slots=True)
class TurnWrapping:
    """What a chat template writes around each turn; roles it does not know are absent."""

    begin: str
    """Before the first turn, once."""
    around: dict[str, tuple[str, str]]
    """Role to the text before and after its content."""
    answer: str
    """Where the assistant's next answer begins."""

    def rendered(self, turns: Sequence[tuple[str, str]]) -> str:
        """A conversation of roles and contents, up to the next answer."""
        texts = [self.around[role][0] + content + self.around[role][1] for role, content in turns]
        return self.begin + "".join(texts) + self.answer


def wrapping_of(tokenizer: Any) -> TurnWrapping:
    """What the tokenizer's chat template does to every turn.

    Raises UsageError if it does more than that: if turns are written differently by place, moved or dropped.
    """
    first, between, again, waiting = _pieces(tokenizer, ("user", "assistant", "user"))
    user_end, assistant_end = _ending(tokenizer, ("user",)), _ending(tokenizer, ("user", "assistant"))
    user_begin = again.removeprefix(assistant_end)
    if not (between.startswith(user_end) and waiting.startswith(user_end) and again.startswith(assistant_end)):
        raise _too_clever("a turn ends differently where another one follows")
    if not first.endswith(user_begin):
        raise _too_clever("the first turn is written differently")
    around = {
        "user": (user_begin, user_end),
        "assistant": (between.removeprefix(user_end), assistant_end),
    }
    begin = first[: len(first) - len(user_begin)]
    if (system := _system(tokenizer, begin, user_begin)) is not None:
        around["system"] = system
    found = TurnWrapping(begin, around, waiting.removeprefix(user_end))
    _check(tokenizer, found)
    return found


def ollama_modelfile(file: Path, tokenizer: Any, system_prompt: str | None, licence: str | None) -> tuple[str, str]:
    """The Modelfile for a GGUF file beside it, and what a reader should know of its template (empty if all is well)."""
    lines, remark = [f"FROM ./{file.name}", ""], ""
    try:
        wrapping = wrapping_of(tokenizer)
    except UsageError as error:
        remark = f"the Modelfile has no TEMPLATE, so Ollama chooses one: {error.problem}"
        lines += [f"# No TEMPLATE: {' '.join(error.problem.split())}"]
    else:
        lines += [f'TEMPLATE """{_go_template(wrapping, tokenizer)}"""']
        lines += [f'PARAMETER stop "{_quoted(stop)}"' for stop in _stops(tokenizer, wrapping)]
    if system_prompt is not None:
        lines.append(f'SYSTEM """{_long(system_prompt)}"""')
    if licence is not None:
        lines.append(f'LICENSE """{_long(licence)}"""')
    return "\n".join(lines) + "\n", remark


def vllm_merged(directory: Path, name: str, dtype: str, max_length: int) -> str:
    """vLLM's command line for a merged model."""
    options = ["--served-model-name", name, "--dtype", dtype, "--max-model-len", str(max_length)]
    return shlex.join(["vllm", "serve", str(directory), *options])


def vllm_adapter(base: str, directory: Path, name: str, rank: int) -> str:
    """vLLM's command line for an adapter beside its base; `base` is a hub id or a directory with safetensors."""
    allowed = next((limit for limit in _VLLM_RANKS if limit >= rank), rank)
    options = ["--enable-lora", "--max-lora-rank", str(allowed), "--lora-modules", f"{name}={directory}"]
    return shlex.join(["vllm", "serve", base, *options])


def own_system_prompt(tokenizer: Any) -> bool:
    """Whether the chat template adds a system prompt when none is given, which training and scoring left out."""
    if not tokenizer.chat_template:
        return False
    rendered = tokenizer.apply_chat_template(
        [{"role": "user", "content": "Hello"}], tokenize=False, add_generation_prompt=True
    )
    return bool(rendered != conversation_frame(tokenizer, ("user", "assistant")).prompt.replace(_mark(0), "Hello"))


def _pieces(tokenizer: Any, roles: Sequence[str]) -> list[str]:
    """The template's text before, between and after the contents of a conversation that is waiting for its answer."""
    text = conversation_frame(tokenizer, (*roles, "assistant")).prompt
    found = []
    for index in range(len(roles)):
        before, mark, text = text.partition(_mark(index))
        if not mark:
            raise _too_clever(f"a turn of {roles[index]} is moved or dropped")
        found.append(before)
    return [*found, text]


def _ending(tokenizer: Any, roles: Sequence[str]) -> str:
    """What the template writes after the content of the last of `roles`, where nothing is to follow."""
    turns = [{"role": role, "content": _mark(index)} for index, role in enumerate(roles)]
    text: str = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=False)
    return text.rpartition(_mark(len(roles) - 1))[2]


def _system(tokenizer: Any, begin: str, before_user: str) -> tuple[str, str] | None:
    """What stands around a system turn, or None if the template has none."""
    try:
        pieces = _pieces(tokenizer, ("system", "user"))
    except UsageError:
        return None
    if not pieces[0].startswith(begin) or not pieces[1].endswith(before_user):
        raise _too_clever("a system turn changes the turn after it")
    return pieces[0][len(begin) :], pieces[1][: len(pieces[1]) - len(before_user)]


def _check(tokenizer: Any, found: TurnWrapping) -> None:
    """The wrapping gives the same token ids as training's own rendering, or UsageError."""
    for roles in _CHECKED:
        if any(role not in found.around for role in roles):
            continue
        turns = [(role, f"turn {number} of {role}") for number, role in enumerate(roles)]
        wanted = prompt_ids(tokenizer, [Message(role=role, content=text) for role, text in turns], None)
        if tokenizer(found.rendered(turns), add_special_tokens=False).input_ids != wanted:
            raise _too_clever(f"a conversation of {', '.join(roles)} comes out differently")


def _go_template(found: TurnWrapping, tokenizer: Any) -> str:
    """The wrapping in Go's template language; a beginning-of-text token that llama.cpp adds by itself is left to it."""
    begin = found.begin.removeprefix(tokenizer.bos_token) if adds_bos(tokenizer) else found.begin
    branches = []
    for number, role in enumerate(role for role in _ROLES if role in found.around):
        before, after = found.around[role]
        word = "if" if number == 0 else "else if"
        branches.append(f'{{{{ {word} eq .Role "{role}" }}}}{_go(before)}{{{{ .Content }}}}{_go(after)}')
    turns = "".join(branches)
    return f"{_go(begin)}{{{{ range .Messages }}}}{turns}{{{{ end }}}}{{{{ end }}}}{_go(found.answer)}"


def _go(text: str) -> str:
    """Literal text inside a Go template inside a Modelfile's triple quotes."""
    return text.replace("{{", '{{ "{{" }}').replace('"""', '{{ "\\"\\"\\"" }}')


def _stops(tokenizer: Any, found: TurnWrapping) -> list[str]:
    """What ends an answer: the end token, and the token that ends an assistant turn."""
    stops = [tokenizer.eos_token, found.around["assistant"][1].strip()]
    return [stop for stop in dict.fromkeys(stops) if stop]


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _long(text: str) -> str:
    return text.replace('"""', "'''")


def _mark(index: int) -> str:
    return f"\ue000{index}\ue001"


def _too_clever(reason: str) -> UsageError:
    return UsageError(f"the chat template does more than wrap turns: {reason}", where="--format")
