"""`conflicting_answers`: the same question, answered differently in different rows.

    user: "Capital of Australia?"  ->  "Sydney.", elsewhere "It is Canberra."
        ->  flag  conflicting_answers: 2 different answers to this prompt in 2 rows, 1 says what this one says
    user: "Capital of Australia?"  ->  "Canberra", "It is Canberra."     ->  nothing: the same in other words
    preference: A better than B, elsewhere for the same prompt B better than A
        ->  flag  contradicting_preferences
    user: "Write a poem about rain."  ->  two poems            ->  nothing: the task has many right answers
    user: "Continue."                 ->  two continuations    ->  nothing: the prompt says too little

Prompts are compared with everything before the answer: system turn, earlier turns, tools. Answers that come down to one
word, a yes or no, or a marked result are the same only if that is; of others, the words that the prompt does not have
already are compared, by a sketch of 24 bytes. Thumbs-down rows are bad answers: they contradict a thumbs-up row that
says the same.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING

from workbench.core.curation import CurateConfig
from workbench.core.records import Message, Record
from workbench.curate.filters.contract import DatasetFilter, Subject, Verdict
from workbench.text.normalise import normalised, same_text
from workbench.text.shingles import tokens
from workbench.text.union_find import UnionFind

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CONFLICT, CONTRADICTION = "conflicting_answers", "contradicting_preferences"

_FEWEST_TOKENS = 4
"""Words (characters in scripts without spaces) that a prompt must have to be a question of its own."""
_MANY_RIGHT_ANSWERS = re.compile(
    r"(?:\A|[.!?:\n]\s{0,9})(?:(?:please|now|(?:can|could|would) you|help me|i (?:want|need) you to|you are to) ){0,3}"
    r"(?:(?:write|compose|create|generate|invent|imagine|design|brainstorm|suggest|recommend|propose|come up|think of"
    r"|make up|make a|tell (?:me|us)|paraphrase|rephrase|rewrite|reword|continue|role-?play|pretend|summari[sz]e"
    r"|describe|act as|draft|develop|construct|formulate|craft|devise|produce|edit|improve|explain|discuss|elaborate"
    r"|outline)\b|(?:name|list|give|find|provide|pick|choose) (?:(?:me|us) )?"
    r"(?:a|an|any|some|one|two|three|four|five|six|seven|eight|nine|ten|\d+)\b)|\brandom(?:ly)?\b|<(?:image|audio|video)>"
    r"|写一|写出|编写|续写|改写|创作|创建|生成|列出|举例|举出|推荐|建议|想象|设计|描述|解释|总结",
    re.IGNORECASE,
)
"""What opens a task with many right answers, at the beginning of a sentence."""
_RESULT = re.compile(
    r"(?:####|\\boxed\{|\b(?:final )?answer(?: is)?:?)\s{0,3}\$?([-−]?\d[\d,.]{0,20}|[A-Ea-e]\b)", re.IGNORECASE
)
_YES_OR_NO = {"yes": "yes", "true": "yes", "correct": "yes", "no": "no", "false": "no", "incorrect": "no", "not": "no"}
_EMPTY_WORDS = frozenset(
    re.findall(
        r"\w+",
        "a an and are as at be been by can do does for from has have i in is it its me my of on or that the their there"
        " these they this those to was we were which will with would you your s t so answer following",
    )
)
_NUMBER = re.compile(r"[-−]?\d+(?:[.,]\d+)*")
_OPENING_CHARS = 200
_PROMPT_CHARS = 1_000
_MOST_WORDS = 100
"""Words of an answer that are compared, from its beginning."""
_MOST_COMPARED = 200
"""Different answers to one prompt that are compared with each other."""

_NOTHING = 0
_SOMETHING_ELSE = 1
"""In the place of a good or bad answer that the row does not have, where it has the other."""
_CLOSED = 1 << 63
"""Bit of a good answer that is the same as another only if they are equal."""

_BUCKETS = 24
_UNFILLED = 255
_SAME_FROM = 0.3
_LONG_FROM = 16
_SAME_FROM_IF_LONG = 0.12
"""Share of equal buckets, of those that the emptier sketch fills, from which two answers say the same. Two long answers
to one question have about a fifth of their words in common, to two questions a fiftieth."""


def key(subject: Subject, config: CurateConfig) -> tuple[int, ...] | None:
    """Hashes of prompt, good and bad answer, and the good one's sketch; None where answers are free to differ.

    A plain answer has no bad one beside it, a thumb up or down has `_SOMETHING_ELSE` in the other place."""
    record = subject.record
    if record.kind == "document" or len(tokens(record.prompt()[:_OPENING_CHARS])) < _FEWEST_TOKENS:
        return None
    prompt = _hash((record.tools or "", *(part for turn in _before_the_answer(record) for part in _said(turn))))
    if record.chosen and record.rejected:
        return prompt, _hash(_said(record.chosen)), _hash(_said(record.rejected)), 0, 0, 0
    whole = _hash(_said(record.messages[-1]))
    if record.label is not None:
        return prompt, *((whole, _SOMETHING_ELSE) if record.label else (_SOMETHING_ELSE, whole)), 0, 0, 0
    if subject.calls_tools:
        return prompt, whole | _CLOSED, _NOTHING, 0, 0, 0
    if not subject.answer.strip() or _MANY_RIGHT_ANSWERS.search(_last_user_turn(record)):
        return None
    said = _own_words(subject)
    closed = _closed_form(subject.answer, said)
    good = whole & ~_CLOSED if closed is None else _hash((closed,)) | _CLOSED
    return prompt, good, _NOTHING, *_sketch(said)


def judge(rows: NDArray[np.int64], keys: NDArray[np.uint64], config: CurateConfig) -> Iterator[tuple[int, Verdict]]:
    """Flags every row of a prompt with different answers, and every row whose good answer is bad elsewhere."""
    import numpy as np

    _, group, counts = np.unique(keys[:, 0], return_inverse=True, return_counts=True)
    shared = np.flatnonzero(counts[group] > 1)
    shared = shared[np.argsort(group[shared], kind="stable")]
    for members in np.split(shared, np.flatnonzero(np.diff(group[shared])) + 1):
        yield from _conflicts(rows, keys, members[keys[members, 2] == _NOTHING])
        yield from _contradictions(rows, keys, members[keys[members, 2] != _NOTHING])


def _conflicts(
    rows: NDArray[np.int64], keys: NDArray[np.uint64], members: NDArray[np.int64]
) -> Iterator[tuple[int, Verdict]]:
    import numpy as np

    _, first, answer = np.unique(keys[members, 1], return_index=True, return_inverse=True)
    if len(first) < 2:
        return
    meaning = _meanings(keys[members[first]])
    different = len(set(meaning))
    if different < 2:
        return
    says = [meaning[number] for number in answer.tolist()]
    times = Counter(says)
    for member, said in zip(members.tolist(), says, strict=True):
        detail = f"{different} different answers to this prompt in {len(members)} rows, {times[said]} of them "
        yield int(rows[member]), Verdict(CONFLICT, "flag", detail + "with what this one says")


def _meanings(answers: NDArray[np.uint64]) -> list[int]:
    """For each of the different answers `[n, 6]` the first that says the same, directly or through others.

    Beyond the first 200, in the order of their hashes, an answer is taken to say what the first says."""
    import numpy as np

    compared = answers[:_MOST_COMPARED]
    sketches = np.ascontiguousarray(compared[:, 3:]).view(np.uint8).reshape(len(compared), _BUCKETS)
    closed = (compared[:, 1] & np.uint64(_CLOSED)) != 0
    groups = UnionFind(len(compared))
    for number in range(1, len(compared)):
        agreeing = _agreeing(sketches[number], sketches[:number]) & ~(closed[number] & closed[:number])
        for other in np.flatnonzero(agreeing).tolist():
            groups.join(number, other)
    return [groups.root(number) for number in range(len(compared))] + [0] * (len(answers) - len(compared))


def _agreeing(one: NDArray[np.uint8], others: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which of the other sketches `[n, 24]` say what one says, `[n]`."""
    import numpy as np

    filled = np.maximum(1, np.minimum((one != _UNFILLED).sum(), (others != _UNFILLED).sum(axis=1)))
    equal = ((others == one) & (one != _UNFILLED)).sum(axis=1)
    agreeing: NDArray[np.bool_] = equal >= np.where(filled >= _LONG_FROM, _SAME_FROM_IF_LONG, _SAME_FROM) * filled
    return agreeing


def _own_words(subject: Subject) -> set[str]:
    """The words of the answer that mean something and do not stand in the prompt; all that mean something, if none."""
    meant = _words(subject.answer_tokens, subject.answer) - _EMPTY_WORDS
    prompt = subject.record.prompt()[-_PROMPT_CHARS:]
    return meant - _words(tokens(prompt), prompt) or meant


def _words(said: list[str], text: str) -> set[str]:
    """Words, numbers whole, and pairs of characters in scripts without spaces."""
    first = said[:_MOST_WORDS]
    numbers = _NUMBER.findall(text[:_PROMPT_CHARS])
    if not text.isascii() and sum(map(len, first)) < 2 * len(first):
        return {left + right for left, right in pairwise(first)}.union(numbers)
    return {word for word in first if not word.isdigit()}.union(numbers)


def _closed_form(answer: str, said: set[str]) -> str | None:
    """What an answer comes down to, if one word or number tells."""
    results = _RESULT.findall(answer[-2000:])
    if results:
        return str(results[-1]).rstrip(".,").replace(",", "").lower()
    opening = next(iter(tokens(answer[:40])), "")
    if opening in _YES_OR_NO:
        return _YES_OR_NO[opening]
    return next(iter(said)) if len(said) == 1 else None


def _sketch(said: set[str]) -> tuple[int, int, int]:
    """Smallest byte of the words' hashes in each of 24 buckets (one permutation hashing), packed."""
    import xxhash

    buckets = bytearray([_UNFILLED]) * _BUCKETS
    for word in said:
        hashed = xxhash.xxh3_64_intdigest(word.encode("utf-8", "surrogatepass"))
        bucket, value = hashed % _BUCKETS, (hashed >> 32) % _UNFILLED
        buckets[bucket] = min(buckets[bucket], value)
    first, second, third = (int.from_bytes(buckets[start : start + 8], "little") for start in (0, 8, 16))
    return first, second, third


def _contradictions(
    rows: NDArray[np.int64], keys: NDArray[np.uint64], members: NDArray[np.int64]
) -> Iterator[tuple[int, Verdict]]:
    good, bad = (Counter(keys[members, column].tolist()) for column in (1, 2))
    disputed = (good.keys() & bad.keys()) - {_SOMETHING_ELSE}
    for member in members.tolist():
        if int(keys[member, 1]) in disputed:
            detail = f"its good answer is the bad one in {bad[int(keys[member, 1])]} other rows with this prompt"
        elif int(keys[member, 2]) in disputed:
            detail = f"its bad answer is the good one in {good[int(keys[member, 2])]} other rows with this prompt"
        else:
            continue
        yield int(rows[member]), Verdict(CONTRADICTION, "flag", detail)


def _before_the_answer(record: Record) -> tuple[Message, ...]:
    return record.messages if record.kind == "preference" else record.messages[:-1]


def _last_user_turn(record: Record) -> str:
    return next((turn.content for turn in reversed(record.messages) if turn.role == "user"), "")[:2000]


def _said(turn: Message) -> tuple[str, ...]:
    """Who says what, in one spelling; a full stop at the end makes no difference."""
    calls = (text for call in turn.tool_calls for text in (call.name, normalised(call.arguments)))
    return turn.role, same_text(turn.content).rstrip(".!。！ "), *calls


def _hash(parts: tuple[str, ...]) -> int:
    import xxhash

    whole = "\x1f".join(parts).encode("utf-8", "surrogatepass")
    return int(xxhash.xxh3_64_intdigest(whole)) | 2  # neither _NOTHING nor _SOMETHING_ELSE


FILTER = DatasetFilter("conflicting_answers", (CONFLICT, CONTRADICTION), 6, key, judge)
