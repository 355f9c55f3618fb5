"""MinHash signatures as rows that datasketch's own index loads.

    write_lsh_rows(Path("kept.lsh.parquet"), (("0x1f...", "the cat sat on the mat"), ...), settings)

    table = pyarrow.parquet.read_table("kept.lsh.parquet")           # columns id, signature (list<uint32>)
    about = table.schema.metadata                                    # scheme, seed, hash, num_perm, bands, rows, ngram
    index = MinHashLSH(num_perm=128, params=(25, 5))
    for id, row in zip(table["id"].to_pylist(), table["signature"].to_pylist()):
        index.insert(id, LeanMinHash(seed=1, hashvalues=row, scheme="affine32"))

Texts without words are left out: datasketch would take each for a duplicate of every other.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from pathlib import Path

from workbench.text.arrow_numbers import arrow_numbers, arrow_strings
from workbench.text.hashing import hashed
from workbench.text.minhash import HASH, SCHEME, SEED
from workbench.text.sketch import SHINGLING, SketchSettings

_ROWS_AT_ONCE = 4096


def write_lsh_rows(path: Path, ids_and_texts: Iterable[tuple[str, str]], settings: SketchSettings) -> int:
    """Writes one row per text with words, some at a time; returns how many. The file appears when it is complete."""
    import numpy as np
    import pyarrow as pa  # 0.1 s
    from pyarrow import parquet

    about = {
        "scheme": SCHEME, "seed": SEED, "hash": HASH, "num_perm": settings.num_perm, "bands": settings.bands,
        "rows": settings.rows, "ngram": settings.ngram, "threshold": settings.threshold, "shingling": SHINGLING,
    }  # fmt: skip
    schema = pa.schema(
        [("id", pa.string()), ("signature", pa.list_(pa.uint32()))],
        metadata={key: str(value) for key, value in about.items()},
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.tmp")
    written = 0
    remaining = iter(ids_and_texts)
    with parquet.ParquetWriter(aside, schema, compression="none", use_dictionary=False) as writer:
        while some := list(islice(remaining, _ROWS_AT_ONCE)):
            found = hashed([text for _, text in some], settings.ngram, settings.plan.permutations)
            filled = np.flatnonzero(np.diff(found.offsets))
            starts = arrow_numbers(np.arange(len(filled) + 1, dtype=np.int32) * np.int32(settings.num_perm))
            signatures = pa.ListArray.from_arrays(starts, arrow_numbers(found.signatures[filled].ravel()))
            ids = arrow_strings([some[row][0] for row in filled.tolist()])
            writer.write_table(pa.table([ids, signatures], schema=schema))
            written += len(filled)
    aside.replace(path)
    return written
