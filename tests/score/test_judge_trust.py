"""Repeats, people's ratings, the model that answers, and what is said of two arms."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from endpoints.scripted_server import ScriptedServer, Step
from judge_world import DOCUMENTS, KEY, REFERENCES, SUITE, World, first_always, guesses, judge_with, knows

from workbench.compare.judgments import judged_pairs
from workbench.core.config import JudgeConfig
from workbench.core.errors import IncompleteError, UsageError
from workbench.core.fingerprints import short_id
from workbench.core.records import HumanRating
from workbench.core.stage import Done
from workbench.score.judging.ratings import label_of, ratings_external, read_ratings

PROMPTS = list(REFERENCES)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    return World(tmp_path)


def rated(world: World, count: int, verdict: Callable[[int], str], **fields: Any) -> Path:
    """Ratings of the first contests: the answers of both arms, the later one right."""
    lines = [
        HumanRating(
            suite="answers",
            prompt=prompt,
            before_output=world.answers["base"][prompt],
            after_output=world.answers["candidate"][prompt],
            rater="ann",
            verdict=verdict(number),
            **fields,
        ).model_dump_json()
        for number, prompt in enumerate(PROMPTS[:count])
    ]
    path = world.root / ".workbench" / "decisions" / "ratings.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def served_by(script: Callable[[dict[str, Any], int], Step], name: Callable[[int], str]) -> Any:
    """The same answers under the name of a model of their own."""

    def named(request: dict[str, Any], number: int) -> Step:
        step = script(request, number)
        body = json.loads(step.body)
        return replace(step, body=json.dumps(body | {"model": name(number)}).encode())

    return named


def test_repeats_ask_again_with_another_seed_and_their_mean_counts(world: World) -> None:
    def wavers(request: dict[str, Any], number: int) -> Step:
        sure = judge_with(knows)
        unsure = judge_with(lambda prompt, a, b: (knows(prompt, a, b) + 0.2 * (knows(prompt, a, b) < 0.5)))
        return (unsure if request["seed"] == 1 else sure)(request, number)

    with ScriptedServer(wavers) as server:
        world.run(server.url, judge={"repeats": 2, "temperature": 0.7})
    assert len(server.requests) == 1 + 2 * (80 + 80)
    assert {(request["seed"], request["temperature"]) for request in server.requests[1:]} == {(0, 0.7), (1, 0.7)}
    judgments = world.judgments()
    assert [(row.order, row.repeat) for row in judgments[:4]] == [
        ("before_first", 0), ("after_first", 0), ("before_first", 1), ("after_first", 1),
    ]  # fmt: skip
    # before_first says .9 and .9; after_first .1 and .3, for `after` .9 and .7
    assert [row.preference for row in judgments[:4]] == pytest.approx([0.9, 0.9, 0.9, 0.7])
    assert world.findings().win_rate.value == pytest.approx((0.9 + 0.8) / 2)
    trust = world.trust()
    assert (trust.repeats, trust.calls) == (2, 160)
    assert trust.repeat_inconsistent is not None
    assert trust.repeat_inconsistent.value == 0


def test_verdicts_that_change_between_repeats_are_counted(world: World) -> None:
    def by_seed(request: dict[str, Any], number: int) -> Step:
        taste = knows if request["seed"] == 0 else (lambda prompt, a, b: 1 - knows(prompt, a, b))
        return judge_with(taste)(request, number)

    with ScriptedServer(by_seed) as server:
        world.run(server.url, judge={"repeats": 2})
    found = world.trust().repeat_inconsistent
    assert found is not None
    assert found.value == 1.0
    assert not world.trust().trusted


def test_the_comparison_and_the_findings_say_the_same_win_rate(world: World) -> None:
    for prompt in PROMPTS[:9]:
        world.answers["candidate"][prompt] = "It prints nothing at all."
        world.answers["base"][prompt] = REFERENCES[prompt]
    with ScriptedServer(judge_with(knows)) as server:
        outcome = world.run(server.url)
    found = world.findings()
    paired = judged_pairs(world.judgments(), "answers", "base", "candidate")
    assert found.win_rate.value == pytest.approx(float(paired.after.mean())) == pytest.approx((9 * 0.1 + 31 * 0.9) / 40)
    assert found.win_rate.low < found.win_rate.value < found.win_rate.high
    assert (found.judged, found.failed, found.ties) == (40, 0, 0)
    assert isinstance(outcome, Done)
    assert outcome.summary["win rate"] == pytest.approx(found.win_rate.value, abs=1e-4)
    assert found.length_before == sum(map(len, world.answers["base"].values())) / 40


def test_people_decide_where_they_rated_enough_even_against_the_golden_set(world: World) -> None:
    """The judge tells references from strangers, but people like the other answers."""
    rated(world, 40, lambda number: "before" if number % 4 else "after")
    with ScriptedServer(judge_with(knows)) as server:
        done = world.run(server.url)
    trust = world.trust()
    assert trust.kappa.low > 0.4
    assert trust.people is not None
    assert (trust.measured_against, trust.people.contests, trust.people.raters) == ("people", 40, 1)
    assert trust.people.agreement.value == 0.25
    assert not trust.trusted
    assert any("people's ratings of 40 pairs" in reason for reason in trust.reasons)
    assert trust.calls == 160
    assert world.judgments() == []
    assert len(world.judgments("rated.jsonl")) == 80
    assert isinstance(done, Done)
    shown = done.summary  # the kappa in tables is the one that decided
    assert (shown["trusted"], shown["measured against"], shown["kappa golden"]) == ("no", "people", 1.0)
    assert shown["kappa"] == shown["kappa people"] == round(trust.people.kappa.value, 4)
    assert shown["kappa low"] == round(trust.people.kappa.low, 4)


def test_a_judge_that_fails_the_golden_set_is_trusted_where_it_agrees_with_enough_people(world: World) -> None:
    def house_style(prompt: str, a: str, b: str) -> float:
        """Blind to the golden set, which has no exclamation marks, and of one mind with the people."""
        return 0.5 if ("!" in a) == ("!" in b) else 0.9 if "!" in b else 0.1

    better = set(PROMPTS[::2])
    for prompt in PROMPTS:
        world.answers["candidate" if prompt in better else "base"][prompt] = f"Sure! {prompt}"
        world.answers["base" if prompt in better else "candidate"][prompt] = f"No. {prompt}"
    rated(world, 40, lambda number: "after" if PROMPTS[number] in better else "before")
    with ScriptedServer(judge_with(house_style)) as server:
        world.run(server.url)
    trust = world.trust()
    assert trust.kappa.low < 0.4
    assert trust.people is not None
    assert trust.people.kappa.value == trust.people.alpha.value == 1.0
    assert trust.trusted
    assert trust.measured_against == "people"
    assert len(world.judgments()) == 80
    assert len(server.requests) == 1 + 80 + 80  # rated pairs are the arms' own: asked once


def test_few_ratings_leave_the_decision_to_the_golden_set_and_say_so(world: World) -> None:
    rated(world, 12, lambda number: "before")
    with ScriptedServer(judge_with(knows)) as server:
        world.run(server.url)
    trust = world.trust()
    assert trust.trusted
    assert trust.measured_against == "golden set"
    assert any("people rated 12 pairs, fewer than the 30" in reason for reason in trust.reasons)
    powered = world.findings().powered
    assert powered is not None
    assert (powered.labelled, powered.unlabelled) == (12, 28)
    assert powered.classical.value == 0.0  # people preferred `before` every time
    assert powered.joined.value == 0.0


def test_labels_of_people_and_verdicts_of_the_judge_are_joined(world: World) -> None:
    for number, prompt in enumerate(PROMPTS):
        if number % 3 == 0:  # the arm before is right
            world.answers["base"][prompt], world.answers["candidate"][prompt] = REFERENCES[prompt], "It prints."
    rated(world, 20, lambda number: "before" if number % 3 == 0 else "after")
    with ScriptedServer(judge_with(knows)) as server:
        world.run(server.url, judge={"min_ratings": 15})
    powered = world.findings().powered
    assert powered is not None
    assert (powered.labelled, powered.unlabelled) == (20, 20)
    assert powered.classical.value == 13 / 20
    assert powered.joined.high - powered.joined.low < powered.classical.high - powered.classical.low


def test_another_model_behind_the_address_takes_the_trust_away(world: World) -> None:
    changes = served_by(judge_with(knows), lambda number: "big-judge-0301" if number < 100 else "big-judge-0613")
    with ScriptedServer(changes) as server:
        world.run(server.url, endpoint={"concurrency": 1})
    trust = world.trust()
    assert trust.models == ("big-judge-0301", "big-judge-0613")
    assert not trust.trusted
    assert any("judged by big-judge-0613" in reason and "pin a dated model" in reason for reason in trust.reasons)
    assert {row.model for row in world.judgments()} == {"big-judge-0301", "big-judge-0613"}
    assert "pin a dated model" in world.messages()


def test_a_model_that_changes_during_the_check_passes_it_for_neither(world: World) -> None:
    with ScriptedServer(served_by(judge_with(knows), lambda number: f"m{min(number // 40, 1)}")) as server:
        world.run(server.url, endpoint={"concurrency": 1})
    trust = world.trust()
    assert trust.kappa.low > 0.4
    assert not trust.trusted
    assert any("answered as m0 and m1" in reason and "pin a dated model" in reason for reason in trust.reasons)
    assert world.judgments() == []


def test_a_preference_for_length_shows_on_the_golden_set(world: World) -> None:
    with ScriptedServer(judge_with(lambda prompt, a, b: 0.9 if len(b) > len(a) else 0.1)) as server:
        world.run(server.url)
    found = world.trust().length_correlation
    assert found is not None
    assert found.low > 0.5
    with ScriptedServer(judge_with(guesses)) as server:
        world.run(server.url)
    blind = world.trust().length_correlation
    assert blind is None or blind.low < 0 < blind.high
    with ScriptedServer(judge_with(first_always)) as server:
        world.run(server.url)
    assert world.trust().length_correlation is None  # every pair a tie: nothing varies


def test_the_last_word_of_a_rater_counts_and_can_be_taken_back(tmp_path: Path) -> None:
    def line(rater: str, verdict: str, **fields: str) -> str:
        texts = {"prompt": "q", "before_output": "x", "after_output": "y"} | fields
        return json.dumps({**texts, "rater": rater, "verdict": verdict})

    path = tmp_path / "ratings.jsonl"
    lines = [line("ann", "before"), line("bob", "tie"), line("ann", "after"), line("cem", "neither")]
    lines += [line("ann", "after", prompt="r"), line("ann", "withdrawn", prompt="r"), line("z", "tie", suite="other")]
    path.write_text("\n".join(lines), encoding="utf-8")
    (contest,) = read_ratings(path, "answers").values()
    assert contest.by_rater == {"ann": 1.0, "bob": 0.5, "cem": 0.5}
    found = read_ratings(path, "answers")
    assert label_of(found, contest.bout) == pytest.approx(2 / 3)
    assert label_of(found, contest.bout.swapped()) == pytest.approx(1 / 3)
    path.write_text(path.read_text() + '\n{"rater": "x"}', encoding="utf-8")
    with pytest.raises(IncompleteError, match="HumanRating") as caught:
        read_ratings(path, "answers")
    assert "ratings.jsonl:8" in str(caught.value)


def test_equal_answers_have_no_other_way_round(tmp_path: Path) -> None:
    same = {"prompt": "q", "before_output": "x", "after_output": "x"}
    path = tmp_path / "ratings.jsonl"
    said = [same | {"rater": rater, "verdict": "after"} for rater in ("ann", "bob")]
    path.write_text("\n".join(map(json.dumps, said)), encoding="utf-8")
    (contest,) = read_ratings(path, "answers").values()
    assert contest.by_rater == {"ann": 1.0, "bob": 1.0}


def test_a_rating_that_breaks_off_at_the_end_of_the_file_was_never_said(tmp_path: Path) -> None:
    line = {"prompt": "\u00e9", "before_output": "x", "after_output": "y", "rater": "ann", "verdict": "after"}
    whole = json.dumps(line, ensure_ascii=False).encode()
    path = tmp_path / "ratings.jsonl"
    for length in (1, whole.index(b"\xc3") + 1, len(whole) - 1):
        path.write_bytes(whole + b"\n" + whole[:length])
        (contest,) = read_ratings(path, "answers").values()
        assert contest.by_rater == {"ann": 1.0}
        path.write_bytes(whole + b"\n" + whole[:length] + b"\n" + whole)
        with pytest.raises(IncompleteError):
            read_ratings(path, "answers")


def test_new_ratings_make_another_node_and_a_missing_named_file_is_refused(world: World) -> None:
    config = JudgeConfig(endpoint="judge", suite="answers")
    assert ratings_external(config, world.root) == {}
    rated(world, 3, lambda number: "tie")
    first = ratings_external(config, world.root)
    rated(world, 4, lambda number: "tie")
    assert first != ratings_external(config, world.root) != {}
    with pytest.raises(UsageError, match=r"no file labels\.jsonl"):
        ratings_external(config.model_copy(update={"ratings": "labels.jsonl"}), world.root)


def test_a_tie_by_equal_answers_is_no_call_also_with_repeats(world: World) -> None:
    same = DOCUMENTS[1]["prompt"]
    world.answers["base"][same] = world.answers["candidate"][same]
    with ScriptedServer(judge_with(knows)) as server:
        world.run(server.url, judge={"repeats": 3})
    rows = [row for row in world.judgments() if row.doc_hash == short_id(DOCUMENTS[1])]
    assert [(row.preference, row.repeat) for row in rows] == [(0.5, 0), (0.5, 0)]
    assert len(server.requests) == 1 + 3 * (80 + 78)
    assert SUITE.name == "answers"
