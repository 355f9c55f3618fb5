"""`workbench rate` without a terminal: what would be asked, the summary, the export, and what is refused."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from in_process import workbench

from workbench.core.errors import IncompleteError, UsageError
from workbench.core.paths import Project
from workbench.core.records import HumanRating, Judgment, contest_id
from workbench.loop.contests import find_contests
from workbench.loop.rating_summary import summarise
from workbench.loop.ratings import RatingLog, RatingSession, ratings_path

sys.path.append(str(Path(__file__).parent.parent / "store"))

from sample_project import RUN, build_project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return build_project(tmp_path / "project")


def rated(project: Project, rater: str) -> None:
    found = find_contests(project, RUN, None, None, None)
    session = RatingSession(
        ratings_path(project), found.contests, rater, clock=lambda: datetime(2026, 11, 22, tzinfo=UTC)
    )
    session.decide("tie", "no \x1b[31mdifference")


def test_dry_run_and_json_say_what_waits_and_write_nothing(project: Project) -> None:
    root = str(project.root)
    shown = workbench("-C", root, "rate", "--dry-run", "--rater", "ada")
    assert "ada has rated 0 of 1 pairs" in shown.out and "base@nf4 against candidate" in shown.out
    document = workbench("-C", root, "rate", RUN, "--json").document
    assert (document["schema_version"], document["to_rate"], document["rated"]) == (1, 1, 0)
    assert not ratings_path(project).exists()


def test_without_a_terminal_rating_is_refused_with_the_way_out(project: Project) -> None:
    with pytest.raises(UsageError, match="needs a terminal") as caught:
        workbench("-C", str(project.root), "rate")
    assert caught.value.exit_code == 2 and "--summary" in str(caught.value)


def test_names_that_would_spoil_the_file_are_refused(project: Project) -> None:
    for name in ("", "  ", "ada\x1b[31m", "a\nb"):
        with pytest.raises(UsageError, match="rater's name"):
            workbench("-C", str(project.root), "rate", "--rater", name, "--json")


def test_summary_and_export_have_the_ratings_that_hold_and_the_judges_agreement(
    project: Project, tmp_path: Path
) -> None:
    rated(project, "ada")
    rated(project, "bo")
    root = str(project.root)
    summary = workbench("-C", root, "rate", "--summary", "--json").document["summary"]
    assert (summary["rated"], summary["ratings"], summary["verdicts"]["tie"]) == (1, 2, 2)
    assert summary["win_rate"]["value"] == 0.5 and summary["among_raters"]["value"] == 1.0
    assert summary["judge"]["contests"] == 1 and summary["judge"]["agreement"]["value"] == 1.0
    assert "rated 1 of 1 (2 ratings by 2)" in workbench("-C", root, "rate", "--summary").out
    out = tmp_path / "ratings.jsonl"
    assert "2 ratings would go" in workbench("-C", root, "rate", "--export", str(out), "--dry-run").out
    assert not out.exists()
    assert workbench("-C", root, "rate", "--export", str(out), "--json").document["ratings"] == 2
    lines = [HumanRating.model_validate_json(line) for line in out.read_text().splitlines()]
    assert {line.rater for line in lines} == {"ada", "bo"} and json.loads(out.read_text().splitlines()[0])["note"]


def test_an_export_never_takes_the_place_of_the_ratings_and_can_be_of_one_rater(
    project: Project, tmp_path: Path
) -> None:
    rated(project, "ada")
    rated(project, "bo")
    root, log = str(project.root), ratings_path(project)
    written = log.read_bytes()

    def refused(problem: str, *arguments: str) -> None:
        with pytest.raises(UsageError, match=problem):
            workbench("-C", root, "rate", *arguments)

    refused("holds all ratings", "--export", str(log))
    refused("is a directory", "--export", str(tmp_path))
    refused("two commands", "--export", str(tmp_path / "out.jsonl"), "--summary")
    refused("both arms are 'base'", "--before", "base", "--after", "base", "--summary")
    assert log.read_bytes() == written and not (tmp_path / "out.jsonl").exists()
    out = tmp_path / "bo.jsonl"
    out.write_text("an earlier export")
    refused("'boo' has rated none", "--export", str(out), "--rater", "boo")
    assert out.read_text() == "an earlier export"
    assert workbench("-C", root, "rate", "--export", str(out), "--rater", "bo", "--json").document["ratings"] == 1
    assert json.loads(out.read_text())["rater"] == "bo"


def test_a_judge_that_people_found_wanting_is_in_the_summary(project: Project) -> None:
    """It was asked about the rated pairs alone, so it said nothing of the arms."""
    rated(project, "ada")
    (contest,) = find_contests(project, RUN, None, None, None).contests
    (said,) = project.artifacts.glob("score/*/judgments.jsonl")
    rows = [json.loads(line) for line in said.read_text().splitlines()]
    for row in rows:
        row |= {"doc_hash": contest.id, "before": "rated-before", "after": "rated-after", "preference": 0.9}
    said.write_text("")
    (said.parent / "rated.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    judge = workbench("-C", str(project.root), "rate", "--summary", "--json").document["summary"]["judge"]
    assert (judge["contests"], judge["agreement"]["value"]) == (1, 0.0)  # Ada said it is a tie


def test_a_verdict_on_a_turned_pair_is_for_the_same_answer(project: Project) -> None:
    (contest,) = find_contests(project, RUN, None, None, None).contests
    names = {"before": contest.before, "after": contest.after}
    texts = {name: getattr(contest, name) for name in ("prompt", "before_output", "after_output", "suite")}
    rating = HumanRating(**names, **texts, doc_hash=contest.doc_hash, rater="ada", verdict="after")
    turned = contest_id(contest.prompt, contest.after_output, contest.before_output)
    said = [
        Judgment(suite=contest.suite, doc_hash=turned, judge="j", prompt_sha256="0", order=order,
                 before="rated-before", after="rated-after", preference=0.1)
        for order in ("before_first", "after_first")
    ]  # fmt: skip
    found = summarise(find_contests(project, RUN, None, None, None), RatingLog((rating,)), said)
    assert found.judge is not None and found.judge.agreement.value == 1.0


def test_a_judge_without_its_judgments_is_said(project: Project) -> None:
    (said,) = project.artifacts.glob("score/*/judgments.jsonl")
    said.unlink()
    with pytest.raises(IncompleteError, match="part is missing"):
        workbench("-C", str(project.root), "rate", "--summary", "--json")
