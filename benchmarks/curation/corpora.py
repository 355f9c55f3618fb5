"""Texts to measure on: from a file, made up, or a file's texts grown to a wanted number.

    texts = made_up(10_000)                                 always the same
    grow(texts, 1_000_000, Path("big.jsonl"))               edited copies and recombined sentences behind the originals
"""

from __future__ import annotations

import gzip
import json
import random
import re
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")


def read(path: Path, count: int | None = None) -> list[str]:
    """The first `count` texts (all by default) of a JSON Lines file, plain or .gz, with a key `text`."""
    return list(islice(stream(path), count))


def stream(path: Path) -> Iterator[str]:
    """One text after another, none held."""
    with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)["text"]


def made_up(count: int) -> list[str]:
    """Texts of 20 to 300 words with Zipf-like word frequencies, a quarter of them edited copies; seed 0."""
    rng = random.Random(0)
    vocabulary = [f"word{rank}" for rank in range(20_000)]
    weights = [1 / (rank + 10) for rank in range(len(vocabulary))]
    texts = []
    for _ in range(count * 3 // 4):
        sequence = rng.choices(vocabulary, weights, k=rng.randint(20, 300))
        stops = dict.fromkeys(range(9, len(sequence), 10), ".")
        texts.append(" ".join(word + stops.get(position, "") for position, word in enumerate(sequence)))
    texts += [edited(rng.choice(texts), rng) for _ in range(count - len(texts))]
    rng.shuffle(texts)
    return texts


def grow(texts: Sequence[str], count: int, path: Path) -> None:
    """Writes `count` texts to `path`: the given ones, a quarter as many edited copies, then recombined sentences.

    A recombined text takes as many sentences as a text drawn at random has, each from anywhere. Seed 0, so that a
    smaller corpus is the beginning of a larger one.
    """
    rng = random.Random(0)
    with path.open("w", encoding="utf-8") as out:
        for text in islice(_grown(texts, rng), count):
            out.write(json.dumps({"text": text}, ensure_ascii=False) + "\n")


def _grown(texts: Sequence[str], rng: random.Random) -> Iterator[str]:
    yield from texts
    for _ in range(len(texts) // 4):
        yield edited(rng.choice(texts), rng)
    sentences = [_SENTENCE_END.split(text) for text in texts]
    pool = [sentence for of_text in sentences for sentence in of_text]
    while True:
        yield " ".join(rng.choices(pool, k=len(rng.choice(sentences))))


def edited(text: str, rng: random.Random) -> str:
    """A copy with 0.5 to 4% of its words, at least one, exchanged."""
    words = text.split(" ")
    for _ in range(max(1, round(len(words) * rng.uniform(0.005, 0.04)))):
        words[rng.randrange(len(words))] = f"edit{rng.randrange(10_000)}"
    return " ".join(words)
