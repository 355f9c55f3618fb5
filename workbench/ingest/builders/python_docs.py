"""`python-docs`: the documentation of the Python that runs this.

    records.jsonl   {"kind": "document", "topic": "os.path.join", "text": "join(a, *p)\\n\\nJoin two or more ...", ...}
    heldout.jsonl   {"prompt": "What does `textwrap.dedent` do?", "text": "Remove any common ...", "group": ...}
    choice.jsonl    {"question": "What does `textwrap.dedent` do?", "choices": [...], "answer": 2, ...}
    prompts.jsonl   {"prompt": "What does `textwrap.dedent` do?", "reference": "Remove any common ...", ...}

The split comes before anything is made. Whole modules are held out; a docstring of theirs that also stands in another
module, exactly or nearly, or that shares a fifth of its word 8-grams with the training side, is used on neither side.
Language reference topics describe the built-in types, so both are always trained on.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from workbench.core.cards import Card
from workbench.core.fingerprints import fingerprint, short_id
from workbench.core.records import Record, Source, record_id
from workbench.core.stage import Context
from workbench.core.wire import storable
from workbench.ingest.builders.built import Builder, Built, whole_numbers
from workbench.ingest.builders.docstrings import Docstring, collect, module_names
from workbench.ingest.builders.multiple_choice import first_paragraph, first_sentence, make_items, question
from workbench.ingest.clusters import cluster_texts
from workbench.text.normalise import normalised
from workbench.text.shingles import ngrams, tokens

OPTIONS = {"choice_items": 120, "prompts": 40, "min_words": 40, "max_words": 250}
"""Options of the card with their defaults: items of choice.jsonl and prompts.jsonl, length of held-out documents."""
ALWAYS_TRAINED = frozenset({"builtins"})
_LARGEST_SHARE = 0.2
"""A module with more than this share of the held-out part is not held out: no suite should be about one module."""
_NGRAM = 8
_MOST_SHARED = 0.2
_TOPIC_WORDS = 250
_PROMPT_WORDS = 6


@dataclass(frozen=True, slots=True)
class _Sides:
    train: list[Docstring]
    heldout: list[tuple[Docstring, str]]
    """With the id of the duplicate cluster."""
    set_aside: int
    """Docstrings of held-out modules that the training side knows too."""


def build(card: Card, seed: int, ctx: Context) -> Built | None:
    """Documents, held-out documents, multiple choice and prompts; about 4 s. None if cancelled."""
    options = whole_numbers(card, _options(card), OPTIONS)
    docstrings = collect()
    ctx.progress(1, 3, "steps", f"{len(docstrings)} docstrings")
    if ctx.cancelled():
        return None
    topics = list(_topics(card.name))
    sides = _split(docstrings, topics, card.heldout_fraction, seed)
    ctx.progress(2, 3, "steps", f"{len(sides.heldout)} held out")
    if ctx.cancelled():
        return None
    records = [_record(docstring, card.name) for docstring in sides.train] + topics
    known = {normalised(sentence) for docstring in sides.train if (sentence := first_sentence(docstring.text))}
    documents = {
        "heldout.jsonl": _heldout_documents(sides, options, card.heldout_max, seed),
        "choice.jsonl": make_items(sides.heldout, known, options["choice_items"], seed),
        "prompts.jsonl": _prompts(sides, options["prompts"], seed),
    }
    modules = {docstring.module for docstring, _ in sides.heldout}
    summary: dict[str, float | int | str] = {
        "docstrings": len(docstrings),
        "topic_pieces": len(topics),
        "heldout_pool": len(sides.heldout),
        "heldout_modules": ", ".join(sorted(modules)),
        "set_aside": sides.set_aside,
        "python": platform.python_version(),
    }
    return Built(records if card.limit is None else records[: card.limit], documents, summary)


def external() -> dict[str, str]:
    """The Python and its modules: another one has other documentation."""
    return {"python": f"{platform.python_implementation()} {sys.version}", "modules": fingerprint(module_names())}


def _options(card: Card) -> dict[str, Any]:
    return dict(getattr(card.source, "options", {}))


def _split(docstrings: list[Docstring], topics: list[Record], fraction: float, seed: int) -> _Sides:
    modules = _heldout_modules(docstrings, fraction, seed)
    train = [docstring for docstring in docstrings if docstring.module not in modules]
    trained_grams = {gram for text in _training_texts(train, topics) for gram in ngrams(tokens(text), _NGRAM)}
    heldout: list[tuple[Docstring, str]] = []
    set_aside = 0
    for members in cluster_texts([docstring.text for docstring in docstrings]):
        inside = [docstrings[position] for position in members if docstrings[position].module in modules]
        alone = len(inside) == len(members) and not any(_is_known(doc, trained_grams) for doc in inside)
        if inside and alone:
            cluster = short_id([docstring.name for docstring in inside])
            heldout += [(docstring, cluster) for docstring in inside]
        else:
            set_aside += len(inside)
    return _Sides(train, sorted(heldout, key=lambda pair: pair[0].name), set_aside)


def _heldout_modules(docstrings: list[Docstring], fraction: float, seed: int) -> set[str]:
    """Modules in the order of their hash, until they hold the wanted share of the docstrings."""
    sizes: dict[str, int] = {}
    for docstring in docstrings:
        sizes[docstring.module] = sizes.get(docstring.module, 0) + 1
    wanted = fraction * len(docstrings)
    chosen: set[str] = set()
    total = 0
    for module in sorted(sizes, key=lambda name: short_id([seed, name])):
        fits = sizes[module] <= _LARGEST_SHARE * wanted and total + sizes[module] <= wanted
        if fits and module not in ALWAYS_TRAINED:
            chosen.add(module)
            total += sizes[module]
    return chosen


def _training_texts(train: list[Docstring], topics: list[Record]) -> Iterator[str]:
    yield from (docstring.document() for docstring in train)
    yield from (topic.text or "" for topic in topics)


def _is_known(docstring: Docstring, trained: set[tuple[str, ...]]) -> bool:
    """Whether the training side has a fifth of a docstring's word 8-grams (one of fewer words is a single gram)."""
    own = set(ngrams(tokens(docstring.text), _NGRAM))
    return bool(own) and len(own & trained) >= _MOST_SHARED * len(own)


def _heldout_documents(sides: _Sides, options: dict[str, int], most: int, seed: int) -> list[dict[str, Any]]:
    """Documents of the wanted length, one per cluster, from as many modules as there are."""
    fitting: dict[str, tuple[Docstring, str]] = {}
    for docstring, cluster in sides.heldout:
        if options["min_words"] <= len(docstring.text.split()) <= options["max_words"]:
            fitting.setdefault(cluster, (docstring, cluster))
    return [
        {
            "prompt": question(docstring),
            "text": storable(docstring.text),
            "group": docstring.module,
            "cluster": cluster,
        }
        for docstring, cluster in _spread(list(fitting.values()), most, seed)
    ]


def _prompts(sides: _Sides, most: int, seed: int) -> list[dict[str, Any]]:
    asked: dict[str, tuple[Docstring, str]] = {}
    for docstring, cluster in sides.heldout:
        is_called = docstring.kind in ("function", "method") and first_sentence(docstring.text) is not None
        if is_called and len(first_paragraph(docstring.text).split()) >= _PROMPT_WORDS:
            asked.setdefault(cluster, (docstring, cluster))
    return [
        {
            "prompt": question(docstring),
            "reference": storable(first_paragraph(docstring.text)),
            "group": docstring.module,
            "cluster": cluster,
        }
        for docstring, cluster in _spread(list(asked.values()), most, seed)
    ]


def _spread(pairs: Sequence[tuple[Docstring, str]], most: int, seed: int) -> list[tuple[Docstring, str]]:
    """At most `most`: the first of every module by hash, then the second of every module, and so on."""
    seen: dict[str, int] = {}
    ranked: list[tuple[int, str, tuple[Docstring, str]]] = []
    for docstring, cluster in sorted(pairs, key=lambda pair: short_id([seed, pair[0].name])):
        round_number = seen.get(docstring.module, 0)
        seen[docstring.module] = round_number + 1
        ranked.append((round_number, short_id([seed, docstring.module]), (docstring, cluster)))
    return [pair for _, _, pair in sorted(ranked, key=lambda entry: entry[:2])[:most]]


def _record(docstring: Docstring, dataset: str) -> Record:
    text = storable(docstring.document())
    return Record(
        id=record_id("document", text=text),
        kind="document",
        text=text,
        source=Source(dataset=dataset, file=f"python:{docstring.module}", part_of=docstring.module),
        topic=docstring.name,
    )


def _topics(dataset: str) -> Iterator[Record]:
    """The language reference as `help()` has it, cut between paragraphs into pieces of at most about 250 words."""
    from pydoc_data.topics import topics  # 0.7 MB of text

    for name, text in sorted(topics.items()):
        for piece in _pieces(text.strip()):
            yield Record(
                id=record_id("document", text=piece),
                kind="document",
                text=piece,
                source=Source(dataset=dataset, file=f"python:topics/{name}", part_of=f"topics/{name}"),
                topic=name,
            )


def _pieces(text: str) -> Iterator[str]:
    held: list[str] = []
    for paragraph in text.split("\n\n"):
        if held and sum(len(part.split()) for part in held) + len(paragraph.split()) > _TOPIC_WORDS:
            yield "\n\n".join(held)
            held = []
        held.append(paragraph)
    yield "\n\n".join(held)


BUILDER = Builder(build, external)
