"""Records in one line each."""

from __future__ import annotations

from workbench.core.records import Message, Record, Source, ToolCall, record_id


def chat(
    question: str, answer: str, *, row: int = 0, label: bool | None = None, calls: tuple[ToolCall, ...] = ()
) -> Record:
    """A question and its answer."""
    turns = (Message(role="user", content=question), Message(role="assistant", content=answer, tool_calls=calls))
    return Record(
        id=record_id("chat", turns), kind="chat", messages=turns, label=label, source=Source(dataset="data", row=row)
    )


def document(text: str, *, row: int = 0) -> Record:
    """A text."""
    return Record(
        id=record_id("document", text=text), kind="document", text=text, source=Source(dataset="data", row=row)
    )


def preference(question: str, chosen: str, rejected: str, *, row: int = 0) -> Record:
    """A question with a better and a worse answer."""
    turns = (Message(role="user", content=question),)
    better, worse = (Message(role="assistant", content=text) for text in (chosen, rejected))
    return Record(
        id=record_id("preference", turns, better, worse),
        kind="preference",
        messages=turns,
        chosen=better,
        rejected=worse,
        source=Source(dataset="data", row=row),
    )
