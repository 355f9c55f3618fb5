"""Contamination: which evaluation documents does a training record give away?

    index = EvaluationIndex([[suite_document(0, fields, text_fields), ...]], ngram=8)
    index.find(record, least=0.2)
    ->  [Contamination(set=0, document=0, kind="contained", share=0.87, part="whole", span="Which planet ... how long")]

A document is looked for as a whole and by its question alone, so that neither an answer of its own nor a missing
answer hides it. Choices are no evidence without their question, which is looked for without them unless it would not
tell the document from others ("Which sentence is right?").
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

from workbench.core.records import Message, Record
from workbench.text.choices import without_choices
from workbench.text.containment import SHORTEST, Candidate, ContainmentIndex, Haystack, Match, Needle, common_from
from workbench.text.grams import Tokens, read_tokens

Kind = Literal["equal", "contained", "excerpt", "answer", "renumbered", "short"]
_EXCERPT_NGRAMS = 4
"""A record of fewer words than so many n-grams is no excerpt of a document, whatever it shares with it."""


@dataclass(frozen=True, slots=True)
class EvaluationDocument:
    """One document that must not be trained on."""

    number: int
    """Position or row, as people find it again."""
    prompt: str
    """What is asked, with its choices; or the whole text."""
    question: str
    """The prompt without choices; equal to it where it offers none."""
    answer: str = ""
    turns: tuple[str, ...] = ()
    """Where several questions are asked, each of them."""


@dataclass(frozen=True, slots=True)
class Contamination:
    """One document found in one record."""

    set: int
    """Position of its set."""
    document: int
    """`number` of the document."""
    kind: Kind
    """`equal`: the record, its prompt or one user turn says the same. `contained`: shares n-grams. `excerpt`: the
    record is for the greater part a piece of a longer document. `answer`: nothing but the document's answer is in it.
    `renumbered`: shares n-grams once all numbers are alike. `short`: a document of fewer words than an n-gram stands
    in it whole, which can be chance."""
    share: float
    """Share of the n-grams of the document (`excerpt`: of the record) found in the other; 1 if equal."""
    part: Literal["whole", "question"]
    """What of the document the share is of."""
    span: str
    """The longest run of shared n-grams, as written in the record."""
    own: float = 1.0
    """The share of those n-grams that no other document of the set has (`excerpt`: of the record's n-grams). Without
    them a passage or an instruction that several documents have was found, and none of the documents."""

    @property
    def strength(self) -> tuple[float, float]:
        """What the best of a set is chosen by."""
        return min(self.share, self.own), self.share


@dataclass(frozen=True, slots=True)
class _Part:
    """What a needle is of its document."""

    set: int
    document: int
    name: Literal["whole", "question"]
    question_words: int = 0
    """Words at its beginning that are the question, where the rest alone is less than contamination."""
    rest: Literal["answer", "choices"] = "answer"
    """What follows the question."""


class EvaluationIndex:
    """Documents of all sets, ready to be looked for in many records; picklable."""

    def __init__(self, sets: Sequence[Sequence[EvaluationDocument]], ngram: int) -> None:
        """Boilerplate is counted within each set."""
        self.ngram = ngram
        self._parts: list[_Part] = []
        needles: list[Needle] = []
        for position, documents in enumerate(sets):
            for part, needle in _needles(position, documents, ngram):
                self._parts.append(part)
                needles.append(needle)
        self._index = ContainmentIndex(needles, ngram)

    def find(self, record: Record, least: float) -> list[Contamination]:
        """The largest share of each set and kind, from `least` on, in order of the sets."""
        if not self._parts:
            return []
        turns = record_turns(record)
        tokens = read_tokens([turn.text for turn in turns])
        found = list(self._equal(turns, tokens))
        equal = {one.set for one in found}
        for view, places in _views(turns, tokens):
            candidates = self._index.candidates(view)
            if candidates:
                haystack = Haystack("\n".join(turns[place].text for place in places))
                found += self._located(candidates, haystack, len(view.hashes), least, equal)
        return _largest(found)

    def _equal(self, turns: Sequence[Turn], tokens: Tokens) -> Iterator[Contamination]:
        for first, last, shortest in _wholes(turns):
            for needle in self._index.with_words(tokens.sequence(first, last)):
                text = "\n".join(turn.text for turn in turns[first : last + 1])
                if tokens.size(first, last) >= shortest and self._index.equals(needle, text):
                    part = self._parts[needle]
                    yield Contamination(part.set, part.document, "equal", 1.0, part.name, text)

    def _located(
        self, candidates: Sequence[Candidate], haystack: Haystack, words: int, least: float, equal: Set[int]
    ) -> Iterator[Contamination]:
        """What the candidates come to, the best of each set first; hashes alone are never believed.

        Sets in which something equal was found need no further evidence.
        """
        done: set[tuple[int, Kind]] = set()
        for share, own, kind, candidate in sorted(
            self._claims(candidates, words, least),
            key=lambda claim: (-min(claim[0], claim[1]), -claim[0], claim[2], claim[3].needle),
        ):
            part = self._parts[candidate.needle]
            if part.set in equal or (part.set, kind) in done:
                continue
            match = self._index.locate(candidate.needle, haystack, renumbered=kind == "renumbered")
            if match is None:
                continue
            told = _told(kind, match, part)
            if told is None:
                continue
            done.add((part.set, kind))
            measured = share if kind == "excerpt" else match.share
            yield Contamination(part.set, part.document, told, measured, part.name, match.span, own)

    def _claims(
        self, candidates: Sequence[Candidate], words: int, least: float
    ) -> Iterator[tuple[float, float, Kind, Candidate]]:
        """Share, share of what is the document's own, and what that may be."""
        for candidate in candidates:
            if self._index.words(candidate.needle) < self.ngram:
                yield 1.0, 1.0, "short", candidate
                continue
            if candidate.share >= least:
                yield candidate.share, candidate.own, "contained", candidate
            elif candidate.renumbered >= least:
                yield candidate.renumbered, 1.0, "renumbered", candidate
            if candidate.of_text >= least and words >= _EXCERPT_NGRAMS * self.ngram:
                yield candidate.of_text, candidate.own_of_text, "excerpt", candidate


class Turn(NamedTuple):
    """One piece of a record's text."""

    text: str
    role: Literal["prompt", "user", "answer", "rejected"]
    """Who says it; `prompt` is any turn before the answer that is not the user's."""


def record_turns(record: Record) -> list[Turn]:
    """All text of a record that a model could learn from, in order."""
    if record.kind == "document":
        return [Turn(record.text or "", "answer")]
    turns = [Turn(turn.content, "user" if turn.role == "user" else "prompt") for turn in record.messages]
    if record.kind == "chat":
        return [*turns[:-1], Turn(record.answer(), "answer")]
    endings: tuple[tuple[Message | None, Literal["answer", "rejected"]], ...] = (
        (record.chosen, "answer"),
        (record.rejected, "rejected"),
    )
    return turns + [Turn(ending.content, role) for ending, role in endings if ending is not None]


def compared_text(record: Record) -> str:
    """All text of a record that a model could learn from: prompt, answer, and the rejected ending of a preference."""
    rejected = record.rejected.content if record.rejected else ""
    return "\n".join(piece for piece in (record.full_text(), rejected) if piece)


def suite_document(number: int, fields: Mapping[str, Any], text_fields: Iterable[str]) -> EvaluationDocument:
    """A suite's document: its text fields together. A field may be a list of texts, such as the turns of a dialogue."""
    texts: list[str] = []
    turns: tuple[str, ...] = ()
    for name in text_fields:
        value = fields.get(name)
        if isinstance(value, str):
            texts.append(value)
        elif isinstance(value, list) and all(isinstance(piece, str) for piece in value):
            texts += value
            turns += tuple(value)
    text = "\n".join(piece for piece in texts if piece.strip())
    # A text to be predicted may have lists; only a question has choices.
    question = without_choices(text) if "text" not in fields else None
    return EvaluationDocument(number, text, question or text, turns=turns)


def question_document(number: int, prompt: str, answer: str) -> EvaluationDocument:
    """A question with its answer; without a prompt, a text."""
    if not prompt.strip():
        return EvaluationDocument(number, answer, answer)
    return EvaluationDocument(number, prompt, without_choices(prompt) or prompt, answer)


def record_document(number: int, record: Record) -> EvaluationDocument:
    """A record as an evaluation document: what is asked, without system turns, and the answer."""
    before = record.messages if record.kind == "preference" else record.messages[:-1]
    asked = [turn for turn in before if turn.role != "system"]
    prompt = "\n".join(turn.content for turn in asked)
    users = tuple(turn.content for turn in asked if turn.role == "user")
    asked_in = users if len(users) > 1 else ()
    return replace(question_document(number, prompt, record.answer()), turns=asked_in)


def _told(kind: Kind, match: Match, part: _Part) -> Kind | None:
    """The kind of a match that was verified; None if it is no evidence."""
    if part.question_words == 0:
        return kind
    if part.rest == "choices":
        return None if match.first_of_any >= part.question_words else kind
    if match.first < part.question_words:
        return kind
    # Calculations look alike once their numbers do.
    return None if kind == "renumbered" else "answer"


def _needles(position: int, documents: Sequence[EvaluationDocument], ngram: int) -> Iterator[tuple[_Part, Needle]]:
    """What is looked for of each document of a set.

    A question that more documents have than an n-gram may (`containment.COMMON`) says nothing about one of them.
    """
    contents = {(one.prompt, one.answer): owner for owner, one in enumerate(documents)}
    asked_by = Counter(question for question, _ in {(one.question, (one.prompt, one.answer)) for one in documents})
    common = common_from(len(contents))
    for one in documents:
        owner = contents[one.prompt, one.answer]
        size = _words(one.question)
        telling = size >= SHORTEST and asked_by[one.question] <= common
        if one.question != one.prompt:
            pieces = _of_choice(one, size, telling, ngram, position)
        else:
            pieces = _of_question(one, size, telling, position)
        for part, text in pieces:
            equal_only = part.name == "question" and size < ngram and one.question != one.prompt
            yield part, Needle(text, owner, position, equal_only)
        for turn in one.turns:
            if _words(turn) >= ngram:
                yield _Part(position, one.number, "question"), Needle(turn, owner, position)


def _of_choice(
    one: EvaluationDocument, size: int, telling: bool, ngram: int, position: int
) -> Iterator[tuple[_Part, str]]:
    """A multiple choice: its question, and the choices as well where the question alone is short or common."""
    if telling:
        yield _Part(position, one.number, "question"), one.question
    if telling and size >= ngram:
        if one.answer:
            yield _Part(position, one.number, "whole", size), f"{one.question}\n{one.answer}"
    else:
        first = size if one.prompt.startswith(one.question) else 0
        yield _Part(position, one.number, "whole", first, "choices"), one.prompt


def _of_question(one: EvaluationDocument, size: int, telling: bool, position: int) -> Iterator[tuple[_Part, str]]:
    """A question with its answer, or a text."""
    if not one.answer:
        yield _Part(position, one.number, "whole"), one.prompt
        return
    if telling:
        yield _Part(position, one.number, "question"), one.question
    whole = f"{one.question}\n{one.answer}" if one.question else one.answer
    yield _Part(position, one.number, "whole", size if telling else 0), whole


def _wholes(turns: Sequence[Turn]) -> list[tuple[int, int, int]]:
    """First and last turn of what can be a document as it stands, and the words it must have.

    These are the whole record, its prompt (with and without system turn) and, if it says enough, each user turn.
    """
    answer = next((place for place, turn in enumerate(turns) if turn.role == "answer"), len(turns) - 1)
    users = [place for place, turn in enumerate(turns) if turn.role == "user"]
    wholes = [(0, answer, 1)]
    if answer > 0:
        wholes.append((0, answer - 1, 1))
    if users and users[0] > 0:
        wholes += [(users[0], answer, 1), (users[0], answer - 1, 1)]
    if len(users) > 1:
        wholes += [(place, place, SHORTEST) for place in users]
    return wholes


def _views(turns: Sequence[Turn], tokens: Tokens) -> Iterator[tuple[Tokens, Sequence[int]]]:
    """The texts in which documents are looked for, with their turns: all, and the user's alone if others interrupt."""
    yield tokens, range(len(turns))
    users = [place for place, turn in enumerate(turns) if turn.role == "user"]
    if len(users) > 1 and users[-1] - users[0] >= len(users):
        yield tokens.of_pieces(users), users


def _words(text: str) -> int:
    return len(read_tokens([text]).hashes)


def _largest(found: Iterable[Contamination]) -> list[Contamination]:
    """The first of the strongest of each set and kind."""
    best: dict[tuple[int, str], Contamination] = {}
    for one in found:
        key = (one.set, one.kind)
        if key not in best or one.strength > best[key].strength:
            best[key] = one
    return [best[key] for key in sorted(best)]
