"""Multiple choice made by rule from documentation: which sentence belongs to the name?

    What does `textwrap.dedent` do?
      0  Return a copy of the mapping without the given keys.
      1  Remove any common leading whitespace from every line in `text`.      <- answer
      2  ...

The wrong choices are first sentences of other functions, of about the same length. No choice contains the name asked
for, and every position is right equally often.
"""

from __future__ import annotations

import re
from collections.abc import Sequence, Set
from typing import Any

from workbench.core.fingerprints import short_id
from workbench.ingest.builders.docstrings import Docstring
from workbench.text.normalise import normalised, words
from workbench.text.shingles import jaccard

CHOICES = 4
_SHORTEST_WORDS, _LONGEST_WORDS = 4, 25
_NEIGHBOURS = 12
"""Wrong choices are drawn from so many sentences of the nearest length."""
_MOST_ALIKE = 0.4
"""Choices that share more of their words are too much alike to tell apart."""
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z`'\"(])")


def question(docstring: Docstring) -> str:
    """The question that the documentation answers."""
    return f"What does `{docstring.name}` do?"


def first_paragraph(text: str) -> str:
    """Everything before the first blank line, on one line."""
    return " ".join(re.split(r"\n\s*\n", text.strip(), maxsplit=1)[0].split())


def first_sentence(text: str) -> str | None:
    """The first sentence if it says something on its own: prose, neither a call pattern nor too short or too long."""
    sentence = _SENTENCE_END.split(first_paragraph(text), maxsplit=1)[0]
    is_prose = sentence[:1].isupper() and not re.search(r"->|>>>|::|^\w+\(", sentence) and not sentence.endswith(":")
    if not is_prose or not _SHORTEST_WORDS <= len(sentence.split()) <= _LONGEST_WORDS:
        return None
    return sentence if sentence[-1] in ".!?" else sentence + "."


def make_items(
    docstrings: Sequence[tuple[Docstring, str]], known: Set[str], most: int, seed: int
) -> list[dict[str, Any]]:
    """At most `most` items from (docstring, cluster) pairs, one per cluster.

    Sentences in `known` (normalised: those of the training side) are left out.
    """
    sentences = _sentences(docstrings, known)
    order = sorted(sentences, key=lambda entry: short_id([seed, entry[0].name]))
    items: list[dict[str, Any]] = []
    for docstring, cluster, sentence in order:
        if len(items) == most:
            break
        wrong = _wrong_choices(docstring, sentence, sentences, seed)
        if len(wrong) == CHOICES - 1:
            position = len(items) % CHOICES
            items.append(
                {
                    "question": question(docstring),
                    "choices": [*wrong[:position], sentence, *wrong[position:]],
                    "answer": position,
                    "group": docstring.module,
                    "cluster": cluster,
                }
            )
    return items


def _sentences(docstrings: Sequence[tuple[Docstring, str]], known: Set[str]) -> list[tuple[Docstring, str, str]]:
    """Functions and methods with their cluster and first sentence; every cluster and every sentence once."""
    found: list[tuple[Docstring, str, str]] = []
    taken: set[str] = set(known)
    for docstring, cluster in sorted(docstrings, key=lambda pair: pair[0].name):
        sentence = first_sentence(docstring.text) if docstring.kind in ("function", "method") else None
        if sentence is None or cluster in taken or normalised(sentence) in taken or _names(docstring, sentence):
            continue
        taken |= {cluster, normalised(sentence)}
        found.append((docstring, cluster, sentence))
    return found


def _names(docstring: Docstring, sentence: str) -> bool:
    """Whether a sentence contains the function's own name as a word."""
    return docstring.name.rpartition(".")[2].lower() in words(sentence)


def _wrong_choices(
    docstring: Docstring, right: str, sentences: list[tuple[Docstring, str, str]], seed: int
) -> list[str]:
    length = len(right.split())
    others = [
        sentence
        for other, _, sentence in sentences
        if other is not docstring and not _names(docstring, sentence) and _differs(sentence, [right])
    ]
    nearest = sorted(others, key=lambda sentence: (abs(len(sentence.split()) - length), sentence))[:_NEIGHBOURS]
    chosen: list[str] = []
    for sentence in sorted(nearest, key=lambda sentence: short_id([seed, docstring.name, sentence])):
        if len(chosen) < CHOICES - 1 and _differs(sentence, chosen):
            chosen.append(sentence)
    return chosen


def _differs(sentence: str, others: Sequence[str]) -> bool:
    return all(jaccard(set(words(sentence)), set(words(other))) <= _MOST_ALIKE for other in others)
