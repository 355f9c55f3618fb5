from __future__ import annotations

import pickle
import subprocess
import sys
from multiprocessing import get_context

import numpy as np
import xxhash
from awkward_texts import AWKWARD_TEXTS, made_up_texts, variations

from workbench.text.minhash import signatures
from workbench.text.shingles import shingles
from workbench.text.sketch import Sketches, SketchSettings, joined, sketch, sketch_stream

SETTINGS = SketchSettings(threshold=0.7, ngram=5, num_perm=64)


def assert_equal(one: Sketches, other: Sketches) -> None:
    np.testing.assert_array_equal(one.band_keys, other.band_keys)
    np.testing.assert_array_equal(one.shingles, other.shingles)
    np.testing.assert_array_equal(one.offsets, other.offsets)


def test_two_texts_have_an_equal_key_exactly_where_datasketchs_bands_are_equal() -> None:
    texts = variations(seed=1, originals=10)
    keys = sketch(texts, SETTINGS).band_keys
    signed = signatures(texts, SETTINGS.ngram, SETTINGS.num_perm)
    assert keys.shape == (len(texts), SETTINGS.bands)
    agreements = 0
    for band in range(SETTINGS.bands):
        block = signed[:, band * SETTINGS.rows : (band + 1) * SETTINGS.rows]
        expected = (block[:, None] == block[None]).all(axis=2)
        np.testing.assert_array_equal(keys[:, band, None] == keys[None, :, band], expected)
        agreements += int(expected.sum()) - len(texts)
    assert agreements > 100


def test_shingle_ids_are_the_hashes_of_the_shingles() -> None:
    made = sketch(AWKWARD_TEXTS, SETTINGS)
    for text, start, end in zip(AWKWARD_TEXTS, made.offsets[:-1], made.offsets[1:], strict=True):
        expected = sorted(xxhash.xxh64_intdigest(shingle.encode()) for shingle in shingles(text, SETTINGS.ngram))
        assert made.shingles[start:end].tolist() == expected


def test_a_stream_is_sketched_as_the_whole_is() -> None:
    texts = AWKWARD_TEXTS + made_up_texts(3000)
    assert_equal(joined(list(sketch_stream(iter(texts), SETTINGS)), SETTINGS), sketch(texts, SETTINGS))


def test_no_texts_give_empty_sketches() -> None:
    empty = sketch([], SETTINGS)
    assert empty.band_keys.shape == (0, SETTINGS.bands)
    assert empty.offsets.tolist() == [0] and len(empty) == 0
    assert list(sketch_stream([], SETTINGS)) == []


def test_settings_name_everything_that_matters() -> None:
    names = {
        SketchSettings(threshold, ngram, num_perm).fingerprint()
        for threshold in (0.7, 0.8) for ngram in (4, 5) for num_perm in (64, 128)
    }  # fmt: skip
    assert len(names) == 8
    for part in ("threshold=0.7", "ngram=5", "num_perm=64", "affine32", "seed=1", "xxh32", "xxh64"):
        assert part in SETTINGS.fingerprint()


def test_sketches_and_settings_survive_pickling() -> None:
    assert pickle.loads(pickle.dumps(SETTINGS)) == SETTINGS
    made = sketch(["the cat sat on the mat today"], SETTINGS)
    assert_equal(pickle.loads(pickle.dumps(made)), made)


def sketch_and_list_imports(settings: SketchSettings) -> tuple[list[list[int]], list[str]]:
    keys = sketch(["the cat sat on the mat today"], settings).band_keys.tolist()
    return keys, [name for name in ("datasketch", "scipy.integrate") if name in sys.modules]


def test_a_worker_that_is_sent_the_settings_needs_no_datasketch() -> None:
    with get_context("spawn").Pool(1) as pool:
        keys, imported = pool.apply(sketch_and_list_imports, (SETTINGS,))
    assert keys == sketch(["the cat sat on the mat today"], SETTINGS).band_keys.tolist()
    assert imported == []


def test_importing_the_engine_imports_nothing_heavy() -> None:
    code = (
        "import sys, workbench.text.sketch, workbench.text.near_duplicates, workbench.text.near_index\n"
        "import workbench.text.lsh_rows, workbench.ingest.clusters\n"
        "print([name for name in ('numpy', 'numba', 'datasketch', 'scipy', 'pyarrow') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
