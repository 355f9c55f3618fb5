"""Configuration files: every problem at once, each with file, line and key."""

from __future__ import annotations

from pathlib import Path

import pytest

from workbench.core.config import LoopConfig
from workbench.core.errors import ConfigErrors, UsageError
from workbench.core.yamlfile import load_model, parse_mapping, validate


def _problems(text: str) -> list[str]:
    with pytest.raises(ConfigErrors) as raised:
        values, lines = parse_mapping(text, file="w.yaml")
        validate(values, LoopConfig, file="w.yaml", lines=lines)
    return [str(problem) for problem in raised.value.problems]


def test_all_problems_are_reported_together_with_line_and_suggestion() -> None:
    problems = _problems("train:\n  rnak: 3\n  rank: x\nscore:\n  arms:\n  - {name: a, adaptr: train}\n")
    assert any(line.startswith("w.yaml:2: train.rnak: unknown key; did you mean 'rank'?") for line in problems)
    assert any(line.startswith("w.yaml:3: train.rank:") and "'x'" in line for line in problems)
    assert any(
        line.startswith("w.yaml:6: score.arms.0.adaptr: unknown key; did you mean 'adapter'?") for line in problems
    )


def test_duplicate_key_is_refused_with_its_line() -> None:
    assert _problems("seed: 1\nname: a\nseed: 2\n") == ["w.yaml:3: seed: key appears twice"]


def test_alias_bomb_is_refused_without_expanding_it() -> None:
    bomb = "a: &a [x, x]\nb: &b [*a, *a]\n" + "".join(f"k{n}: [*b, *b]\n" for n in range(50))
    assert "aliases" in _problems(bomb)[0]


def test_python_tag_is_refused() -> None:
    assert "not valid YAML" in _problems("name: !!python/object/apply:os.system [true]\n")[0]


def test_missing_file_and_directory_are_usage_errors(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        load_model(tmp_path / "none.yaml", LoopConfig)
    with pytest.raises(UsageError, match="directory"):
        load_model(tmp_path, LoopConfig)


def test_file_that_is_not_utf8_is_a_usage_error(tmp_path: Path) -> None:
    path = tmp_path / "w.yaml"
    path.write_bytes("name: caf\xe9\n".encode("latin-1"))
    with pytest.raises(UsageError, match="not UTF-8"):
        load_model(path, LoopConfig)


def test_empty_file_gives_the_defaults(tmp_path: Path) -> None:
    path = tmp_path / "w.yaml"
    path.write_text("")
    assert load_model(path, LoopConfig) == LoopConfig()


def test_top_level_list_is_refused() -> None:
    assert "expected a mapping" in _problems("- a\n- b\n")[0]
