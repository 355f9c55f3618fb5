"""What the model-based judges share: the rows that passed the rules, and scores that survive a kill.

    with ScoreLog(ctx.work_dir / "ifd.jsonl") as log:
        log.add({"0f3a...": 0.83})          # on disk when this returns
        log.get("0f3a...")                  # 0.83, in the next process too
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import IO, TypeVar

from workbench.core.records import Record
from workbench.curate.filters.contract import Verdict

Survivors = Callable[[], Iterator[tuple[int, Record]]]
"""Rows that nothing has dropped so far, as repaired, in ascending order; can be read more than once."""
Item = TypeVar("Item")


@dataclass(slots=True)
class ModelVerdicts:
    """What a model says of rows."""

    verdicts: dict[int, list[Verdict]] = field(default_factory=dict)
    """By row; a row with nothing against it is left out."""
    quality: dict[int, float] = field(default_factory=dict)
    """By row, for the choice among duplicates: the best stays."""

    def add(self, row: int, verdict: Verdict) -> None:
        """Writes down one verdict."""
        self.verdicts.setdefault(row, []).append(verdict)


class ScoreLog:
    """Scores by key in an append-only file; a line that a kill has torn is ignored and its score taken again."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._scores: dict[str, float] = {}
        self._file: IO[str] | None = None

    def __enter__(self) -> ScoreLog:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        if self._path.exists():
            for line in self._path.read_text(encoding="utf-8", errors="replace").splitlines():
                self._scores.update(_scores_in(line))
        self._file = self._path.open("a", encoding="utf-8")
        # after a torn line the next one must not be glued to it
        self._file.write("\n")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def get(self, key: str) -> float | None:
        """The score of `key`, NaN for one that is no number; None if it was not taken yet."""
        return self._scores.get(key)

    def add(self, scores: Mapping[str, float]) -> None:
        """Keeps scores; they survive the death of the process when this returns."""
        assert self._file is not None, "use ScoreLog in a with statement"
        self._scores.update(scores)
        self._file.write(json.dumps(dict(scores)) + "\n")
        self._file.flush()


def _scores_in(line: str) -> dict[str, float]:
    try:
        found = json.loads(line or "{}")
    except json.JSONDecodeError:
        return {}
    return {key: float(value) for key, value in found.items()} if isinstance(found, dict) else {}


def chunks(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Lists of `size` items, the last one shorter."""
    rest = iter(items)
    while chunk := list(islice(rest, size)):
        yield chunk


def token_batches(lengths: Sequence[int], most_tokens: int, most_rows: int) -> list[list[int]]:
    """Indices in batches of neighbours in length, longest first: at most `most_tokens` with padding, or one row.

    Ties stand in the order given: the same lengths always make the same batches.
    """
    batches: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda index: (-lengths[index], index)):
        last = batches[-1] if batches else []
        if last and len(last) < most_rows and lengths[last[0]] * (len(last) + 1) <= most_tokens:
            last.append(index)
        else:
            batches.append([index])
    return batches


def worst_rows(values: Mapping[int, float], keys: Mapping[int, str], share: float) -> list[int]:
    """The floor(share * n) rows with the highest finite values, ties by key: the order of the input decides nothing."""
    ranked = sorted(
        (row for row, value in values.items() if math.isfinite(value)), key=lambda row: (-values[row], keys[row], row)
    )
    return ranked[: math.floor(share * len(ranked) + 1e-9)]
