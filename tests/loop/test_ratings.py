"""Ratings on disk: appended, resumed, undone; order and sides drawn by hash; the summary against other formulas."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.proportion import proportion_confint

from workbench.core.errors import IncompleteError, UsageError
from workbench.core.paths import Project
from workbench.core.records import Generation, HumanRating, Judgment
from workbench.loop.contests import Contest, Contests, find_contests
from workbench.loop.rating_summary import render, summarise
from workbench.loop.ratings import Choice, RatingSession, append_rating, in_order, ratings_path, read_log, shown_first

sys.path.append(str(Path(__file__).parent.parent / "store"))

from sample_project import RUN, build_project, commit_artifact, write_plan

WHEN = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def contest(number: int) -> Contest:
    return Contest(
        suite="prompts",
        doc_hash=f"{number:016x}",
        occurrence=0,
        before="a",
        after="b",
        prompt=f"question {number}",
        reference="",
        before_output=f"before {number}",
        after_output=f"after {number}",
    )


CONTESTS = [contest(number) for number in range(200)]


def session(path: Path, rater: str, count: int = 5, **settings: int) -> RatingSession:
    return RatingSession(path, CONTESTS[:count], rater, clock=lambda: WHEN, **settings)


def found(count: int) -> Contests:
    return Contests("run-1", "a", "b", tuple(CONTESTS[:count]), equal=0, failed=0, unpaired=0)


Verdict = Literal["before", "after", "tie", "neither"]


def rate(path: Path, rater: str, verdicts: Mapping[int, Verdict]) -> None:
    """Says of contest NUMBER that `before`, `after`, `tie` or `neither` holds."""
    for number, verdict in verdicts.items():
        one = contest(number)
        append_rating(
            path,
            HumanRating(
                suite=one.suite,
                doc_hash=one.doc_hash,
                before=one.before,
                after=one.after,
                prompt=one.prompt,
                before_output=one.before_output,
                after_output=one.after_output,
                rater=rater,
                verdict=verdict,
                shown_first="before",
            ),
        )


def test_every_verdict_is_on_disk_before_the_next_is_asked_and_a_new_session_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "decisions" / "ratings.jsonl"
    first = session(path, "ada")
    asked = []
    choices: tuple[Choice, ...] = ("first", "second", "tie")
    for choice in choices:
        shown = first.current()
        assert shown is not None
        asked.append(shown.contest.id)
        first.decide(choice)
        assert len(path.read_text().splitlines()) == len(asked)
    again = session(path, "ada")
    assert (again.done, again.total) == (3, 5)
    shown = again.current()
    assert shown is not None and shown.contest.id not in asked
    assert session(path, "bo").done == 0
    line = json.loads(path.read_text().splitlines()[0])
    assert line["at"] == "2026-11-22T12:00:00+00:00" and line["rater"] == "ada"


def test_undo_writes_a_line_deletes_none_and_reaches_into_earlier_sessions(tmp_path: Path) -> None:
    path = tmp_path / "ratings.jsonl"
    first = session(path, "ada")
    first.decide("first", "a note")
    before = path.read_bytes()
    again = session(path, "ada")
    assert again.undo() == "a note" and again.undo() is None
    assert path.read_bytes().startswith(before)
    assert [rating.verdict for rating in read_log(path).ratings][1:] == ["withdrawn"]
    assert read_log(path).standing() == {} and again.done == 0


def test_a_torn_line_is_moved_aside_and_a_whole_one_without_its_end_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "ratings.jsonl"
    session(path, "ada").decide("tie")
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"rater": "ad')
    assert read_log(path).unreadable == (2,)
    session(path, "ada").decide("tie")
    assert (tmp_path / "ratings.torn").read_bytes() == b'{"rater": "ad\n'
    assert len(read_log(path).ratings) == 2 and read_log(path).unreadable == ()
    path.write_bytes(path.read_bytes().rstrip(b"\n"))
    session(path, "ada").decide("neither")
    assert [rating.verdict for rating in read_log(path).ratings] == ["tie", "tie", "neither"]


def test_sides_and_order_differ_between_raters_and_are_the_same_when_one_comes_back() -> None:
    sides = {rater: [shown_first(one.id, rater, 0) for one in CONTESTS] for rater in ("ada", "bo")}
    for drawn in sides.values():
        # 200 fair draws: 70 to 130 with probability 0.99998
        assert 70 < Counter(drawn)["before"] < 130
    assert sides["ada"] != sides["bo"]
    assert in_order(CONTESTS, "ada", 0, None) == in_order(CONTESTS[::-1], "ada", 0, None)
    assert in_order(CONTESTS, "ada", 0, None) != in_order(CONTESTS, "bo", 0, None)
    assert in_order(CONTESTS, "ada", 0, None) != in_order(CONTESTS, "ada", 1, None)


def test_a_limit_gives_every_rater_the_same_contests_so_that_they_can_agree() -> None:
    ada, bo = (in_order(CONTESTS, rater, 0, 20) for rater in ("ada", "bo"))
    assert len(ada) == 20 and {one.id for one in ada} == {one.id for one in bo} and ada != bo


def test_a_limit_counts_different_pairs() -> None:
    again = [*CONTESTS[:3], *CONTESTS[:3], *CONTESTS[:3], *CONTESTS[3:10]]
    picked = in_order(again, "ada", 0, 6)
    assert len({one.id for one in picked}) == len(picked) == 6
    assert {one.id for one in picked} == {one.id for one in in_order(CONTESTS[:10], "ada", 0, 6)}


@given(st.lists(st.sampled_from(["first", "second", "tie", "neither", "skip", "undo"]), max_size=25))
@settings(max_examples=40, deadline=None)
def test_whatever_is_pressed_the_log_holds_what_the_session_says(
    tmp_path_factory: pytest.TempPathFactory, presses: list[Choice | Literal["skip", "undo"]]
) -> None:
    path = tmp_path_factory.mktemp("presses") / "ratings.jsonl"
    rating = session(path, "ada", count=4)
    for press in presses:
        if press == "undo":
            rating.undo()
        elif rating.current() is not None:
            rating.skip() if press == "skip" else rating.decide(press)
        assert len(read_log(path).standing("ada")) == rating.done == session(path, "ada", count=4).done


def test_the_summary_counts_contests_and_its_interval_is_wilsons(tmp_path: Path) -> None:
    path = tmp_path / "ratings.jsonl"
    verdicts: dict[int, Verdict] = {number: "after" if number < 14 else "before" for number in range(20)}
    rate(path, "ada", verdicts)
    made = summarise(found(30), read_log(path), [])
    low, high = proportion_confint(14, 20, method="wilson")
    assert made.win_rate is not None and made.win_rate.value == pytest.approx(0.7)
    assert (made.win_rate.low, made.win_rate.high) == pytest.approx((low, high), abs=1e-9)
    assert (made.rated, made.ratings, made.contests) == (20, 20, 30)
    assert made.among_raters is None and made.judge is None
    assert made.raters[0].first_preferred is not None and made.raters[0].first_preferred.value == pytest.approx(0.3)
    # a second rater of the same contests adds no observation: where they differ the contest is a tie
    rate(path, "bo", dict.fromkeys(range(4), "before"))
    made = summarise(found(30), read_log(path), [])
    assert made.rated == 20 and made.ratings == 24 and made.verdicts["before"] == 10
    assert made.win_rate is not None and made.win_rate.value == pytest.approx((10 + 4 * 0.5) / 20)


def test_raters_who_agree_have_alpha_one_and_the_judge_is_held_against_them(tmp_path: Path) -> None:
    path = tmp_path / "ratings.jsonl"
    verdicts = {number: ("before", "after", "tie")[number % 3] for number in range(12)}
    for rater in ("ada", "bo"):
        rate(path, rater, verdicts)
    preferences = {"before": 0.1, "after": 0.9, "tie": 0.5}
    judgments = [
        Judgment(
            suite="prompts",
            doc_hash=f"{number:016x}",
            judge="judge",
            prompt_sha256="0",
            order=order,
            before="a",
            after="b",
            preference=preferences[verdict],
        )
        for number, verdict in verdicts.items()
        for order in ("before_first", "after_first")
    ]
    made = summarise(found(12), read_log(path), judgments)
    assert made.among_raters is not None and made.among_raters.value == 1.0
    assert made.judge is not None and (made.judge.contests, made.judge.agreement.value) == (12, 1.0)
    assert made.judge.kappa.value == 1.0
    said = render(made)
    assert "alpha 1.00" in said and "judge with people: 12 contests" in said
    # a judge that people found wanting was asked about what they rated alone, under the contest's own hash
    arms = {"before": "rated-before", "after": "rated-after"}
    on_rated = [
        row.model_copy(update=arms | {"doc_hash": contest(int(row.doc_hash, 16)).id, "preference": 0.1})
        for row in judgments
    ]
    left_out = summarise(found(12), read_log(path), on_rated).judge
    assert left_out is not None and (left_out.contests, left_out.agreement.value) == (12, 4 / 12)
    assert summarise(found(12), read_log(path), [*judgments, *on_rated]).judge == made.judge
    rate(path, "bo", dict.fromkeys(range(12), "after"))
    less = summarise(found(12), read_log(path), judgments)
    assert less.among_raters is not None and less.among_raters.value < 0.5


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return build_project(tmp_path / "project")


def test_contests_come_from_the_deciding_arms_of_the_newest_run_that_kept_answers(project: Project) -> None:
    not_made = {"score:base@nf4": "0" * 64, "score:candidate": "1" * 64}
    write_plan(project, "later", not_made, created_at="2026-11-23T10:15:00+00:00")
    made = find_contests(project, None, None, None, None)
    assert (made.run, made.before, made.after) == (RUN, "base@nf4", "candidate")
    assert [one.prompt for one in made.contests] == ["What does len do?"]
    with pytest.raises(UsageError, match="no answers to suite 'other' were kept; there are: prompts"):
        find_contests(project, RUN, "other", None, None)
    with pytest.raises(UsageError, match="no arm 'nobody'"):
        find_contests(project, RUN, None, "nobody", None)
    with pytest.raises(UsageError, match="both arms are 'candidate'"):
        find_contests(project, RUN, None, "candidate", None)
    with pytest.raises(IncompleteError, match="not scored yet"):
        find_contests(project, "later", None, None, None)


def test_equal_failed_and_unpaired_answers_are_counted_and_not_asked(project: Project) -> None:
    def answer(arm: str, number: int, output: str, finish_reason: str = "stop") -> Generation:
        values = {"arm": arm, "suite": "prompts", "doc_hash": str(number), "prompt": f"q{number}", "output": output}
        return Generation.model_validate({**values, "tokens": 1, "finish_reason": finish_reason})

    left = [answer("base@nf4", n, text) for n, text in enumerate(("same", "mine", "fails", "alone"))]
    right = [
        answer("candidate", 0, " same\n"),
        answer("candidate", 1, "theirs"),
        answer("candidate", 2, "x", "error"),
        answer("candidate", 9, "alone too"),
    ]
    made = {
        node: commit_artifact(project, node, {}, {"generations.jsonl": rows}, version=2)[1]
        for node, rows in (("score:base@nf4", left), ("score:candidate", right))
    }
    write_plan(project, "mixed", made)
    contests = find_contests(project, "mixed", None, None, None)
    assert [one.before_output for one in contests.contests] == ["mine"]
    assert (contests.equal, contests.failed, contests.unpaired) == (1, 1, 2)


def test_the_file_is_the_one_the_judge_reads(project: Project) -> None:
    from workbench.core.config import JudgeConfig
    from workbench.score.judging import ratings as judged

    path = ratings_path(project)
    rate(path, "ada", {0: "after", 1: "before", 2: "tie"})
    session(path, "ada", count=3).undo()
    named = judged.ratings_path(JudgeConfig(endpoint="e", suite="prompts"), project.root)
    assert named == path.resolve()
    rated = judged.read_ratings(named, "prompts")
    assert sorted(one.mean for one in rated.values()) == [0.0, 1.0]
    with path.open("a", encoding="utf-8") as stream:  # the arms changed places: the same pair from the other side
        for said, rater in (("before", "bo"), ("after", "ada")):
            row = json.loads(path.read_text().splitlines()[0]) | {"rater": rater, "verdict": said}
            row["before_output"], row["after_output"] = row["after_output"], row["before_output"]
            stream.write(json.dumps(row) + "\n")
    again = judged.read_ratings(named, "prompts")
    assert again.keys() == rated.keys()
    assert next(iter(again.values())).by_rater == {"ada": 0.0, "bo": 1.0}
