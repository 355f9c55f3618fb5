"""Sketches: what the near-duplicate search keeps of a text.

    settings = SketchSettings(threshold=0.7, ngram=5, num_perm=128)
    made = sketch(["the cat sat on the mat today", "..."], settings)
    made.band_keys    # [2, bands]: texts with an equal key in some band are compared
    made.shingles     # the ids of 3 shingles, of which 0 belong to the second text
    made.offsets      # [0, 3, 3]

Settings and sketches are picklable. Settings take along what datasketch said about them, so a worker process that gets
them does not import it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from workbench.text.hashing import hashed
from workbench.text.minhash import HASH, SCHEME, SEED, Plan, pieces, plan, remember_plan

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SHINGLING = "words-or-unspaced-characters-1"
"""Raised whenever `text.shingles.tokens` finds other tokens in the same text."""

EXACT_FORM = "same-text-2"
"""Raised whenever `text.normalise.same_text` gives another spelling to the same text: saved indexes hold its hash."""

_BAND_FACTOR = 0x9E3779B97F4A7C15


@dataclass(frozen=True, slots=True)
class SketchSettings:
    """Everything that decides which pairs are found."""

    threshold: float
    """Jaccard similarity of the shingle sets from which two texts are near-duplicates."""
    ngram: int
    """Tokens per shingle."""
    num_perm: int
    """Permutations of the MinHash signature."""

    @property
    def plan(self) -> Plan:
        """Bands, rows and permutations."""
        return plan(self.threshold, self.num_perm)

    @property
    def bands(self) -> int:
        """Bands of the signature; an equal band makes a candidate pair."""
        return self.plan.bands

    @property
    def rows(self) -> int:
        """Permutations per band."""
        return self.plan.rows

    def fingerprint(self) -> str:
        """Names all of it: sketches are comparable when their fingerprints are equal."""
        return (
            f"threshold={self.threshold!r} ngram={self.ngram} num_perm={self.num_perm} bands={self.bands}x{self.rows} "
            f"scheme={SCHEME} seed={SEED} hash={HASH} ids=xxh64 shingling={SHINGLING} "
            f"exact={EXACT_FORM}"
        )

    def __reduce__(self) -> tuple[object, ...]:
        return _settings_with_plan, (self.threshold, self.ngram, self.num_perm, self.plan)


def _settings_with_plan(threshold: float, ngram: int, num_perm: int, known: Plan) -> SketchSettings:
    remember_plan(threshold, num_perm, known)
    return SketchSettings(threshold, ngram, num_perm)


@dataclass(frozen=True, slots=True)
class Sketches:
    """Sketches of some texts, in their order."""

    band_keys: NDArray[np.uint64]
    """`[n, bands]`."""
    shingles: NDArray[np.uint64]
    """Shingle ids of all texts: xxh64 of the shingle's UTF-8 bytes, ascending and single within a text."""
    offsets: NDArray[np.int64]
    """`[n + 1]`; a text without words has no shingles and is nobody's near-duplicate."""

    def __len__(self) -> int:
        return len(self.offsets) - 1


def sketch(texts: Sequence[str], settings: SketchSettings) -> Sketches:
    """Sketches of `texts`, on one core; memory beyond the result is bounded."""
    return joined([_sketch_piece(piece, settings) for piece in pieces(texts)], settings)


def sketch_stream(texts: Iterable[str], settings: SketchSettings, threads: int = 2) -> Iterator[Sketches]:
    """Sketches of any number of texts, some at a time and in order, made by several threads."""
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[Sketches]] = deque()
        for piece in pieces(texts):
            waiting.append(pool.submit(_sketch_piece, piece, settings))
            if len(waiting) > 2 * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def joined(parts: Sequence[Sketches], settings: SketchSettings) -> Sketches:
    """The sketches of several batches as one."""
    import numpy as np

    if len(parts) == 1:
        return parts[0]
    counts = [np.diff(part.offsets) for part in parts]
    offsets = np.zeros(sum(map(len, counts)) + 1, dtype=np.int64)
    np.cumsum(np.concatenate([np.empty(0, dtype=np.int64), *counts]), out=offsets[1:])
    return Sketches(
        np.concatenate([np.empty((0, settings.bands), dtype=np.uint64), *(part.band_keys for part in parts)]),
        np.concatenate([np.empty(0, dtype=np.uint64), *(part.shingles for part in parts)]),
        offsets,
    )


def _sketch_piece(texts: Sequence[str], settings: SketchSettings) -> Sketches:
    found = hashed(texts, settings.ngram, settings.plan.permutations)
    return Sketches(_band_keys(found.signatures, settings.bands, settings.rows), found.ids, found.offsets)


def _band_keys(signatures: NDArray[np.uint32], bands: int, rows: int) -> NDArray[np.uint64]:
    """Each band of each signature in 64 bits; a chance agreement costs one needless comparison."""
    import numpy as np

    values = signatures[:, : bands * rows].reshape(len(signatures), bands, rows)
    keys = np.zeros((len(signatures), bands), dtype=np.uint64)
    for row in range(rows):
        keys = (keys ^ values[:, :, row]) * np.uint64(_BAND_FACTOR)
        keys ^= keys >> np.uint64(29)
    return keys
