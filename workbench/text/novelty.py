"""Novelty: how much a text repeats an earlier one, as ROUGE-L.

    rouge_l("What does os.getcwd return?", "What does os.getpid return?")  ->  0.8

    known = KnownTexts(["How do I sort a list?"])
    known.nearest("How do I sort a tuple?")  ->  Nearest(score=0.83..., text="How do I sort a list?")
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from workbench.text.shingles import tokens


def rouge_l(left: str, right: str) -> float:
    """ROUGE-L F1 of two texts (Lin 2004): 2 LCS / (m + n) over their words; 1 if neither has any.

    This is one minus the normalised insertion-deletion distance of the two word lists, which rapidfuzz computes.
    """
    from rapidfuzz.distance import Indel  # 20 ms: a compiled extension, wanted by few commands

    return float(Indel.normalized_similarity(tokens(left), tokens(right)))


@dataclass(frozen=True, slots=True)
class Nearest:
    """The most similar known text."""

    score: float
    text: str


class KnownTexts:
    """Texts to be different from. Words become characters once, so that rapidfuzz compares plain strings."""

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._ids: dict[str, int] = {}
        self._texts: list[str] = []
        self._encoded: list[str] = []
        for text in texts:
            self.add(text)

    def add(self, text: str) -> None:
        """Makes one more text known."""
        self._texts.append(text)
        self._encoded.append(self._encode(text))

    def nearest(self, text: str, at_least: float = 0.0) -> Nearest | None:
        """The known text with the highest ROUGE-L F1, the earliest among equals; None if none reaches `at_least`."""
        from rapidfuzz import process  # 20 ms: a compiled extension, wanted by few commands
        from rapidfuzz.distance import Indel

        best = process.extractOne(
            self._encode(text), self._encoded, scorer=Indel.normalized_similarity, score_cutoff=at_least
        )
        return None if best is None else Nearest(float(best[1]), self._texts[best[2]])

    def _encode(self, text: str) -> str:
        return "".join(self._character(token) for token in tokens(text))

    def _character(self, token: str) -> str:
        """One code point per word: all of Unicode but the surrogates, which is room for 1.1 million words."""
        number = self._ids.setdefault(token, len(self._ids))
        return chr(number if number < 0xD800 else number + 0x800)
