"""How many tokens records have when training reads them: the numbers of `encode_record`, without encoding.

    counter = TokenCounter.for_model(ModelConfig(), project, max_length=512)
    counter.count([record])   ->   [RecordTokens(prompt=13, answer=2, limit=512)]

What a template writes depends on the roles of a conversation alone, so it is rendered once for every order of roles;
what remains is counting plain texts (`workbench.models.text_tokens`). A counter can be sent to another process, where
it needs neither torch nor transformers as long as the orders of roles are usual ones.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from workbench.core.config import ModelConfig
from workbench.core.errors import UsageError
from workbench.core.fingerprints import file_sha256, fingerprint, library_versions
from workbench.core.parts import write_text
from workbench.core.paths import cache_dir
from workbench.core.records import Message, Record, Source
from workbench.core.wire import Wire
from workbench.models.chat import (
    IGNORED,
    NO_LIMIT,
    RENDER_VERSION,
    ControlToken,
    Frame,
    control_tokens,
    conversation,
    conversation_frame,
    encode_record,
    end_ids,
    runs,
    start_ids,
    text_ids,
)
from workbench.models.refs import model_fingerprint, resolve
from workbench.models.text_tokens import TextTokens

_COUNTS_VERSION = 1
"""Raised when what is remembered of a tokenizer has another meaning."""
_EXCHANGES = 16
"""Conversations of up to so many questions and answers need no template engine."""

Roles = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RecordTokens:
    """The length of a record as training reads it."""

    prompt: int
    """Tokens before the answer."""
    answer: int
    """Tokens to be learned, were there no limit; a document's are all but the first of its sequence."""
    limit: int
    """Tokens of a sequence that are read; the rest is cut off at the end."""
    problem: Literal["no_answer", "refused", "no_template"] | None = None
    """Why there is no such sequence: no turn of the assistant at the end, a template that does not take these roles in
    this order, or none at all."""
    detail: str = ""
    """The problem in words."""

    @property
    def total(self) -> int:
        """All tokens."""
        return self.prompt + self.answer

    @property
    def cut(self) -> int:
        """Tokens beyond the limit."""
        return max(0, self.total - self.limit)

    @property
    def answer_left(self) -> int:
        """Answer tokens within the limit that are learned: the first token of a sequence is never predicted."""
        return max(0, min(self.total, self.limit) - max(self.prompt, 1))


class _Learned(Wire):
    """What counting needs to know of a tokenizer and its template."""

    definition: str | None
    """JSON of the fast tokenizer; None where only the slow way gives its numbers."""
    frames: dict[str, tuple[str, str] | str]
    """Roles, joined by spaces, to template text of prompt and answer, or to why the template refuses them."""
    control: dict[str, tuple[int, bool, bool]]
    has_template: bool
    begin: int
    """Tokens before a document."""
    end: int
    """Tokens after it."""


class TokenCounter:
    """Counts the tokens of records for one model, one system prompt and one limit."""

    def __init__(self, config: ModelConfig, project: Path, max_length: int, learned: _Learned) -> None:
        self.name = f"tokenizer of {config.ref}"
        self.max_length = max_length
        self._config = config
        self._project = project
        self._learned = learned
        self._frames: dict[Roles, Frame | str] = {
            tuple(roles.split(" ")): found if isinstance(found, str) else Frame(*found)
            for roles, found in learned.frames.items()
        }
        self._control = {text: ControlToken(*rest) for text, rest in learned.control.items()}
        self._texts: TextTokens | None = None
        self._tokenizer: Any = None

    @classmethod
    def for_model(cls, config: ModelConfig, project: Path, max_length: int) -> TokenCounter:
        """A counter whose numbers are those of `encode_record` with `config.system_prompt`.

        What is learned of a tokenizer is remembered in the user's cache, so that the next counter needs no
        transformers. Raises as `load_tokenizer`.
        """
        note = _note(config, project)
        learned = _remembered(note)
        if learned is not None:
            return cls(config, project, max_length, learned)
        # 4 s: transformers, once per tokenizer
        from workbench.models.loading import load_tokenizer

        tokenizer = load_tokenizer(config, project)
        counter = cls(config, project, max_length, _learn(tokenizer))
        counter._tokenizer = tokenizer
        if not counter._agrees():
            counter._learned = counter._learned.model_copy(update={"definition": None})
        # A template that writes today's date gives other texts tomorrow.
        if "strftime_now" not in str(tokenizer.chat_template):
            _remember(note, counter._learned)
        return counter

    def count(self, records: Sequence[Record]) -> list[RecordTokens]:
        """Lengths of records, in their order; never raises for what a record holds."""
        texts: list[str] = []
        plans = [self._plan(record, texts) for record in records]
        counted = iter(self._counts(texts))
        return [self._measured(plan, counted) for plan in plans]

    def __getstate__(self) -> tuple[ModelConfig, Path, int, _Learned]:
        return self._config, self._project, self.max_length, self._learned

    def __setstate__(self, state: tuple[ModelConfig, Path, int, _Learned]) -> None:
        TokenCounter.__init__(self, *state)

    def _plan(self, record: Record, texts: list[str]) -> _Plan | RecordTokens:
        """Adds the texts to be counted to `texts`; gives what comes to their numbers, or why there are none."""
        if record.kind == "document":
            texts.append(record.text or "")
            return _Plan(0, self._learned.begin, 1, self._learned.end)
        try:
            turns = conversation(record, self._config.system_prompt)
        except ValueError as error:
            return RecordTokens(0, 0, self.max_length, "no_answer", str(error))
        frame = self._frame(tuple(turn.role for turn in turns))
        if isinstance(frame, str):
            problem: Literal["refused", "no_template"] = "refused" if self._learned.has_template else "no_template"
            return RecordTokens(0, 0, self.max_length, problem, frame)
        contents = [turn.content for turn in turns]
        sizes = []
        for marked in (frame.prompt, frame.answer):
            found = runs(marked, contents, self._control)
            plain = [run for run in found if isinstance(run, str) and run]
            texts += plain
            sizes += [len(plain), sum(not isinstance(run, str) for run in found)]
        return _Plan(*sizes)

    def _measured(self, plan: _Plan | RecordTokens, counted: Iterator[int]) -> RecordTokens:
        if isinstance(plan, RecordTokens):
            return plan
        prompt = plan.prompt_control + sum(next(counted) for _ in range(plan.prompt_texts))
        answer = plan.answer_control + sum(next(counted) for _ in range(plan.answer_texts))
        return RecordTokens(prompt, answer, self.max_length)

    def _counts(self, texts: Sequence[str]) -> list[int]:
        if self._learned.definition is None:
            tokenizer = self._loaded()
            return [len(text_ids(tokenizer, text)) for text in texts]
        if self._texts is None:
            self._texts = TextTokens(self._learned.definition)
        return self._texts.counts(texts)

    def _frame(self, roles: Roles) -> Frame | str:
        """What the template writes for `roles`, or why it refuses them."""
        found = self._frames.get(roles)
        if found is None:
            found = self._frames[roles] = _frame(self._loaded(), roles)
        return found

    def _agrees(self) -> bool:
        """Whether the fast way gives the lengths of `encode_record` on texts of all kinds."""
        if self._learned.definition is None:
            return False
        for record, found in zip(_PROBES, self.count(_PROBES), strict=True):
            if found.problem is None:
                encoded = encode_record(self._loaded(), record, NO_LIMIT, self._config.system_prompt)
                prompt = sum(label == IGNORED for label in encoded.labels)
                if (found.prompt, found.total) != (prompt, len(encoded.input_ids)):
                    return False
        return True

    def _loaded(self) -> Any:
        if self._tokenizer is None:
            # 4 s: transformers, for an order of roles that was not foreseen, or a tokenizer without a fast form
            from workbench.models.loading import load_tokenizer

            self._tokenizer = load_tokenizer(self._config, self._project)
        return self._tokenizer


@dataclass(frozen=True, slots=True)
class _Plan:
    """How many texts of a record are counted, and how many control tokens stand around them."""

    prompt_texts: int
    prompt_control: int
    answer_texts: int
    answer_control: int


def tokenizer_fingerprint(config: ModelConfig, project: Path) -> str:
    """What names a tokenizer with its template: the model's fingerprint. Raises as `model_fingerprint`."""
    source = resolve(config.ref, config.revision, project)
    if source.kind != "directory" or source.path is None:
        return model_fingerprint(source)
    endings = {".json", ".model", ".jinja", ".txt", ".tiktoken"}
    files = sorted(path for path in source.path.iterdir() if path.suffix in endings)
    return fingerprint([(path.name, file_sha256(path)) for path in files])


def _learn(tokenizer: Any) -> _Learned:
    """What there is to know of a tokenizer and its template."""
    frames = {" ".join(roles): _frame(tokenizer, roles) for roles in _usual_roles()}
    control = control_tokens(tokenizer)
    return _Learned(
        definition=tokenizer.backend_tokenizer.to_str() if getattr(tokenizer, "is_fast", False) else None,
        frames={
            roles: found if isinstance(found, str) else (found.prompt, found.answer) for roles, found in frames.items()
        },
        control={text: (token.id, token.strips_before, token.strips_after) for text, token in control.items()},
        has_template=bool(tokenizer.chat_template),
        begin=len(start_ids(tokenizer)),
        end=len(end_ids(tokenizer)),
    )


def _frame(tokenizer: Any, roles: Roles) -> Frame | str:
    try:
        return conversation_frame(tokenizer, roles)
    except UsageError as error:
        return error.problem


def _usual_roles() -> list[Roles]:
    """Questions and answers in turn with and without a system turn, and answers that call tools."""
    exchange = ("user", "assistant")
    tool_use = [(*exchange, *(("tool", "assistant") * calls)) for calls in (1, 2, 3)]
    plain = [exchange * count for count in range(1, _EXCHANGES + 1)]
    return [roles for one in (*plain, *tool_use) for roles in (one, ("system", *one))]


_PROBE_TEXTS = (
    "",
    " ",
    "word",
    " Two words  and\ttabs ",
    "def f(x):\n    return x ** 2  # squared\n\n\n",
    "It's 3.14159, isn't it?\r\nYes -- 100%!",
    "naïve café, Zürich e\u0301, 数学は楽しい。 한국어 😀🏳️‍🌈 a\u00a0b \u3000c",
    "<|im_end|> <s> </s> <|endoftext|> [INST] <unk>",
    "    deep\n\t\tindent   ",
    "https://example.org/?q=1&r=2#three_four_" + "x" * 60,
)


def _probes() -> list[Record]:
    source = Source(dataset="probe")
    made = [Record(id="0", kind="document", text=text, source=source) for text in (*_PROBE_TEXTS, *_PROBE_TEXTS)]
    for place, text in enumerate(_PROBE_TEXTS):
        other = _PROBE_TEXTS[place - 1]
        for roles in (("user", "assistant"), ("system", "user", "assistant"), ("user", "assistant") * 2):
            turns = tuple(
                Message(role=role, content=(text, other)[turn % 2])
                for turn, role in enumerate(roles)
            )
            made.append(Record(id="0", kind="chat", messages=turns, source=source))
    return made


_PROBES = _probes()


def _note(config: ModelConfig, project: Path) -> Path:
    known = [
        _COUNTS_VERSION,
        RENDER_VERSION,
        tokenizer_fingerprint(config, project),
        library_versions(["tokenizers", "transformers"]),
    ]
    return cache_dir() / "tokenizers" / f"{fingerprint(known)}.json"


def _remembered(note: Path) -> _Learned | None:
    try:
        return _Learned.model_validate_json(note.read_bytes())
    except (OSError, ValidationError):
        return None


def _remember(note: Path, learned: _Learned) -> None:
    # A cache that cannot be written costs time only.
    with contextlib.suppress(OSError):
        write_text(note, learned.model_dump_json())
