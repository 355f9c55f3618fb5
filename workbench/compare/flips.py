"""The flips with their texts, forgotten documents first within each suite.

capitals, document 9f..: right before, wrong after  ->  Flip(kind="forgotten", prompt=..., before_output=..., ...)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from workbench.compare.pairs import ComparedPair, FlippedDocument
from workbench.core.records import Flip, ScoreRow
from workbench.core.results import PairComparison

_NAMED = 5
"""Lost items that a comparison names."""
RowKey = tuple[str, str, str, str, str, int]
"""Suite, task, filter, metric, document hash, occurrence."""


def wanted_rows(compared: Iterable[ComparedPair]) -> dict[str, set[RowKey]]:
    """The rows whose texts are needed, by arm."""
    wanted: dict[str, set[RowKey]] = {}
    for pair in compared:
        keys = {_row_key(flip) for flip in pair.flips}
        for arm in (pair.pair.before, pair.pair.after):
            wanted.setdefault(arm, set()).update(keys)
    return wanted


def pick_rows(rows: Iterable[ScoreRow], wanted: set[RowKey]) -> dict[RowKey, ScoreRow]:
    """Of an arm's rows, those wanted."""
    keyed = (((row.suite, row.task, row.filter, row.metric, row.doc_hash, row.occurrence), row) for row in rows)
    return {key: row for key, row in keyed if key in wanted}


def flips(compared: Iterable[ComparedPair], rows: Mapping[str, Mapping[RowKey, ScoreRow]]) -> Iterator[Flip]:
    """All flips of all pairs, pairs and suites in their order."""
    for pair in compared:
        before_rows, after_rows = rows[pair.pair.before], rows[pair.pair.after]
        order = {suite.suite: position for position, suite in enumerate(pair.result.suites)}
        for flip in sorted(pair.flips, key=lambda flip: (order[flip.suite], flip.kind, flip.key)):
            before, after = before_rows[_row_key(flip)], after_rows[_row_key(flip)]
            yield Flip(
                suite=flip.suite,
                task=flip.key[0],
                filter=flip.filter,
                metric=flip.metric,
                doc_hash=flip.key[1],
                occurrence=flip.key[2],
                before_arm=pair.pair.before,
                after_arm=pair.pair.after,
                kind="forgotten" if flip.kind == "forgotten" else "learned",
                group=flip.group,
                prompt=before.prompt,
                target=before.target,
                before_output=before.output,
                after_output=after.output,
            )


def with_must_pass(result: PairComparison, found: ComparedPair, rows: Mapping[RowKey, ScoreRow]) -> PairComparison:
    """The pair with the prompts of items that may not fail and were forgotten; `rows` are the arm's before."""
    lost: dict[str, list[str]] = {}
    for flip in sorted(found.flips, key=lambda flip: flip.key):
        if flip.kind == "forgotten" and (row := rows[_row_key(flip)]).must_pass:
            lost.setdefault(flip.suite, []).append(row.prompt or row.doc_hash)
    suites = (
        suite.model_copy(update={"must_pass_lost": tuple(lost.get(suite.suite, ())[:_NAMED])})
        for suite in result.suites
    )
    return result.model_copy(update={"suites": tuple(suites)}) if lost else result


def _row_key(flip: FlippedDocument) -> RowKey:
    task, doc_hash, occurrence = flip.key
    return (flip.suite, task, flip.filter, flip.metric, doc_hash, occurrence)
