from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.text.arrow_numbers import arrow_numbers, arrow_strings, numpy_numbers


@pytest.mark.parametrize("kind", [np.uint32, np.int32, np.int64, np.uint64])
def test_numbers_are_those_of_pyarrows_own_conversion(kind: type) -> None:
    limits = np.iinfo(kind)
    values = np.array([limits.min, 0, 7, limits.max] * 3, dtype=kind)
    assert arrow_numbers(values).equals(pa.array(values))
    assert arrow_numbers(values[::2]).equals(pa.array(values[::2]))
    chunked = pa.chunked_array([pa.array(values), pa.array(values[:0]), pa.array(values).slice(3, 5)])
    np.testing.assert_array_equal(numpy_numbers(chunked), chunked.to_numpy())
    np.testing.assert_array_equal(numpy_numbers(pa.array(values).slice(2)), values[2:])
    assert numpy_numbers(pa.chunked_array([], type=pa.array(values).type)).dtype == kind


@given(st.lists(st.text(st.characters(codec="utf-8"))))
def test_strings_are_those_of_pyarrows_own_conversion(values: list[str]) -> None:
    assert arrow_strings(values).equals(pa.array(values, type=pa.string()))


def test_an_index_is_written_and_searched_without_pandas(tmp_path: Path) -> None:
    code = (
        "import sys, numpy as np, test_near_index as t\n"
        "from pathlib import Path\n"
        "root = Path(sys.argv[1])\n"
        "t.add_segment(root / 'known', t.segment_of(root / 'segment', ['alpha beta gamma delta']), 'a')\n"
        "print(t.matches(root / 'known', ['alpha beta gamma delta']).row.tolist(), 'pandas' in sys.modules)"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parent)
    assert done.stdout.split() == ["[0]", "False"]
