"""Containment: does a text hold another one, whole or in part?

    index = ContainmentIndex(["Which planet of the solar system has the shortest day, and how long is it?"], ngram=8)
    index.search("Quiz. Which planet of the solar system has the shortest day, and how long is it? Jupiter.")
    -> [Match(needle=0, share=1.0, words=15, start=6, end=79, span="Which planet of ... how long is it")]

Jaccard similarity would hide a short question inside a long text; containment asks only how much of the question is
there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from workbench.text.normalise import normalised
from workbench.text.shingles import ngrams, token_places, tokens

SHORTEST = 4
"""Needles with fewer words are found by equality alone: "yes or no" is in every text."""
COMMON = 10
"""An n-gram of more needles than this is boilerplate (an instruction, a licence), no evidence for any of them."""

Gram = tuple[str, ...]


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
    """Where the longest common run of words stands in the text."""
    span: str
    """That run, as written in the text."""


class ContainmentIndex:
    """Needles (suite documents), ready to be looked for in many texts."""

    def __init__(self, needles: Sequence[str], ngram: int) -> None:
        self._ngram = ngram
        self._words = [tokens(needle) for needle in needles]
        self._equal: dict[str, int] = {}
        for position, needle in enumerate(needles):
            if spelling := normalised(needle):
                self._equal.setdefault(spelling, position)
        self._grams, self._gram_counts = self._long_needles()
        self._short = self._short_needles()

    def equal(self, text: str) -> int | None:
        """The first needle with the same normalised text."""
        return self._equal.get(normalised(text))

    def search(self, text: str) -> list[Match]:
        """Every needle that shares an n-gram with `text`, in order of the needles.

        A needle of fewer than `ngram` words, but at least four, is found where it stands as a whole.
        """
        found = tokens(text)
        hits: Counter[int] = Counter()
        for gram in self._grams.keys() & set(ngrams(found, self._ngram)):
            hits.update(self._grams[gram])
        shares = {needle: count / self._gram_counts[needle] for needle, count in hits.items()}
        shares.update(dict.fromkeys(self._short_hits(found), 1.0))
        if not shares:
            return []
        places = token_places(text)
        return [self._match(needle, shares[needle], text, found, places) for needle in sorted(shares)]

    def _long_needles(self) -> tuple[dict[Gram, list[int]], dict[int, int]]:
        """Each n-gram that says something with its needles; for each needle the number of such n-grams."""
        first_of: dict[Gram, int] = {}
        holders: dict[Gram, list[int]] = {}
        distinct: Counter[Gram] = Counter()
        for position, sequence in enumerate(self._words):
            if len(sequence) < self._ngram:
                continue
            is_new = first_of.setdefault(tuple(sequence), position) == position
            for gram in set(ngrams(sequence, self._ngram)):
                holders.setdefault(gram, []).append(position)
                distinct[gram] += is_new
        telling = {gram: needles for gram, needles in holders.items() if distinct[gram] <= COMMON}
        counts = Counter(needle for needles in telling.values() for needle in needles)
        return telling, dict(counts)

    def _short_needles(self) -> dict[Gram, list[int]]:
        """Needles between four words and n - 1, by their first four words."""
        short: dict[Gram, list[int]] = {}
        for position, sequence in enumerate(self._words):
            if SHORTEST <= len(sequence) < self._ngram:
                short.setdefault(tuple(sequence[:SHORTEST]), []).append(position)
        return short

    def _short_hits(self, found: list[str]) -> set[int]:
        hits: set[int] = set()
        if not self._short or len(found) < SHORTEST:
            return hits
        for start, prefix in enumerate(ngrams(found, SHORTEST)):
            for needle in self._short.get(prefix, ()):
                sequence = self._words[needle]
                if found[start : start + len(sequence)] == sequence:
                    hits.add(needle)
        return hits

    def _match(
        self, needle: int, share: float, text: str, found: list[str], places: list[tuple[int, int]]
    ) -> Match:
        sequence = self._words[needle]
        run = SequenceMatcher(None, found, sequence, autojunk=False).find_longest_match()
        start, end = places[run.a][0], places[run.a + run.size - 1][1]
        return Match(needle, share, len(sequence), start, end, text[start:end])


def containment(needle: str, text: str, ngram: int) -> Match | None:
    """How much of one needle is in one text; None if they share no n-gram."""
    matches = ContainmentIndex([needle], ngram).search(text)
    return matches[0] if matches else None
