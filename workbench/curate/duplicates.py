"""Duplicates: the same text again, and nearly the same text; and which row of a cluster stays.

    rows 0 "Capital of Peru?" -> "Lima"    1 "capital of  peru?" -> "Lima"      exact: one text after normalising
    rows 2 a page                          3 the page with one word changed    near: true Jaccard 0.93

    rows 4 "... a && b"                    5 "... a || b"                      Jaccard 1.0, but other signs: both stay

Of each cluster one row stays: one without a reason to drop it; then the best rated, where rows are rated; then the one
with the fewest flags (those of a length limit do not count); then the longest; then the one with the smallest id. The
order of the input decides nothing.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from workbench.core.curation import NearDuplicates
from workbench.core.fingerprints import canonical_json
from workbench.core.records import Message, Record
from workbench.curate.table import Numbers
from workbench.text.contamination import compared_text
from workbench.text.minhash import HASH, SCHEME, SEED
from workbench.text.normalise import same_text
from workbench.text.sketch import SketchSettings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


_FORMATTING, _CODE_ALONE = b"*-[]", b"{}();"
"""Signs that say something in code alone: in prose they are bullets and marks of formatting, or punctuation."""
_NO_CODE_SIGNS = bytes(set(range(256)) - set(b"=<>&|+/%^~" + _FORMATTING + _CODE_ALONE))
_NOT = re.compile(r"!(?=[\w(=])")
_MATHEMATICAL = re.compile("[±×÷≤≥≠≈√∧∨∪∩⊂⊃∈∉←→⇒⇔]")
_CODE_SHARE = 0.05
"""Share of a text's characters that are such signs, from which it is compared as code."""
NO_DEFECT = ("truncated_by_limit",)
"""Reasons that say something about a limit and nothing about the row: they do not count against it."""


def exact_key(record: Record) -> bytes:
    """16 bytes that two records share if texts (`normalise.same_text`), roles, tool calls, tools and label are equal.

    128 bits of BLAKE2b: among a million records two others collide with a chance of 1e-27."""
    turns = [_turn_key(turn) for turn in record.messages]
    endings = [_turn_key(ending) if ending else None for ending in (record.chosen, record.rejected)]
    text = None if record.text is None else same_text(record.text)
    content = canonical_json([record.kind, record.label, record.tools, turns, endings, text])
    return hashlib.blake2b(content.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _turn_key(turn: Message) -> list[object]:
    return [turn.role, same_text(turn.content), [[call.name, call.arguments] for call in turn.tool_calls]]


def written_key(text: str) -> int:
    """A number that tells texts of the same words apart if their signs say something else; 0 where there are none.

    `a && b` and `a || b` differ, and so do two pieces of code with other brackets or other indentation. In prose,
    punctuation, marks of formatting and bullets make no difference.
    """
    plain = text.encode("ascii", "ignore")
    signs = plain.translate(None, _NO_CODE_SIGNS)
    if len(signs.translate(None, _FORMATTING)) < _CODE_SHARE * len(plain) and b"```" not in plain:
        said = signs.translate(None, _FORMATTING + _CODE_ALONE).decode()
    else:
        said = signs.decode() + "!" * (len(_NOT.findall(text)) if "!" in text else 0)
        if "\n " in text or "\n\t" in text:
            said += repr([len(line) - len(line.lstrip(" \t")) for line in text.split("\n") if line.strip()][1:])
    if not text.isascii():
        said += "".join(_MATHEMATICAL.findall(text))
    if not said:
        return 0
    return int.from_bytes(hashlib.blake2b(said.encode(), digest_size=8).digest(), "little")


def group_of(record: Record) -> str:
    """Only records of one group are near-duplicates: a document and a question about it, or a good and a bad answer,
    are not copies of each other."""
    return f"{record.kind} {record.label}"


def part_of(record: Record, compare: Literal["all", "prompt", "answer"]) -> str:
    """The text by which records are compared; a preference's answer is both of its endings."""
    if compare == "prompt":
        return record.prompt()
    if compare == "answer":
        rejected = record.rejected.content if record.rejected else ""
        return f"{record.answer()}\n{rejected}"
    return compared_text(record)


def sketch_settings(settings: NearDuplicates) -> SketchSettings:
    """What the sketches depend on."""
    return SketchSettings(threshold=settings.threshold, ngram=settings.ngram, num_perm=settings.num_perm)


def exact_labels(keys: NDArray[np.uint64]) -> NDArray[np.int64]:
    """`[n]` int64: the smallest row with the same key; keys are `[n, 2]`."""
    import numpy as np

    order = np.lexsort((keys[:, 1], keys[:, 0]))  # stable: equal keys stay in the order of the rows
    sorted_keys = keys[order]
    first = np.ones(len(keys), dtype=bool)
    first[1:] = (sorted_keys[1:] != sorted_keys[:-1]).any(axis=1)
    labels = np.empty(len(keys), dtype=np.int64)
    labels[order] = order[np.flatnonzero(first)[np.cumsum(first) - 1]]
    return labels


@dataclass(frozen=True, slots=True)
class Preference:
    """How much each row deserves to be the one that stays."""

    rank: NDArray[np.int64]
    """`[n]`: 0 for the most deserving row of all."""

    @classmethod
    def of(
        cls,
        numbers: Numbers,
        by_id: NDArray[np.int64],
        ratings: NDArray[np.float64],
        *,
        restored_first: bool = False,
    ) -> Preference:
        """By the policy of this module; `by_id` `[n]` is the order of the ids, `ratings` `[n]` is NaN where unrated."""
        import numpy as np

        not_restored = ~numbers.restored if restored_first else np.zeros(len(numbers), dtype=bool)
        unrated_last = np.where(np.isnan(ratings), np.inf, -ratings)
        # The last key is the first to decide.
        keys = (by_id, -numbers.chars.astype(np.int64), numbers.flags, unrated_last, numbers.dropped, not_restored)
        rank = np.empty(len(numbers), dtype=np.int64)
        rank[np.lexsort(keys)] = np.arange(len(numbers))
        return cls(rank)

    def best(self, labels: NDArray[np.int64]) -> NDArray[np.int64]:
        """`[n]`: the most deserving row among those with the same label."""
        import numpy as np

        order = np.argsort(self.rank)
        _, first, cluster = np.unique(labels[order], return_index=True, return_inverse=True)
        best = np.empty(len(labels), dtype=np.int64)
        best[order] = order[first[cluster]]
        return best


def settings_used(settings: NearDuplicates) -> dict[str, float | int | str]:
    """Everything that decides which pairs are found, for the funnel."""
    sketching = sketch_settings(settings)
    return {
        "threshold": settings.threshold,
        "ngram": settings.ngram,
        "compare": settings.compare,
        "num_perm": settings.num_perm,
        "bands": sketching.bands,
        "rows_per_band": sketching.rows,
        "scheme": SCHEME,
        "hash": HASH,
        "seed": SEED,
    }
