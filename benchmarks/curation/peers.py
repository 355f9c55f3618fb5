"""The other sides of the near-duplicate benchmark: rows removed from texts in memory, each as its users would write it.

- `usual_loop`: datasketch as in its own example: a MinHash updated shingle by shingle (SHA-1), asked for, inserted.
- `datasketch_best`: datasketch with everything it offers: xxh32, one `generator` with shared permutations, lean
  signatures, no check for repeated keys; connected components of what the index returns.
- `gaoya_builtin`: gaoya's own compiled tokeniser on all cores, bulk insertion and bulk query; components.
- `gaoya_same_shingles`: the same with our shingles, made in Python, since its tokeniser makes slightly others.

None of them verifies by the true similarity: datasketch believes the buckets, gaoya compares signatures.
"""

from __future__ import annotations

from collections.abc import Sequence

from workbench.text.normalise import words

THRESHOLD = 0.7
NGRAM = 5
NUM_PERM = 128
Removed = frozenset[int]


def usual_loop(texts: Sequence[str]) -> Removed:
    """What stays is what no earlier document looks like."""
    from datasketch import MinHash, MinHashLSH

    index = MinHashLSH(threshold=THRESHOLD, num_perm=NUM_PERM)
    removed = set()
    for row, text in enumerate(texts):
        sketch = MinHash(num_perm=NUM_PERM)
        for shingle in shingle_list(text):
            sketch.update(shingle.encode("utf-8", "surrogatepass"))
        if index.query(sketch):
            removed.add(row)
        index.insert(row, sketch)
    return frozenset(removed)


def datasketch_best(texts: Sequence[str]) -> Removed:
    """The same index, fed as fast as the library can be."""
    import xxhash
    from datasketch import LeanMinHash, MinHash, MinHashLSH

    encoded = ([shingle.encode("utf-8", "surrogatepass") for shingle in shingle_list(text)] for text in texts)
    sketches = MinHash.generator(encoded, num_perm=NUM_PERM, hashfunc=xxhash.xxh32_intdigest)
    index = MinHashLSH(threshold=THRESHOLD, num_perm=NUM_PERM)
    parents = list(range(len(texts)))
    for row, sketch in enumerate(sketches):
        lean = LeanMinHash(sketch)
        for other in index.query(lean):
            join(parents, row, other)
        index.insert(row, lean, check_duplication=False)
    return all_but_first(parents)


def gaoya_builtin(texts: Sequence[str]) -> Removed:
    """Everything in Rust."""
    return _gaoya(texts, "word")


def gaoya_same_shingles(texts: Sequence[str]) -> Removed:
    """Our shingles, its index."""
    return _gaoya(texts, shingle_list)


def _gaoya(texts: Sequence[str], analyzer: object) -> Removed:
    from gaoya.minhash import MinHashStringIndex

    # Bands and rows as datasketch chooses them for 128 hashes at 0.7.
    index = MinHashStringIndex(32, THRESHOLD, 14, 9, None, analyzer, True, (NGRAM, NGRAM), "vec")
    index.par_bulk_insert_docs(list(range(len(texts))), texts)
    parents = list(range(len(texts)))
    for row, alike in enumerate(index.par_bulk_query(texts)):
        for other in alike:
            join(parents, row, other)
    return all_but_first(parents)


def shingle_list(text: str) -> list[str]:
    """Word 5-grams; fewer words are one shingle."""
    found = words(text)
    return [" ".join(found[start : start + NGRAM]) for start in range(max(len(found) - NGRAM + 1, min(len(found), 1)))]


def root(parents: list[int], row: int) -> int:
    """The first row of a component."""
    while parents[row] != row:
        parents[row] = parents[parents[row]]
        row = parents[row]
    return row


def join(parents: list[int], left: int, right: int) -> None:
    """Makes one component of two."""
    first, second = sorted((root(parents, left), root(parents, right)))
    parents[second] = first


def all_but_first(parents: list[int]) -> Removed:
    """Rows that are not the first of their component."""
    return frozenset(row for row in range(len(parents)) if root(parents, row) != row)
