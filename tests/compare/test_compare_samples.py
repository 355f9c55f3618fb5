"""Two arms compared without a plan, and the table that the terminal shows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scored_arms import rows, scored, suite, trust

from workbench.compare.samples import compare_arms, compare_files, suites_in
from workbench.compare.text import render
from workbench.core.errors import IncompleteError, UsageError
from workbench.core.parts import write_rows
from workbench.core.results import Comparison, Interval, PairVerdict, SuiteVerdict, Verdict

CAPITALS = suite()
BEFORE = [1.0, 0.0] * 50
AFTER = [0.0] * 10 + BEFORE[10:]


def test_arms_of_two_runs_are_compared_with_their_conditions(tmp_path: Path) -> None:
    one = scored(tmp_path / "one", "candidate", rows(BEFORE, CAPITALS))
    other = scored(tmp_path / "two", "candidate", rows(AFTER, CAPITALS), batch_size=16)
    comparison, flips = compare_arms(one, other, (CAPITALS,))
    pair = comparison.pairs[0]
    assert (pair.before, pair.after, pair.purpose) == ("candidate (before)", "candidate (after)", "candidate")
    assert not pair.comparable and any("batch_size" in obstacle for obstacle in pair.obstacles)
    assert pair.suites[0].gain.value == pytest.approx(np.mean(AFTER) - np.mean(BEFORE))
    assert [flip.kind for flip in flips] == ["forgotten"] * 5


def test_files_alone_are_compared_on_the_documents_they_share_and_conditions_are_unknown(tmp_path: Path) -> None:
    write_rows(tmp_path / "a.jsonl", rows(BEFORE, CAPITALS))
    write_rows(tmp_path / "b.jsonl", rows(AFTER[:60], CAPITALS))
    comparison, _ = compare_files(tmp_path / "a.jsonl", tmp_path / "b.jsonl")
    pair = comparison.pairs[0]
    assert pair.comparable and not pair.suites[0].obstacles
    assert (pair.suites[0].n, pair.suites[0].unpaired) == (60, 40)
    assert any(gap.startswith("Conditions:") for gap in comparison.not_run)


def test_suites_are_read_from_rows_where_none_are_given(tmp_path: Path) -> None:
    docs = suite("docs", "perplexity", "nll")
    norm = [row.model_copy(update={"metric": "acc_norm"}) for row in rows([1.0], CAPITALS)]
    write_rows(tmp_path / "a.jsonl", [*norm, *rows([1.0], CAPITALS), *rows([3.0, 2.0], docs)])
    found = suites_in(tmp_path / "a.jsonl")
    assert [(entry.name, entry.kind, entry.primary_metric) for entry in found] == [
        ("capitals", "lm_eval", "acc"),
        ("docs", "perplexity", "nll"),
    ]


def test_what_cannot_be_compared_is_said(tmp_path: Path) -> None:
    write_rows(tmp_path / "a.jsonl", rows(BEFORE, CAPITALS))
    write_rows(tmp_path / "b.jsonl", rows(BEFORE, suite("copying")))
    write_rows(tmp_path / "c.jsonl", rows([1.0], CAPITALS, suite="no such name/"))
    with pytest.raises(IncompleteError, match="share no suite"):
        compare_files(tmp_path / "a.jsonl", tmp_path / "b.jsonl")
    with pytest.raises(UsageError, match="no scores here"):
        compare_files(tmp_path / "a.jsonl", tmp_path / "missing.jsonl")
    with pytest.raises(UsageError, match="cannot be the name"):
        compare_files(tmp_path / "c.jsonl", tmp_path / "a.jsonl")


def compared(root: Path) -> Comparison:
    docs = suite("docs", "perplexity", "nll", gated=False)
    before = [*rows(BEFORE, CAPITALS), *rows([3.5, 3.4, 3.6, 3.3], docs)]
    after = [*rows(AFTER, CAPITALS), *rows([2.8, 2.9, 2.7, 2.9], docs)]
    arms = scored(root, "base@nf4", before), scored(root, "candidate", after)
    return compare_arms(*arms, (CAPITALS, docs, suite("missing")))[0]


def verdict_of(comparison: Comparison, reason: str) -> Verdict:
    pair = comparison.pairs[0]
    suites = tuple(
        SuiteVerdict(
            suite=entry.suite,
            metric=entry.metric,
            role=entry.role,
            gated=entry.gated,
            state="inconclusive",
            nothing_changed=False,
            reason=reason,
        )
        for entry in pair.suites
    )
    decisive = PairVerdict(
        before=pair.before,
        after=pair.after,
        purpose=pair.purpose,
        state="inconclusive",
        nothing_changed=False,
        suites=suites,
        reasons=(reason,),
    )
    return Verdict(state="inconclusive", headline=reason, decisive=decisive, exit_code=0, strict=False)


def test_the_table_is_aligned_and_shows_changes_in_the_metrics_own_direction(tmp_path: Path) -> None:
    comparison = compared(tmp_path)
    text = render(comparison, verdict_of(comparison, "Cannot tell."))
    lines = text.splitlines()
    assert lines[0] == "base@nf4 -> candidate   (candidate, decides: inconclusive)"
    header, capitals, docs = lines[1:4]
    assert " ".join(header.split()) == "suite n before after change 95% CI lost/won p (Holm) MDE state"
    assert "50.0%" in capitals and "45.0%" in capitals and "-5.0" in capitals and "5/0" in capitals
    assert "docs *" in docs and "-0.625" in docs and "inconclusive" in docs
    assert header.index("state") == capitals.index("inconclusive") == docs.index("inconclusive")
    assert "* not gated" in text and "Suite missing: not scored in both arms." in text


def test_answers_that_could_not_be_read_are_told_apart_under_the_table(tmp_path: Path) -> None:
    comparison = compared(tmp_path)
    assert "no answer read" not in render(comparison)
    capitals, *others = comparison.pairs[0].suites
    both = Interval(value=0.01, low=-0.02, high=0.04)
    unread = capitals.model_copy(update={"unparsed_after": 30, "both_parsed": both, "both_parsed_n": 70})
    pair = comparison.pairs[0].model_copy(update={"suites": (unread, *others)})
    text = render(comparison.model_copy(update={"pairs": (pair,)}))
    counted = "capitals: no answer read from 0 before and 30 after; among the 70 readable in both +1.0 (-2.0 to 4.0)"
    assert counted in text


def test_the_table_works_without_a_verdict_and_without_a_number(tmp_path: Path) -> None:
    comparison = compared(tmp_path)
    assert "inconclusive" not in render(comparison)
    arms = (
        scored(tmp_path / "e", "base@nf4", rows([None], CAPITALS)),
        scored(tmp_path / "e", "sham", rows([1.0], CAPITALS)),
    )
    empty = compare_arms(*arms, (CAPITALS,))[0]
    assert "-" in render(empty).splitlines()[2].split()


def test_no_control_character_of_a_name_or_message_reaches_the_terminal(tmp_path: Path) -> None:
    comparison = compared(tmp_path)
    hostile = "\x1b]52;c;aGk=\x07 \u202e\n[/nope]"
    judged = comparison.model_copy(update={"not_run": (hostile,), "judge": trust(False, reasons=(hostile,))})
    text = render(judged, verdict_of(judged, hostile))
    assert not any(character in text for character in "\x1b\x07\u202e")
    assert "[/nope]" in text
    assert len(text.splitlines()) == len(render(judged, verdict_of(judged, "plain")).splitlines())
