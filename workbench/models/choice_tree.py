"""Which sequences a model reads to score continuations, so that nothing shared is read twice.

    requests  (few-shot examples + "The capital of Peru is", " Lima"), (the same, " Quito"), (the same, " La Paz"), ...
    group     prefix = the examples, read once for all rows of the group
    row       "The capital of Peru is" and below it the choices as a tree: " La" | (the last tokens are only predicted)

Rows are planned over all requests by one rule that looks at token ids alone, and batches are filled in order up to a
number of tokens: the same requests and the same budget always give the same batches, and requests added at the end
leave the full batches before them as they are, unless they change what the documents share.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from workbench.models.likelihood import Pair

_LEAST_PREFIX = 16
"""Tokens: a shorter prefix costs more in copied keys than it saves."""
_PREFIX_OVERHEAD = 256
"""Tokens that a group must save: its prefix is a forward pass of its own, and its batches hold no other rows."""
_LONGEST_TREE = 512
"""Nodes: a longer tree (hundreds of choices after one context) is read in several rows."""


@dataclass(slots=True)
class Row:
    """Contexts after the group's prefix, and their continuations, as one tree."""

    tokens: list[int] = field(default_factory=list)
    """Token of every node, parents before children."""
    depths: list[int] = field(default_factory=list)
    """Nodes above each node; its position is the prefix's length more."""
    branches: list[tuple[list[int], int, int]] = field(default_factory=list)
    """Chains the tree is made of: the nodes above a chain, its first node and the end of it."""
    requests: list[int] = field(default_factory=list)
    """Requests scored on the row, by their place in the list given."""
    predictors: list[list[int]] = field(default_factory=list)
    """For each of them, the nodes whose logits predict its continuation's tokens."""

    def welcomes(self, ids: list[int], path: list[int]) -> bool:
        """Whether `ids` share enough with the branch `path`, and the tree stays short enough, to be put below it."""
        shared = shared_length([self.tokens[node] for node in path], ids)
        size = len(self.tokens) + len(ids) - shared
        return 3 * shared >= len(ids) and size <= max(_LONGEST_TREE, 2 * len(ids))

    def add(self, request: int, ids: list[int], predicted: int, path: list[int]) -> list[int]:
        """Puts `ids` into the tree below what it shares with the branch `path`; gives its own path of nodes."""
        shared = shared_length([self.tokens[node] for node in path], ids)
        first = len(self.tokens)
        above = path[:shared]
        self.tokens += ids[shared:]
        self.depths += range(shared, len(ids))
        if len(self.tokens) > first:
            self.branches.append((above, first, len(self.tokens)))
        own = above + list(range(first, len(self.tokens)))
        self.requests.append(request)
        self.predictors.append(own[-predicted:])
        return own


@dataclass(frozen=True, slots=True)
class Group:
    """Rows after one prefix."""

    prefix: list[int]
    """Empty where nothing worth it is shared."""
    batches: list[list[Row]]


@dataclass(slots=True)
class _Document:
    """Requests with one context, in the order of their ids."""

    context: list[int]
    requests: list[int]


def plan(requests: Sequence[Pair], tokens_per_batch: int) -> list[Group]:
    """Groups of batches in which every request is scored once; a batch holds `tokens_per_batch` or a single row.

    Neither contexts nor continuations may be empty.
    """
    documents = _documents(requests)
    by_prefix: dict[tuple[int, ...], list[_Document]] = {}
    for document, prefix in zip(documents, _prefixes(documents), strict=True):
        by_prefix.setdefault(prefix, []).append(document)
    return [
        Group(list(prefix), _batches(_rows(own, requests, len(prefix)), tokens_per_batch))
        for prefix, own in by_prefix.items()
    ]


def _prefixes(documents: Sequence[_Document]) -> list[tuple[int, ...]]:
    """The prefix of each document, empty where none pays."""
    order = sorted(range(len(documents)), key=lambda number: documents[number].context)
    contexts = [documents[number].context for number in order]
    lcps = [shared_length(one[:-1], other[:-1]) for one, other in pairwise(contexts)]
    prefixes: list[tuple[int, ...]] = [()] * len(documents)
    for start, end, length in _prefix_ranges(lcps):
        prefix = tuple(contexts[start][:length])
        for place in range(start, end):
            prefixes[order[place]] = prefix
    return prefixes


def _documents(requests: Sequence[Pair]) -> list[_Document]:
    """Requests by context in the order of appearance, continuations in the order of their ids."""
    by_context: dict[tuple[int, ...], list[int]] = {}
    for number, (context, _) in enumerate(requests):
        by_context.setdefault(tuple(context), []).append(number)
    return [
        _Document(list(context), sorted(numbers, key=lambda number: (requests[number][1], number)))
        for context, numbers in by_context.items()
    ]


def _rows(documents: Sequence[_Document], requests: Sequence[Pair], prefix: int) -> list[Row]:
    """Requests in order; one that shares a third of its tokens with the one before joins its row."""
    rows: list[Row] = []
    path: list[int] = []
    for document in documents:
        for request in document.requests:
            continuation = requests[request][1]
            ids = document.context[prefix:] + continuation[:-1]
            if not rows or not rows[-1].welcomes(ids, path):
                rows.append(Row())
                path = []
            path = rows[-1].add(request, ids, len(continuation), path)
    return rows


def _batches(rows: list[Row], tokens_per_batch: int) -> list[list[Row]]:
    """Rows in order, as many as stay within the budget."""
    batches: list[list[Row]] = []
    room = 0
    for row in rows:
        if not batches or len(row.tokens) > room:
            batches.append([])
            room = tokens_per_batch
        batches[-1].append(row)
        room -= len(row.tokens)
    return batches


@dataclass(slots=True)
class _Shared:
    """Neighbouring documents that share `length` tokens, and the best way to share prefixes inside."""

    length: int
    start: int
    end: int
    saved: int = 0
    """Tokens that need not be read."""
    ranges: list[tuple[int, int, int]] = field(default_factory=list)

    def take(self, inner: _Shared) -> None:
        self.end = inner.end
        self.saved += inner.saved
        self.ranges += inner.ranges

    def close(self) -> _Shared:
        """One prefix for all, if that saves more than the prefixes inside."""
        own = (self.end - self.start - 1) * self.length - _PREFIX_OVERHEAD
        if self.length >= _LEAST_PREFIX and own > self.saved:
            self.saved, self.ranges = own, [(self.start, self.end, self.length)]
        return self


def _prefix_ranges(lcps: Sequence[int]) -> list[tuple[int, int, int]]:
    """Ranges of documents `(start, end, prefix length)` that save the most; 0 where a prefix does not pay.

    `lcps[i]` is what documents `i` and `i + 1` share. One pass over the tree of shared intervals, inner ones first.
    """
    stack = [_Shared(0, 0, 0)]
    for place, length in enumerate([*lcps, 0]):
        node = _Shared(0, place, place + 1, ranges=[(place, place + 1, 0)])
        while stack[-1].length > length:
            outer = stack.pop()
            outer.take(node)
            node = outer.close()
        if stack[-1].length == length:
            stack[-1].take(node)
        else:
            stack.append(_Shared(length, node.start, node.end, node.saved, node.ranges))
    return stack[0].ranges


def shared_length(one: list[int], other: list[int]) -> int:
    """Length of the longest common prefix."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
