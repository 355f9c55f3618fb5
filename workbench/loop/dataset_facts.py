"""What a dataset is like, as far as it matters for training: rows, lengths in tokens, how the answers differ.

    dataset_facts(card, project, model)
    ->
    DatasetFacts(rows=1,003, tokens=(p50 41, p99 212), answer_tokens=38,112, distinct_answers=3, documents=0, ...)
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

from workbench.core.cards import BuilderSource, Card, FileSource
from workbench.core.config import ModelConfig
from workbench.core.errors import IncompleteError, PrerequisiteError, UsageError
from workbench.core.records import Quarantined, Record
from workbench.core.stage import Context
from workbench.ingest.builders.registry import BUILDERS
from workbench.ingest.read import Tally, stream_records
from workbench.models.chat import NO_LIMIT
from workbench.models.refs import resolve
from workbench.models.token_counts import TokenCounter
from workbench.text.shingles import UNSPACED_CHARACTER

_BATCH_ROWS = 1000
_BYTES_PER_TOKEN = 4
"""Of UTF-8; used only where no tokenizer can be had. The usual rule for English, where a character is a byte; a
Cyrillic letter counts as half a token and a Chinese character as three quarters of one, which nothing here measured."""
_RULE = f"{_BYTES_PER_TOKEN} bytes of UTF-8 per token, a rule for English"
_LARGE_GGUF_BYTES = 1 << 30
"""A GGUF file's tokenizer is had by converting the file; beyond this size advice does not do it."""
_MANY_ANSWERS = 1000


@dataclass(frozen=True, slots=True)
class DatasetFacts:
    """One dataset."""

    name: str
    rows: int
    quarantined: int
    documents: int
    """Rows that are plain text, without a question."""
    unusable: int
    """Rows without an answer, or that the model's chat template refuses."""
    duplicates: int
    """Rows whose text another row has, to the letter."""
    lengths: tuple[int, ...]
    """Tokens of the usable rows, prompt and answer together, ascending."""
    answer_tokens: int
    """Tokens that are learned in one pass."""
    distinct_answers: int
    """Different answers, documents not counted; counting stops at 1,000."""
    copied: int
    """Rows whose answer stands in their prompt, word for word."""
    counted_by: str
    """The tokenizer, or the rule of thumb."""
    has_template: bool
    """False if the tokenizer has no chat template."""

    @property
    def tokens(self) -> int:
        """Of one pass over all usable rows."""
        return sum(self.lengths)

    @property
    def answers(self) -> int:
        """Rows with a question and an answer."""
        return self.rows - self.documents

    def length_of(self, share: float) -> int:
        """Tokens that `share` of the usable rows do not exceed."""
        return self.lengths[min(len(self.lengths) - 1, int(share * len(self.lengths)))]


def dataset_facts(
    card: Card, project: Path, model: ModelConfig, on_rows: Callable[[int], object] = lambda rows: None
) -> DatasetFacts:
    """Reads all of a dataset once. Raises as reading does, IncompleteError if there is no row to learn from."""
    tally, seen = Tally(), _Seen()
    counter = _counter(model, project)
    records = _records(card, project, tally)
    try:
        while rows := list(islice(records, _BATCH_ROWS)):
            seen.add(rows, counter)
            on_rows(tally.rows)
    except IncompleteError as error:
        if error.next_step is not None:
            raise
        step = "name data that has rows which can be read"
        raise IncompleteError(error.problem, where=_place(card), next_step=step) from error
    if not seen.lengths:
        raise IncompleteError(
            f"there is nothing to learn from: {tally.records} rows were read, {tally.quarantined} could not be, "
            f"{seen.unusable} have no answer",
            where=_place(card),
            next_step="look at the rows: workbench curate FILE --dry-run",
        )
    return DatasetFacts(
        name=card.name,
        rows=tally.records,
        quarantined=tally.quarantined,
        documents=seen.documents,
        unusable=seen.unusable,
        duplicates=tally.records - len(seen.ids),
        lengths=tuple(sorted(seen.lengths)),
        answer_tokens=seen.answer_tokens,
        distinct_answers=len(seen.answers),
        copied=seen.copied,
        counted_by=_RULE if counter is None else counter.name,
        has_template=seen.has_template,
    )


def stands_in(answer: str, prompt: str) -> bool:
    """Whether the prompt has the answer as whole words: "no" does not stand in "know", nor "3" in "2013"."""
    at = prompt.find(answer)
    while at >= 0:
        if not _splits_word(prompt, at) and not _splits_word(prompt, at + len(answer)):
            return True
        at = prompt.find(answer, at + len(answer))
    return False


def _splits_word(text: str, at: int) -> bool:
    return 0 < at < len(text) and _in_word(text[at - 1]) and _in_word(text[at])


def _in_word(character: str) -> bool:
    return (character.isalnum() or character == "_") and not UNSPACED_CHARACTER.match(character)


def _rough_tokens(text: str) -> int:
    return -(-len(text.encode("utf-8", "surrogatepass")) // _BYTES_PER_TOKEN)


def _place(card: Card) -> str:
    """The file, as far as there is one, else the name: who typed a file knows of no card."""
    return card.source.path if isinstance(card.source, FileSource) else card.name


def _records(card: Card, project: Path, tally: Tally) -> Iterator[Record]:
    if isinstance(card.source, BuilderSource):
        return iter(_built(card, card.source, project, tally))
    return (item for item in stream_records(card, project, tally) if not isinstance(item, Quarantined))


def _built(card: Card, source: BuilderSource, project: Path, tally: Tally) -> list[Record]:
    """What a builder makes; nothing is kept."""
    with TemporaryDirectory() as scratch:
        place = Path(scratch)
        ctx = Context(
            node=f"ingest:{card.name}",
            out_dir=place,
            work_dir=place,
            project=project,
            seed=0,
            emit=lambda event: None,
            clock=lambda: "",
            cancelled=lambda: False,
        )
        built = BUILDERS[source.builder].build(card, 0, ctx)
    records = list(built.records) if built is not None else []
    tally.records = len(records)
    return records


def _counter(model: ModelConfig, project: Path) -> TokenCounter | None:
    """Counts with the model's tokenizer, if that can be had without reading weights."""
    try:
        source = resolve(model.ref, model.revision, project)
        if source.is_gguf and source.path is not None and source.path.stat().st_size > _LARGE_GGUF_BYTES:
            return None
        return TokenCounter.for_model(model, project, NO_LIMIT)
    except (PrerequisiteError, UsageError):
        return None


@dataclass(slots=True)
class _Seen:
    """What was seen so far."""

    lengths: list[int] = field(default_factory=list)
    answer_tokens: int = 0
    documents: int = 0
    unusable: int = 0
    copied: int = 0
    has_template: bool = True
    ids: set[str] = field(default_factory=set)
    answers: set[bytes] = field(default_factory=set)

    def add(self, records: Sequence[Record], counter: TokenCounter | None) -> None:
        for record, (prompt, answer, problem) in zip(records, _counts(records, counter), strict=True):
            self.documents += record.kind == "document"
            self.ids.add(record.id)
            if problem is not None:
                self.unusable += 1
                self.has_template = self.has_template and problem != "no_template"
                continue
            self.lengths.append(prompt + answer)
            self.answer_tokens += answer
            if record.kind != "document":
                self._compare(record.prompt(), record.answer().strip())

    def _compare(self, prompt: str, answer: str) -> None:
        self.copied += bool(answer) and stands_in(answer, prompt)
        if len(self.answers) < _MANY_ANSWERS:
            self.answers.add(hashlib.blake2b(answer.encode("utf-8", "surrogatepass"), digest_size=12).digest())


def _counts(records: Sequence[Record], counter: TokenCounter | None) -> Iterator[tuple[int, int, str | None]]:
    """Tokens of prompt and answer, and what is wrong with the row."""
    if counter is not None:
        for found in counter.count(records):
            yield found.prompt, found.answer, found.problem
        return
    for record in records:
        prompt, answer = (_rough_tokens(text) for text in (record.prompt(), record.answer()))
        yield prompt, answer, None if answer else "no_answer"
