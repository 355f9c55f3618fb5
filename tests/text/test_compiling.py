from __future__ import annotations

import numba
import pytest

from workbench.text import compiling


def doubled(value: int) -> int:
    return 2 * value


@pytest.fixture(autouse=True)
def asked_anew():
    compiling.numba_is_used.cache_clear()
    yield
    compiling.numba_is_used.cache_clear()


@pytest.mark.parametrize("value, used", [("1", False), ("yes", False), ("0", True), ("", True)])
def test_a_switch_turns_compiling_off(monkeypatch, value: str, used: bool) -> None:
    monkeypatch.setenv(compiling.SWITCH, value)
    assert compiling.numba_is_used() == used
    assert (compiling.compiled(doubled) is doubled) == (not used)


def test_without_numba_loops_stay_python(monkeypatch) -> None:
    monkeypatch.delenv(compiling.SWITCH, raising=False)
    monkeypatch.setattr(compiling, "find_spec", lambda name: None)
    assert compiling.compiled(doubled) is doubled


def test_where_nothing_can_be_cached_loops_are_compiled_all_the_same(monkeypatch) -> None:
    njit = numba.njit

    def without_a_place_for_caches(*functions, **options):
        if options.get("cache"):
            raise RuntimeError("cannot cache function: no locator available")
        return njit(*functions, **options)

    monkeypatch.delenv(compiling.SWITCH, raising=False)
    monkeypatch.setattr(numba, "njit", without_a_place_for_caches)
    loop = compiling.compiled(doubled)
    assert loop is not doubled and loop(21) == 42
