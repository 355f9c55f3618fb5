"""`doc_pairs`: pairs by rule from documentation, correct by construction, no model.

    topic textwrap.dedent                            What does `textwrap.dedent` do?
    dedent(text)                                     -> Remove any common leading whitespace from every line in `text`.
                                                     How is `textwrap.dedent` called?
    Remove any common leading whitespace             -> dedent(text)
    from every line in `text`.                       What else should I know about `textwrap.dedent`?
                                                     -> This can be used to make triple-quoted strings line up ...
    This can be used to make triple-quoted ...

The subject is the document's topic, or what it opens with: a name with arguments, or an underlined title. A document
that names no subject, such as a later piece of a long text, gives no pair.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from workbench.core.records import Record
from workbench.synth.drafts import Draft, Making, draw_order, drawn

Kind = Literal["purpose", "title", "call", "example", "details"]
_NAME = r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*"
_HEADING = re.compile(rf"(?P<class>class )?(?P<name>{_NAME})(?P<call>\(.*\)(?:\s*->\s*\S.*)?)?:?")
_CALL_LINE = re.compile(rf"(?:async )?{_NAME}\(.*\)(?:\s*->\s*\S.*)?")
_UNDERLINE = re.compile(r"([*=\-~#^])\1{3,}\s*")
_SAYS_NOTHING = re.compile(r"\((?:\.\.\.|self|cls|self, /)?\)")
"""Argument lists without an argument that the caller gives."""
_MAX_HEADING_CHARACTERS = 300
_MIN_WORDS = 3
_MAX_WORDS = 160
_TEMPLATES: dict[Kind, tuple[str, ...]] = {
    "purpose": (
        "What does {subject} do?",
        "What is the purpose of {subject}?",
        "Explain briefly what {subject} is for.",
        "I came across {subject}. What is it?",
    ),
    "title": (
        "What does the documentation say about {subject}?",
        "Explain the topic {subject} briefly.",
        "Give me an introduction to {subject}.",
    ),
    "call": (
        "How is {subject} called?",
        "What is the signature of {subject}?",
        "Which arguments does {subject} take?",
    ),
    "example": (
        "Show me an example of {subject}.",
        "How is {subject} used in practice?",
        "Give an example that uses {subject}.",
    ),
    "details": (
        "What else should I know about {subject}?",
        "Tell me more about {subject}.",
        "Describe {subject} in more detail.",
    ),
}


@dataclass(frozen=True, slots=True)
class Entry:
    """A document taken apart."""

    subject: str
    """As it stands in questions: a name in backticks, a title in quotation marks."""
    is_title: bool
    call: str
    """Name with arguments, as the document has it; empty if it shows none."""
    paragraphs: tuple[str, ...]
    example: str
    """First block of an interactive session."""


def make(making: Making) -> Iterator[Draft]:
    """Drafts document by document in drawn order, until `count` is reached."""
    made = 0
    usable = (document for document in making.documents() if read_entry(document) is not None)
    for document in drawn(usable, making.config.count, making.seed):
        entry = read_entry(document)
        assert entry is not None, document.id
        for kind, answer in _answers(entry):
            if made == making.config.count or making.cancelled():
                return
            made += 1
            yield _draft(document, entry, kind, answer, making.seed)


def read_entry(document: Record) -> Entry | None:
    """The parts of a document; None if it names no subject or says nothing about it."""
    text, topic = (document.text or "").strip(), document.topic or ""
    first, _, rest = text.partition("\n")
    underline, _, after_title = rest.partition("\n")
    heading = _HEADING.fullmatch(first) if len(first) <= _MAX_HEADING_CHARACTERS else None
    title = first.strip().replace('"', "`") if _UNDERLINE.fullmatch(underline) else ""
    call = ""
    if heading is not None and rest.strip() and _names(heading, topic):
        subject, body = f"`{_longer(topic, heading['name'])}`", rest
        if heading["call"] and not heading["class"] and not _SAYS_NOTHING.fullmatch(heading["call"]):
            call = first.rstrip(":")
    elif title:
        subject, body = f'"{title}"', after_title
    elif re.fullmatch(_NAME, topic) and ("." in topic or topic == document.source.part_of):
        subject, body = f"`{topic}`", text
    else:
        return None
    paragraphs, example = _blocks(body)
    if paragraphs and all(_CALL_LINE.fullmatch(line.strip()) for line in paragraphs[0].splitlines()):
        # documentation of C code often repeats, or first gives, the forms of the call
        call, paragraphs = call or paragraphs[0], paragraphs[1:]
    return Entry(subject, subject.startswith('"'), call, paragraphs, example) if paragraphs else None


def _names(heading: re.Match[str], topic: str) -> bool:
    """A first line that is a name: with arguments, with a dot, or the last part of the topic."""
    return bool(heading["call"] or "." in heading["name"] or heading["name"] == topic.rpartition(".")[2])


def _longer(topic: str, name: str) -> str:
    """`textwrap.dedent` rather than `dedent`, where the topic is the same name with its module."""
    return topic if topic == name or topic.endswith(f".{name}") else name


def _blocks(body: str) -> tuple[tuple[str, ...], str]:
    """Paragraphs in order up to the first example, and that example."""
    blocks = [block.strip("\n") for block in re.split(r"\n\s*\n", body.strip("\n"))]
    paragraphs: list[str] = []
    example = ""
    for block in blocks:
        if block.lstrip().startswith(">>>"):
            example = _unindented(block)
            break
        if block.strip():
            paragraphs.append(_unindented(block))
    return tuple(paragraphs), example


def _answers(entry: Entry) -> Iterator[tuple[Kind, str]]:
    """Kind of question and answer, for everything the document supports."""
    first = entry.paragraphs[0]
    if _says_something(first):
        yield ("title" if entry.is_title else "purpose"), first
    if entry.call:
        yield "call", entry.call
    if entry.example and len(entry.example.split()) <= _MAX_WORDS:
        yield "example", entry.example
    if details := _up_to(entry.paragraphs[1:], _MAX_WORDS):
        yield "details", details


def _draft(document: Record, entry: Entry, kind: Kind, answer: str, seed: int) -> Draft:
    templates = _TEMPLATES[kind]
    template = templates[int(draw_order(seed, document.id, kind), 16) % len(templates)]
    return Draft(
        strategy="doc_pairs",
        seed=document,
        passage=document.text or "",
        question=template.format(subject=entry.subject),
        answer=answer,
        evidence=answer,
    )


def _says_something(text: str) -> bool:
    return _MIN_WORDS <= len(text.split()) <= _MAX_WORDS


def _up_to(paragraphs: tuple[str, ...], max_words: int) -> str:
    """As many whole paragraphs as fit, joined; empty if they say too little."""
    chosen: list[str] = []
    for paragraph in paragraphs:
        if len(" ".join((*chosen, paragraph)).split()) > max_words:
            break
        chosen.append(paragraph)
    text = "\n\n".join(chosen)
    return text if _says_something(text) else ""


def _unindented(block: str) -> str:
    """The block without the indentation all of its lines share (docstrings leave the first line flush)."""
    lines = block.splitlines()
    margins = [len(line) - len(line.lstrip()) for line in lines[1:] if line.strip()]
    if margins and lines[0] == lines[0].lstrip():
        return "\n".join([lines[0], *(line[min(margins) :] for line in lines[1:])]).rstrip()
    margin = min([*margins, len(lines[0]) - len(lines[0].lstrip())])
    return "\n".join(line[margin:] for line in lines).strip()
