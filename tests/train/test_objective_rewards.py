"""Named rewards of GRPO: rules, functions of the project, a judge; what each gives, refuses and costs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from endpoints.scripted_server import ScriptedServer, Step, says, status
from grpo_settings import COUNT_LETTERS, JUDGED, LETTERS, RECORDS, grpo_node, judge_at, question, rating

from workbench.core.errors import IncompleteError, PrerequisiteError, UsageError
from workbench.core.records import Record
from workbench.train.objectives.rewards import make_rewards, reward_externals


def _ask(rewards: list[dict[str, Any]], record: Record, answer: str, project: Path) -> list[float | None]:
    made = make_rewards(grpo_node("any", *rewards), project, lambda message: None)
    return [one([record], [answer])[0] for one in made]


@pytest.mark.parametrize(
    ("reward", "answer", "expected"),
    [
        ({"name": "exact_match"}, " lima\n", 1.0),
        ({"name": "exact_match", "ignore_case": False}, "lima", 0.0),
        ({"name": "exact_match"}, "Lima, I think", 0.0),
        ({"name": "exact_match", "pattern": r"is (\w+)"}, "One is Rome? No, it is Lima.", 1.0),
        ({"name": "exact_match", "pattern": r"is (\w+)"}, "One is Lima? No, it is Rome.", 0.0),
        ({"name": "exact_match", "pattern": r"[A-Z]\w+", "ignore_case": False}, "so: Lima!", 1.0),
        ({"name": "exact_match", "pattern": r"\d+"}, "Lima", 0.0),
        ({"name": "exact_match", "pattern": r"[A-Z]\w", "ignore_case": False}, "It is Li.", 1.0),
        ({"name": "format", "pattern": r"\w+"}, " Lima \n", 1.0),
        ({"name": "format", "pattern": r"\w+"}, "Lima, Peru", 0.0),
    ],
)
def test_rewards_by_rule(reward: dict[str, Any], answer: str, expected: float, tmp_path: Path) -> None:
    assert _ask([reward], question("Capital of Peru?", "Lima"), answer, tmp_path) == [expected]


def test_function_is_told_prompt_answer_and_reference(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from dataclasses import dataclass\n"
        "@dataclass\nclass Seen:\n    text: str\n"
        "def score(prompt, answer, reference):\n"
        "    return None if answer == 'pass' else len(Seen(prompt + answer + reference).text)\n"
    )
    mine = {"name": "python", "function": "mine.py:score"}
    assert _ask([mine], question("ab", "c"), "de", tmp_path) == [5.0]
    assert _ask([mine], question("ab", "c"), "pass", tmp_path) == [None]


def test_pattern_is_looked_for_in_the_reference_too(tmp_path: Path) -> None:
    record = question("How many?", "6 boxes of 7, so there are 42. #### 42")
    reward = {"name": "exact_match", "pattern": "[0-9]+"}
    assert _ask([reward], record, "I count 42 of them", tmp_path) == [1.0]
    assert _ask([reward], record, "I count 6 of them", tmp_path) == [0.0]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("numpy.float32(0.5)", 0.5), ("numpy.array(0.25)", 0.25), ("torch.tensor(0.5)", 0.5), ("numpy.int64(2)", 2.0),
        ("torch.tensor(True)", 1.0), ("numpy.bool_(True)", 1.0), ("True", 1.0), ("Fraction(1, 4)", 0.25),
    ],
)  # fmt: skip
def test_any_kind_of_number_is_a_reward(value: str, expected: float, tmp_path: Path) -> None:
    head = "import numpy, torch\nfrom fractions import Fraction\n"
    (tmp_path / "mine.py").write_text(f"{head}def score(p, a, r):\n    return {value}\n")
    assert _ask([{"name": "python", "function": "mine.py:score"}], question("a", "b"), "c", tmp_path) == [expected]


@pytest.mark.parametrize("leaves", ["sys.exit(0)", "raise SystemExit('done')", "raise GeneratorExit"])
def test_function_that_would_end_the_process_is_told_as_any_other_error(leaves: str, tmp_path: Path) -> None:
    mine = [{"name": "python", "function": "mine.py:score"}]
    (tmp_path / "mine.py").write_text(f"import sys\ndef score(p, a, r):\n    {leaves}\n")
    with pytest.raises(IncompleteError, match=r"raised (SystemExit|GeneratorExit).*'Why[?]'.*'So.'") as stopped:
        _ask(mine, question("Why?", "-"), "So.", tmp_path)
    assert stopped.value.where == "mine.py:3"
    (tmp_path / "mine.py").write_text(f"import sys\n{leaves}\ndef score(p, a, r): ...\n")
    with pytest.raises(IncompleteError, match="reward file raised") as stopped:
        _ask(mine, question("Why?", "-"), "So.", tmp_path)
    assert stopped.value.where == "mine.py:2"
    (tmp_path / "mine.py").write_text("def score(p, a, r):\n    raise KeyboardInterrupt\n")
    with pytest.raises(KeyboardInterrupt):
        _ask(mine, question("Why?", "-"), "So.", tmp_path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def score(p, a, r):\n    return 1 / 0\n", "ZeroDivisionError: 'division by zero'"),
        ("def score(p, a, r):\n    return 'much'\n", "'much', not a finite number"),
        ("def score(p, a, r):\n    return 10 ** 400\n", "not a finite number"),
        ("def score(p, a, r):\n    return __import__('numpy').ones(2)\n", "'[1. 1.]', not a finite number"),
        ("def score(p, a, r):\n    return __import__('torch').ones(2)\n", "not a finite number"),
        ("def score(p, a, r):\n    return float('nan')\n", "'nan', not a finite number"),
        ("def score(p, a, r):\n    import json\n    return json.loads(a)\n", "JSONDecodeError"),
    ],
)
def test_failing_function_names_its_line_and_the_sample(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(text)
    with pytest.raises(IncompleteError) as stopped:
        _ask([{"name": "python", "function": "mine.py:score"}], question("Why?", "So."), "\x1b[2J", tmp_path)
    message = str(stopped.value)
    assert said in message and "'Why?'" in message and "\\x1b[2J" in message and "\x1b" not in message
    line = 3 if "json.loads" in text else 2
    assert stopped.value.where == (f"mine.py:{line}" if "raised" in message else "mine.py:score")


def test_reward_files_are_of_the_project_and_in_the_fingerprint(tmp_path: Path) -> None:
    project = tmp_path / "project"
    (project / "rewards").mkdir(parents=True)
    (tmp_path / "outside.py").write_text(COUNT_LETTERS)
    file = project / "rewards" / "letters.py"

    def refused(function: str = "rewards/letters.py:score") -> str:
        with pytest.raises(UsageError) as error:
            reward_externals(grpo_node("any", {"name": "python", "function": function}), project)
        return str(error.value)

    assert "does not exist" in refused()
    assert "leaves the project" in refused("../outside.py:score")
    file.symlink_to(tmp_path / "outside.py")
    assert "leaves the project" in refused()
    file.unlink()
    file.write_text("def other(prompt, answer, reference): ...\n")
    assert "no function score; it has other" in refused()
    file.write_text("def score(:\n")
    assert "letters.py:1" in refused()
    # Looking at a file does not run it.
    file.write_text(COUNT_LETTERS + "raise SystemExit(1)\n")
    before = reward_externals(grpo_node("any", LETTERS), project)
    file.write_text(COUNT_LETTERS)
    after = reward_externals(grpo_node("any", LETTERS), project)
    assert list(before) == list(after) == ["reward rewards/letters.py:score"] and before != after


def test_judge_rates_between_0_and_1_and_a_failure_is_no_reward(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    asked: list[dict[str, Any]] = []

    def script(request: dict[str, Any], number: int) -> Step:
        asked.append(request)
        return rating(request, "odd", says("It depends."))

    answers = ["good", "fair", "bad", "odd", *["good"] * 16]
    with ScriptedServer(script) as server:
        node = grpo_node("any", JUDGED, endpoint=judge_at(server.url))
        (reward,) = make_rewards(node, tmp_path, lambda message: None)
        assert reward(RECORDS, answers) == [1.0, 0.75, 0.0, None, *[1.0] * 16]
        calls = len(asked)
        assert reward(RECORDS, answers) == [1.0, 0.75, 0.0, None, *[1.0] * 16] and len(asked) == calls  # cached
    # Several are asked at once, in any order; the probe of what the server can do came before them.
    told = [request["messages"][0]["content"] for request in asked[-len(RECORDS) :]]
    shown = "".join(request["messages"][-1]["content"] for request in asked)
    assert all("A good answer is a number." in instructions for instructions in told)
    assert all(f"\n{record.messages[0].content}\n" in shown for record in RECORDS)
    other = grpo_node("any", JUDGED | {"rubric": "Short."}, endpoint=judge_at(server.url))
    mine, its = reward_externals(node, tmp_path), reward_externals(other, tmp_path)
    assert mine["judge judge address"] == its["judge judge address"]
    assert mine["judge judge wording"] != its["judge judge wording"]


def test_judge_that_is_away_or_out_of_budget_stops_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    with ScriptedServer(lambda request, number: rating(request, "odd", status(500))) as server:
        node = grpo_node("any", JUDGED, endpoint=judge_at(server.url))
        (reward,) = make_rewards(node, tmp_path, lambda message: None)
        assert reward(RECORDS, ["odd", *["good"] * 19])[:2] == [None, 1.0]  # one in twenty is tolerated
        with pytest.raises(IncompleteError, match="calls failed"):
            reward(RECORDS, ["odd"] * 5 + ["good"] * 15)
        with pytest.raises(PrerequisiteError):
            reward(RECORDS, ["odd"] * 20)
        short = grpo_node("any", JUDGED, endpoint=judge_at(server.url, max_requests=8))
        (reward,) = make_rewards(short, tmp_path, lambda message: None)
        with pytest.raises(IncompleteError, match=r"stopped at the budget: 8 of 8 requests; .* are left"):
            reward(RECORDS, [f"other {number}" for number in range(20)])


def test_budget_that_may_not_last_is_refused_in_the_plan(tmp_path: Path) -> None:
    def outside(budget: int) -> dict[str, str]:
        endpoint = judge_at("http://127.0.0.1:9/v1", max_requests=budget)
        return reward_externals(grpo_node("any", JUDGED, JUDGED, endpoint=endpoint), tmp_path)

    assert outside(64)  # 4 steps of 8 answers, judged twice
    with pytest.raises(UsageError, match="4 steps have 64 answers") as refused:
        outside(63)
    assert refused.value.where == "endpoints.judge.max_requests"
