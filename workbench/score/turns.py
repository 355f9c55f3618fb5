"""Answers to documents of one turn or several: each further question is put after the model's own earlier answers.

    {"turns": ["Name a river.", "Is it longer than the Rhine?"]}
    -> Conversation(questions=("Name a river.", "Is it ..."), answers=[Answer("The Amazon."), Answer("Yes, ...")])

A document with `prompt` is a conversation of one turn.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from workbench.core.errors import UsageError
from workbench.core.records import Message
from workbench.core.suites import SuiteDocument
from workbench.score.answering import Answer, answer
from workbench.score.scoring import Job, text_field


@dataclass(frozen=True, slots=True)
class Conversation:
    """Questions of one document with the answers so far."""

    questions: tuple[str, ...]
    answers: list[Answer] = field(default_factory=list)

    def messages(self) -> tuple[Message, ...]:
        """What was said, in order."""
        return tuple(
            message
            for question, given in zip(self.questions, self.answers, strict=False)
            for message in (Message(role="user", content=question), Message(role="assistant", content=given.text))
        )

    def is_open(self, turn: int) -> bool:
        """Whether there is a question for this turn, counted from 0, and no failure before it."""
        return turn < max(1, len(self.questions)) and all(given.error is None for given in self.answers)


def converse(job: Job) -> list[Conversation]:
    """One conversation per document, in order; every answer has at most `suite.max_new_tokens` tokens.

    UsageError for documents with several turns in a suite without the chat template.
    """
    talks = [Conversation(questions(document.fields)) for document in job.documents]
    longest = max((len(talk.questions) for talk in talks), default=1)
    if longest > 1 and not job.suite.chat:
        raise UsageError(
            "documents with several `turns` are conversations and need the chat template",
            where=f"suite {job.suite.name}: chat",
            next_step="set `chat: true`",
        )
    for turn in range(max(1, longest)):
        going = [(document, talk) for document, talk in zip(job.documents, talks, strict=True) if talk.is_open(turn)]
        asked = [_asked(document, talk, turn) for document, talk in going]
        earlier = {document.doc_id: talk.messages() for document, talk in going}
        for (_, talk), given in zip(going, answer(replace(job, documents=asked), earlier), strict=True):
            talk.answers.append(given)
    return talks


def questions(fields: Mapping[str, Any]) -> tuple[str, ...]:
    """The document's `turns`, or its `prompt`; empty if there is neither, or a turn is no text."""
    turns = fields.get("turns")
    if isinstance(turns, list):
        return tuple(turns) if all(isinstance(turn, str) and turn.strip() for turn in turns) else ()
    prompt = text_field(fields, "prompt")
    return () if prompt is None else (prompt,)


def reference(fields: Mapping[str, Any]) -> str:
    """The document's reference answer; a list of them, one per turn, is joined as the answers are."""
    found = fields.get("reference")
    if isinstance(found, list) and all(isinstance(text, str) for text in found):
        return joined(tuple(found))
    return text_field(fields, "reference") or ""


def joined(texts: tuple[str, ...]) -> str:
    """Texts of several turns as one, each under its number; a single one as it is."""
    if len(texts) <= 1:
        return "".join(texts)
    return "\n\n".join(f"Turn {turn}: {text}" for turn, text in enumerate(texts, start=1))


def _asked(document: SuiteDocument, talk: Conversation, turn: int) -> SuiteDocument:
    prompt = talk.questions[turn] if talk.questions else None
    return document.model_copy(update={"fields": {"prompt": prompt}})
