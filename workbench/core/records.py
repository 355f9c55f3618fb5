"""The rows that cross walls: what one stage writes and another reads.

Every model is one line of a JSON Lines part. `SCHEMA_VERSION` is written into each manifest, once per part rather than
once per row, and a reader refuses a newer one.
"""

from __future__ import annotations

import hashlib
from json.encoder import encode_basestring
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from workbench.core.wire import Wire, storable

SCHEMA_VERSION = 1

Text = Annotated[str, AfterValidator(storable)]
"""Text from outside: lone surrogates are replaced, nothing else is changed."""


class ToolCall(Wire):
    """A call the assistant makes instead of, or besides, saying something."""

    name: Text
    arguments: Text
    """The arguments as JSON text, exactly as the data had them."""
    id: Text | None = None
    """What the result's `tool_call_id` refers to, where the data says it."""


class Message(Wire):
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant", "tool"]
    content: Text
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: Text | None = None
    """Of a `tool` turn: the call whose result it is."""
    name: Text | None = None
    """Of a `tool` turn: the tool."""


class Source(Wire):
    """Where a record came from."""

    dataset: str
    """Name of the dataset card."""
    file: str | None = None
    """File relative to the project, or a URL-like name for hub and built-in sources."""
    row: int | None = None
    """Zero-based row in the file or table."""
    line: int | None = None
    """One-based line in the file, where the format has lines."""
    part_of: str | None = None
    """What the record was cut from (module, document): records that share it never fall on both sides of a split."""
    split: str | None = None
    """The dataset's own split, where its name says so: `train`, `validation` or `test`."""


class Record(Wire):
    """One canonical training example or document.

    Example: `{"kind": "chat", "messages": [{"role": "user", "content": "Capital of Peru?"},
    {"role": "assistant", "content": "Lima"}], ...}`
    """

    id: str
    """First 16 hexadecimal digits of SHA-256 over kind, messages, chosen, rejected and text (`record_id`)."""
    kind: Literal["chat", "preference", "document"]
    """`chat`: messages ending in an assistant turn. `preference`: chosen and rejected ending. `document`: a text."""
    messages: tuple[Message, ...] = ()
    """The conversation; for `preference` the prompt alone."""
    chosen: Message | None = None
    rejected: Message | None = None
    text: Text | None = None
    """The text of a `document`."""
    label: bool | None = None
    """Thumbs up or down of a KTO row."""
    tools: Text | None = None
    """Tool definitions as JSON text, where the data has them."""
    source: Source
    topic: str | None = None
    """What the record is about, for balance tables; the data's own category or module."""

    def prompt(self) -> str:
        """Everything before the answer, one turn per line; empty for a document."""
        turns = self.messages if self.kind == "preference" else self.messages[:-1]
        return "\n".join(turn.content for turn in turns)

    def answer(self) -> str:
        """The text to be learned: last assistant turn, chosen ending, or the document."""
        if self.kind == "document":
            return self.text or ""
        if self.kind == "preference":
            return self.chosen.content if self.chosen else ""
        return self.messages[-1].content if self.messages else ""

    def with_content(
        self,
        messages: tuple[Message, ...],
        chosen: Message | None,
        rejected: Message | None,
        text: str | None,
    ) -> Record:
        """The record with other content, under the id of that content."""
        content = {"messages": messages, "chosen": chosen, "rejected": rejected, "text": text}
        return self.model_copy(update={"id": record_id(self.kind, messages, chosen, rejected, text), **content})

    def with_rejected(self) -> Record:
        """A `preference` with its rejected ending in the place of the chosen one, to be read or counted like it."""
        return self.model_copy(update={"chosen": self.rejected})

    def full_text(self) -> str:
        """Prompt and answer together, as compared by duplicate search and decontamination."""
        return self.answer() if not self.prompt() else f"{self.prompt()}\n{self.answer()}"


def record_id(
    kind: str,
    messages: tuple[Message, ...] = (),
    chosen: Message | None = None,
    rejected: Message | None = None,
    text: str | None = None,
) -> str:
    """Stable id of a record's content; the source plays no part, so exact copies share an id, and neither do the ids
    of tool calls, which are made up."""
    turns = ",".join(map(_canonical, messages))
    endings = ",".join("null" if ending is None else _canonical(ending) for ending in (chosen, rejected))
    document = "null" if text is None else encode_basestring(storable(text))
    # `short_id` of [kind, turns, endings, text] as dictionaries, written by hand: made once per row, it has to be fast.
    content = f'["{kind}",[{turns}],[{endings}],{document}]'
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _canonical(turn: Message) -> str:
    """`canonical_json` of a message."""
    calls = ",".join(
        f'{{"arguments":{encode_basestring(call.arguments)},"name":{encode_basestring(call.name)}}}'
        for call in turn.tool_calls
    )
    return f'{{"content":{encode_basestring(turn.content)},"role":"{turn.role}","tool_calls":[{calls}]}}'


class Quarantined(Wire):
    """A piece of input that could not be read as a record; the rest of the file was kept."""

    file: str
    row: int | None = None
    line: int | None = None
    byte: int | None = None
    """Offset of the first byte of the line."""
    reason: str
    """Machine-readable code, e.g. `bad_json`, `unknown_shape`, `bad_role`, `too_long`."""
    detail: Text
    """What exactly was wrong, for people."""
    excerpt: Text = ""
    """The first 200 characters of the input."""


class Finding(Wire):
    """What one filter said about one record. All findings are kept, not only the first."""

    record_id: str
    row: int
    """Position of the record in the input of `curate`, since exact copies share an id."""
    filter: str
    reason: str
    """Reason code, e.g. `exact_duplicate`, `empty_output`, `contaminated`."""
    action: Literal["drop", "flag", "repair"]
    detail: Text = ""
    """Evidence: the matched span, the kept twin and its true Jaccard similarity, the measured value and its limit."""


class Drop(Wire):
    """A record that did not pass, whole, with every reason."""

    row: int
    record: Record
    findings: tuple[Finding, ...]


class Edge(Wire):
    """A verified near-duplicate pair."""

    left: str
    right: str
    left_row: int
    right_row: int
    jaccard: float = Field(ge=0, le=1)
    """True Jaccard similarity of the two shingle sets, not the MinHash estimate."""


class Check(Wire):
    """One check of a synthetic candidate."""

    name: str
    passed: bool
    score: float | None = None
    threshold: float | None = None
    detail: Text = ""


class Candidate(Wire):
    """One synthetic pair with every verdict on it; nothing is deleted before the freeze."""

    id: str
    strategy: str
    status: Literal["accepted", "rejected", "review", "error"]
    record: Record | None
    """The pair as a record; None if the reply could not be parsed."""
    evidence: Text = ""
    """The sentence of the source that supports the answer."""
    seed_ids: tuple[str, ...] = ()
    """Ids of the records it was made from."""
    teacher: str | None = None
    """Model and address that produced it; None for rules."""
    raw_reply: Text = ""
    checks: tuple[Check, ...] = ()
    error: Text | None = None


class ScoreRow(Wire):
    """One document under one metric and one filter, for one arm.

    The key is (suite, task, filter, metric, doc_hash, occurrence)."""

    arm: str
    suite: str
    task: str
    filter: str = "none"
    metric: str
    doc_hash: str
    """First 16 digits of SHA-256 over the document's canonical JSON."""
    occurrence: int = 0
    """0 for the first document with this hash, 1 for the next: equal documents are told apart."""
    doc_id: int
    """Position in the suite's documents, for reading only; never a key."""
    value: float | None
    """Score on this document; None if it failed."""
    weight: float = 1.0
    """What the value counts for in the suite's mean: 1, or tokens for perplexity (value is then nats per token)."""
    parsed: bool = True
    """False if no answer could be read from the output: format, not ability."""
    group: str | None = None
    """Category of the document."""
    cluster: str | None = None
    """Documents with the same cluster are not independent (same passage, same template)."""
    must_pass: bool = False
    """A frozen item that may not fail at all."""
    prompt: Text = ""
    target: Text = ""
    output: Text = ""
    """Raw output: the text, or the choice with the log-likelihoods of all choices as JSON."""
    error: Text | None = None
    """Why the document failed; a failed document stays in the denominator and is counted."""


class Generation(Wire):
    """What an arm answered to a prompt shown to people or to the judge."""

    arm: str
    suite: str
    doc_hash: str
    occurrence: int = 0
    prompt: Text
    reference: Text = ""
    output: Text
    tokens: int
    finish_reason: Literal["stop", "length", "error"]
    turns: tuple[Message, ...] = ()
    """The conversation, where the document has several turns: questions and answers in order. `prompt` and `output`
    then hold the questions and the answers, joined."""


class Judgment(Wire):
    """One judge call: two answers in one order."""

    suite: str
    doc_hash: str
    occurrence: int = 0
    judge: str
    """Model id and address."""
    prompt_sha256: str
    """Hash of the judge's instructions: another wording is another judge."""
    order: Literal["before_first", "after_first"]
    before: str
    after: str
    preference: float | None
    """Preference for `after` between 0 and 1; 0.5 is a tie, None a failure."""
    raw: Text = ""
    error: Text | None = None
    repeat: int = 0
    """0 for the first time the question was put, 1 for the next."""
    model: Text | None = None
    """Model that answered, by the server's own word; None where the server does not say."""
    group: Text | None = None
    """Category of the document."""
    cluster: Text | None = None
    """Documents that depend on each other share one."""


class Grade(Wire):
    """What the judge gave one answer on one scale, without another answer beside it."""

    suite: str
    doc_hash: str
    occurrence: int = 0
    arm: str
    judge: str
    """Model id and address."""
    prompt_sha256: str
    """Hash of the scale's wording: another wording is another judge."""
    scale: str
    """`helpfulness`, `accuracy`, `format` (1 to 5) or `overall` (1 to 10)."""
    turn: int = 1
    """Which answer of a conversation, from 1."""
    repeat: int = 0
    score: float | None
    """On the scale; None if the reply holds no score."""
    soft: bool = False
    """Whether the score is the mean over the judge's probabilities of the numbers."""
    feedback: Text = ""
    """What the judge said."""
    error: Text | None = None
    model: Text | None = None


class HumanRating(Wire):
    """What a person said of two answers to one prompt. It holds the texts, so it stays true whatever the arms become.

    One line of `.workbench/decisions/ratings.jsonl`. The last line of a rater about a contest (`contest_id` of its
    texts) counts; `withdrawn` takes the earlier one back."""

    schema_version: int = SCHEMA_VERSION
    suite: str = ""
    """Empty in a file made elsewhere: then it counts for every suite."""
    doc_hash: str = ""
    occurrence: int = 0
    before: str = ""
    """Name of the arm before."""
    after: str = ""
    prompt: Text
    reference: Text = ""
    before_output: Text
    after_output: Text
    rater: str
    """Who rated."""
    verdict: Literal["before", "after", "tie", "neither", "withdrawn"]
    """Which answer is better; `tie`: equally good; `neither`: both are bad."""
    shown_first: Literal["before", "after"] | None = None
    """Which answer stood first or on the left."""
    note: Text = ""
    at: str = ""
    """UTC, ISO 8601."""


def contest_id(prompt: str, before_output: str, after_output: str) -> str:
    """Names two answers to one prompt by their texts: the same contest has the same id in every run."""
    content = "\x1f".join(storable(text) for text in (prompt, before_output, after_output))
    return hashlib.sha256(content.encode()).hexdigest()[:16]


class Flip(Wire):
    """A document whose correctness changed between two arms."""

    suite: str
    task: str
    filter: str
    metric: str
    doc_hash: str
    occurrence: int
    before_arm: str
    after_arm: str
    kind: Literal["forgotten", "learned"]
    group: str | None = None
    prompt: Text
    target: Text
    before_output: Text
    after_output: Text


class CurvePoint(Wire):
    """One optimiser step."""

    step: int
    loss: float
    """The objective's; of answers and documents the mean cross-entropy over the step's learned tokens, in nats."""
    learning_rate: float
    grad_norm: float
    tokens: int
    """Answer tokens of the step."""
    seconds: float
    """Wall time since training began, with the validation, samples and checkpoints between the steps, without earlier
    interrupted attempts. Time left is told at this pace; tokens per second are of the steps alone."""
    measures: dict[str, float] = {}
    """What else the objective tells of the step, such as `rewards/margins`, `rewards/accuracies` or `kl`."""


class TrainingSample(Wire):
    """What the model answered to one fixed prompt while it was trained."""

    step: int
    """Optimiser steps done; 0 is the model as training found it."""
    record: str
    """Id of the record the prompt is from."""
    held_back: bool
    """Whether that record is held back from training."""
    prompt: Text
    reference: Text
    """What the data answers."""
    answer: Text
    finish_reason: Literal["stop", "length"]


class Decision(Wire):
    """What a person decided: append-only, never lost by a rebuild."""

    schema_version: int = SCHEMA_VERSION
    id: str
    at: str
    """UTC, ISO 8601."""
    who: str
    kind: Literal["sign_off", "review", "rating", "restore", "acknowledge"]
    target: str
    """Fingerprint or id of what was decided on."""
    verdict: str
    note: Text = ""


class Part(Wire):
    """One file of an artifact."""

    path: str
    """Relative to the artifact directory."""
    rows: int | None
    """Lines of a JSON Lines part; None for other files."""
    size_bytes: int
    sha256: str


class Manifest(Wire):
    """The commit mark of an artifact: written last, so its presence means that everything else is there."""

    schema_version: int = SCHEMA_VERSION
    node: str
    stage: str
    stage_version: int
    fingerprint: str
    inputs: dict[str, str]
    """Role to fingerprint of each input artifact."""
    config: dict[str, Any]
    """The node's resolved configuration."""
    external: dict[str, str]
    """SHA-256 of what the node reads outside of artifacts: data files, suites, weights."""
    libraries: dict[str, str]
    parts: tuple[Part, ...]
    summary: dict[str, Any]
    """The stage's own numbers, for tables and logs."""
    created_at: str
    seconds: float
