"""Containment: does a text hold another one, whole or in part?

    index = ContainmentIndex(["Which planet of the solar system has the shortest day, and how long is it?"], ngram=8)
    index.search("Quiz. Which planet of the solar system has the shortest day, and how long is it? Jupiter.")
    -> [Match(needle=0, share=1.0, words=15, start=6, end=79, span="Which planet of ... how long is it", ...)]

Jaccard similarity would hide a short question inside a long text; containment asks only how much of the question is
there. Case, accents, punctuation and line breaks make no difference (`normalise.folded_tokens`).

An index answers in two steps. `candidates` counts hashes: a text that has nothing to do with any of ten thousand
needles costs some microseconds. `locate` compares the words themselves and finds the place.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from workbench.text.grams import GramTable, Tokens, gram_hashes, read_tokens, renumbered_hashes
from workbench.text.normalise import folded_places, folded_tokens, said
from workbench.text.shingles import ngrams

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SHORTEST = 4
"""Needles with fewer words are found by equality alone: "yes or no" is in every text."""
COMMON = 10
"""An n-gram of more documents than this is boilerplate (an instruction, a licence), no evidence for any of them.

One of two to ten documents may be a passage that they ask about, or an instruction: it counts, but a needle is told
from its neighbours by its own n-grams, those that no other document of its set has."""

Gram = tuple[str, ...]
_NUMBER = re.compile(r"[0-9.]+")


@dataclass(frozen=True, slots=True)
class Needle:
    """What is looked for."""

    text: str
    owner: int | None = None
    """Document it belongs to: several needles of one document count once when boilerplate is told. None: equal needles
    are one document, others are not."""
    group: int = 0
    """Set of documents within which boilerplate is counted."""
    equal_only: bool = False
    """Whether it is looked for as a whole text alone, and not inside of longer ones."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A needle that a text seems to hold, by hashes."""

    needle: int
    share: float
    """Share of the needle's telling n-grams that the text has."""
    renumbered: float = 0.0
    """The same with all numbers alike; 0 for a needle without numbers."""
    of_text: float = 0.0
    """Share of the text's n-grams that are telling ones of the needle."""
    own: float = 1.0
    """Share of the needle's own n-grams that the text has. A needle with next to none has 1 if all of its telling
    n-grams are there, and 0 otherwise."""
    own_of_text: float = 1.0
    """Share of the text's n-grams that are the needle's own."""


@dataclass(frozen=True, slots=True)
class Match:
    """One needle found in one text."""

    needle: int
    """Position in the needles given to the index."""
    share: float
    """Share of the needle's distinct n-grams, boilerplate left out, that the text has too."""
    words: int
    """Length of the needle in words."""
    start: int
    end: int
    """Where the longest run of the needle's n-grams stands in the text."""
    span: str
    """That run, as written in the text."""
    first: int = 0
    """The needle's first word that is in a shared n-gram."""
    first_of_any: int = 0
    """The same with boilerplate."""


class Haystack:
    """A text in which places are looked for, with what several needles need worked out once."""

    def __init__(self, text: str) -> None:
        self.text = text

    @cached_property
    def tokens(self) -> list[str]:
        return folded_tokens(self.text)

    @cached_property
    def places(self) -> list[tuple[int, int]]:
        return folded_places(self.text)

    @cached_property
    def renumbered(self) -> list[str]:
        return _renumbered(self.tokens)


class ContainmentIndex:
    """Needles (suite documents), ready to be looked for in many texts."""

    def __init__(self, needles: Sequence[str | Needle], ngram: int) -> None:
        import numpy as np

        self.needles = [needle if isinstance(needle, Needle) else Needle(needle) for needle in needles]
        self.ngram = ngram
        tokens = [read_tokens([needle.text]) for needle in self.needles]
        self._words = np.array([len(of_needle.hashes) for of_needle in tokens], dtype=np.int64)
        self._equal = self._by_sequence(tokens)
        documents = _documents(self.needles, tokens)
        inside = [not needle.equal_only for needle in self.needles]
        exact = [_distinct(gram_hashes(one.hashes, ngram)) for one in tokens]
        alike = [_distinct(renumbered_hashes(one, ngram)) if one.numeric.any() else exact[0][:0] for one in tokens]
        self._exact = SharedGrams(exact, documents, inside, least=ngram // 2)
        self._renumbered = SharedGrams(alike, documents, inside, least=ngram // 2)
        self._whole = WholeNeedles(
            {
                position: of_needle.hashes
                for position, of_needle in enumerate(tokens)
                if inside[position] and len(of_needle.hashes) >= SHORTEST and not self._exact.telling[position]
            }
        )

    def __len__(self) -> int:
        return len(self.needles)

    def words(self, needle: int) -> int:
        """Length of a needle in words."""
        return int(self._words[needle])

    def equal(self, text: str) -> int | None:
        """The first needle that says the same as `text`, whatever the punctuation."""
        same_words = self.with_words(read_tokens([text]).sequence(0, 0))
        return next((one for one in same_words if self.equals(one, text)), None)

    def with_words(self, sequence: int) -> tuple[int, ...]:
        """Needles with these words and no others, given as the hash `Tokens.sequence`."""
        return self._equal.get(sequence, ())

    def equals(self, needle: int, text: str) -> bool:
        """Whether a needle says the same as `text`, word by word and sign by sign."""
        return said(self.needles[needle].text) == said(text)

    def search(self, text: str) -> list[Match]:
        """Every needle that shares a telling n-gram with `text`, in order of the needles.

        A needle of fewer than `ngram` words, but at least four, is found where it stands as a whole; so is one that
        consists of boilerplate.
        """
        haystack = Haystack(text)
        found = [self.locate(one.needle, haystack) for one in self.candidates(read_tokens([text])) if one.share > 0]
        return [match for match in found if match is not None]

    def candidates(self, tokens: Tokens) -> list[Candidate]:
        """Every needle that may share a telling n-gram, numbers alike or not, in order of the needles."""
        exact = self._exact.table.knows_any(tokens, self.ngram)
        alike = self._renumbered.table.knows_any(tokens, self.ngram, alike=True)
        if not (exact or alike or self._whole.may_be_in(tokens)):
            return []
        grams = gram_hashes(tokens.hashes, self.ngram)
        found = self._exact.shares(grams)
        found |= dict.fromkeys(self._whole.found_in(tokens.hashes), _WHOLE)
        renumbered: dict[int, Shares] = {}
        if alike:
            renumbered = self._renumbered.shares(renumbered_hashes(tokens, self.ngram))
        return [
            _candidate(needle, found.get(needle, _NOTHING), renumbered.get(needle, _NOTHING))
            for needle in sorted(found.keys() | renumbered.keys())
        ]

    def locate(self, needle: int, haystack: Haystack, *, renumbered: bool = False) -> Match | None:
        """Where the needle stands, compared word by word; with `renumbered` all numbers are alike. None if it does not.
        """
        wanted = folded_tokens(self.needles[needle].text)
        found = haystack.tokens
        if renumbered:
            wanted, found = _renumbered(wanted), haystack.renumbered
        if needle in self._whole.needles:
            return self._located_whole(needle, wanted, found, haystack)
        sequence = ngrams(wanted, self.ngram)
        held = set(ngrams(found, self.ngram)) & set(sequence)
        hashes = self._grams_of(needle, renumbered)
        table = self._renumbered if renumbered else self._exact
        telling = {gram for gram, tells in zip(sequence, table.tells(needle, hashes), strict=True) if tells}
        shared = telling & held
        if not shared:
            return None
        start, end = _longest_run(found, self.ngram, held)
        first = next(place for place, gram in enumerate(sequence) if gram in shared)
        first_of_any = next(place for place, gram in enumerate(sequence) if gram in held)
        return self._match(needle, len(shared) / len(telling), (start, end), (first, first_of_any), haystack)

    def _located_whole(
        self, needle: int, wanted: list[str], found: list[str], haystack: Haystack
    ) -> Match | None:
        size = len(wanted)
        start = next((at for at in range(len(found) - size + 1) if found[at : at + size] == wanted), None)
        return None if start is None else self._match(needle, 1.0, (start, start + size), (0, 0), haystack)

    def _match(
        self, needle: int, share: float, run: tuple[int, int], first: tuple[int, int], haystack: Haystack
    ) -> Match:
        start, end = haystack.places[run[0]][0], haystack.places[run[1] - 1][1]
        return Match(needle, share, self.words(needle), start, end, haystack.text[start:end], *first)

    def _grams_of(self, needle: int, renumbered: bool) -> NDArray[np.uint64]:
        tokens = read_tokens([self.needles[needle].text])
        return renumbered_hashes(tokens, self.ngram) if renumbered else gram_hashes(tokens.hashes, self.ngram)

    def _by_sequence(self, tokens: Sequence[Tokens]) -> dict[int, tuple[int, ...]]:
        """Needles by the hash of all their tokens."""
        found: dict[int, tuple[int, ...]] = {}
        for position, of_needle in enumerate(tokens):
            if len(of_needle.hashes):
                key = of_needle.sequence(0, 0)
                found[key] = (*found.get(key, ()), position)
        return found


class Shares(NamedTuple):
    """What a needle and a text have in common, as `Candidate` says it."""

    of_needle: float
    of_text: float
    own: float
    own_of_text: float


_NOTHING = Shares(0.0, 0.0, 0.0, 0.0)
_WHOLE = Shares(1.0, 0.0, 1.0, 0.0)


class SharedGrams:
    """The n-grams of many needles, those left out that too many documents of one set have."""

    def __init__(
        self,
        grams: Sequence[NDArray[np.uint64]],
        documents: Sequence[tuple[int, int]],
        inside: Sequence[bool],
        least: int,
    ) -> None:
        """`grams` are the distinct n-grams of each needle, `documents` its set and its document in it.

        A needle with fewer than `least` telling n-grams, although it has as many in all, has none: one n-gram is no
        evidence for a page of boilerplate.
        """
        import numpy as np

        counts = [len(of_needle) if wanted else 0 for of_needle, wanted in zip(grams, inside, strict=True)]
        sizes = np.array(counts, dtype=np.int64)
        holders = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
        wanted = [of_needle for of_needle, is_wanted in zip(grams, inside, strict=True) if is_wanted]
        every = np.concatenate([*wanted, np.empty(0, dtype=np.uint64)])
        telling, own = _evidence(every, holders, np.array(documents, dtype=np.int64).reshape(-1, 2))
        self.telling = np.bincount(holders[telling], minlength=len(sizes))
        """Telling n-grams of each needle."""
        too_few = self.telling < np.minimum(sizes, least)
        self.telling[too_few] = 0
        telling &= ~too_few[holders]
        own &= telling
        self._own = np.bincount(holders[own], minlength=len(sizes))
        self._least = least
        # A needle that shares the n-gram with another document stands in the table as its complement, below 0.
        self.table = GramTable.of(every[telling], np.where(own, holders, ~holders)[telling])

    def shares(self, grams: NDArray[np.uint64]) -> dict[int, Shares]:
        """What each needle that shares an n-gram with a text has in common with it."""
        import numpy as np

        _, found = self.table.known(grams)
        if len(found) == 0:
            return {}
        distinct, repeats = np.unique(found, return_counts=True)
        marked, origin = self.table.holders_of(distinct)
        is_own = marked >= 0
        needles, of_needle = np.unique(np.where(is_own, marked, ~marked), return_inverse=True)
        telling, own = self.telling[needles], self._own[needles]
        shared = np.bincount(of_needle)
        shared_own = np.bincount(of_needle, weights=is_own)
        enough = own >= max(1, self._least)
        own_share = np.where(enough, shared_own / np.maximum(own, 1), shared == telling)
        columns = (
            shared / telling,
            np.bincount(of_needle, weights=repeats[origin]) / len(grams),
            own_share,
            np.bincount(of_needle, weights=repeats[origin] * is_own) / len(grams),
        )
        return {
            needle: Shares(*values)
            for needle, *values in zip(needles.tolist(), *(column.tolist() for column in columns), strict=True)
        }

    def tells(self, needle: int, grams: NDArray[np.uint64]) -> list[bool]:
        """For each of a needle's n-grams whether it tells the needle from others."""
        places, found = self.table.known(grams)
        holders, origin = self.table.holders_of(found)
        told = set(places[origin[(holders == needle) | (holders == ~needle)]].tolist())
        return [place in told for place in range(len(grams))]


class WholeNeedles:
    """Needles that are found only where they stand from the first word to the last.

    Each is looked for by its rarest run of four words.
    """

    def __init__(self, needles: dict[int, NDArray[np.uint64]]) -> None:
        import numpy as np

        self.needles = needles
        grams = {needle: gram_hashes(hashes, SHORTEST) for needle, hashes in needles.items()}
        every, counts = np.unique(
            np.concatenate([*map(_distinct, grams.values()), np.empty(0, dtype=np.uint64)]), return_counts=True
        )
        self._offset = {
            needle: int(np.argmin(counts[np.searchsorted(every, of_needle)])) for needle, of_needle in grams.items()
        }
        rarest = np.array([grams[needle][offset] for needle, offset in self._offset.items()], dtype=np.uint64)
        self._table = GramTable.of(rarest, np.array(list(needles), dtype=np.int32))

    def may_be_in(self, tokens: Tokens) -> bool:
        """Whether the rarest four words of any needle are in a text."""
        return self._table.knows_any(tokens, SHORTEST)

    def found_in(self, hashes: NDArray[np.uint64]) -> set[int]:
        """The needles that stand in a text as a whole."""
        import numpy as np

        places, found = self._table.known(gram_hashes(hashes, SHORTEST))
        holders, origin = self._table.holders_of(found)
        standing: set[int] = set()
        for needle, place in zip(holders.tolist(), places[origin].tolist(), strict=True):
            start = place - self._offset[needle]
            wanted = self.needles[needle]
            if start >= 0 and needle not in standing and np.array_equal(hashes[start : start + len(wanted)], wanted):
                standing.add(needle)
        return standing


def containment(needle: str, text: str, ngram: int) -> Match | None:
    """How much of one needle is in one text; None if they share no n-gram."""
    matches = ContainmentIndex([needle], ngram).search(text)
    return matches[0] if matches else None


def common_from(documents: int) -> int:
    """More documents than this, of so many, make an n-gram boilerplate: ten, or half of a small set."""
    return min(COMMON, max(2, documents // 2))


def _documents(needles: Sequence[Needle], tokens: Sequence[Tokens]) -> list[tuple[int, int]]:
    """Set and document of each needle."""
    known: dict[tuple[int, int | None, int], int] = {}
    found = []
    for needle, of_needle in zip(needles, tokens, strict=True):
        text = of_needle.sequence(0, 0) if needle.owner is None else 0
        key = (needle.group, needle.owner, text)
        found.append((needle.group, known.setdefault(key, len(known))))
    return found


def _candidate(needle: int, exact: Shares, renumbered: Shares) -> Candidate:
    return Candidate(needle, exact.of_needle, renumbered.of_needle, exact.of_text, exact.own, exact.own_of_text)


def _evidence(
    grams: NDArray[np.uint64], holders: NDArray[np.int32], documents: NDArray[np.int64]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """For each pair of n-gram and needle: whether the n-gram is telling (not too many documents of the needle's set
    have it), and whether it is the document's own (no other has it)."""
    import numpy as np

    if len(grams) == 0:
        return np.zeros(0, dtype=np.bool_), np.zeros(0, dtype=np.bool_)
    group, document = documents[holders].T
    order = np.lexsort((document, group, grams))
    first_of_gram = np.ones(len(grams), dtype=np.bool_)
    first_of_gram[1:] = (np.diff(grams[order]) != 0) | (np.diff(group[order]) != 0)
    new_document = first_of_gram.copy()
    new_document[1:] |= np.diff(document[order]) != 0
    run = np.cumsum(first_of_gram) - 1
    held_by = np.bincount(run, weights=new_document)
    sets, sizes = np.unique(np.unique(documents, axis=0)[:, 0], return_counts=True)
    limit_of = dict(zip(sets.tolist(), map(common_from, sizes.tolist()), strict=True))
    limits = np.array([limit_of[one] for one in group[order][first_of_gram].tolist()])
    telling, own = np.empty((2, len(grams)), dtype=np.bool_)
    telling[order] = (held_by <= limits)[run]
    own[order] = (held_by == 1)[run]
    return telling, own


def _distinct(grams: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Sorted, each once, without 0."""
    import numpy as np

    single: NDArray[np.uint64] = np.unique(grams)
    return single[1:] if len(single) and single[0] == 0 else single


def _renumbered(tokens: Sequence[str]) -> list[str]:
    return ["0" if _NUMBER.fullmatch(token) else token for token in tokens]


def _longest_run(tokens: Sequence[str], ngram: int, wanted: set[Gram]) -> tuple[int, int]:
    """First and last token (exclusive) of the longest stretch all of whose n-grams are wanted."""
    best = (0, 0)
    start = None
    grams = ngrams(tokens, ngram)
    for place in range(len(grams) + 1):
        if place < len(grams) and grams[place] in wanted:
            start = place if start is None else start
            if place + 1 - start > best[1] - best[0]:
                best = (start, place + 1)
        else:
            start = None
    return best[0], best[1] + ngram - 1
