from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from endpoints.scripted_server import ScriptedServer, Step, says, status
from pydantic import ValidationError
from reload_logits import logits
from safetensors.torch import load_file
from test_train_killed import kill_at, start
from test_train_stage import Killed, kill_after
from training_run import TrainingRun, tiny_train_node, training_records

from workbench.core.config import EndpointConfig, LoopConfig, TrainConfig
from workbench.core.errors import IncompleteError, PrerequisiteError, UsageError
from workbench.core.events import NodeMessage, NodeMetric
from workbench.core.nodes import TrainNode
from workbench.core.records import Message, Record, Source
from workbench.core.stage import Cancelled, Done
from workbench.loop.plan import training
from workbench.models.loading import load
from workbench.train.objectives.registry import Job
from workbench.train.objectives.rewards import make_rewards, reward_externals
from workbench.train.showing import examples
from workbench.train.stage import STAGE

MakeRun = Callable[..., TrainingRun]
HERE = Path(__file__).parent
COUNT_LETTERS = "def score(prompt, answer, reference):\n    return sum(c.isalpha() for c in answer) / 10\n"
LETTERS = {"name": "python", "function": "rewards/letters.py:score"}
GRPO: dict[str, Any] = {"rewards": [LETTERS], "generations": 4, "max_new_tokens": 8, "beta": 0.04}
SETTINGS: dict[str, Any] = {
    "objective": "grpo", "dropout": None, "max_steps": 4, "batch_size": 4, "gradient_accumulation": 2, "grpo": GRPO,
    "learning_rate": 1e-2, "warmup_steps": 0,
}  # fmt: skip


def _with_letters(run: TrainingRun) -> TrainingRun:
    (run.root / "rewards").mkdir()
    (run.root / "rewards" / "letters.py").write_text(COUNT_LETTERS)
    return run


@pytest.fixture(scope="module")
def whole(tiny_model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainingRun:
    """Four steps of two prompts with four answers each, without an interruption."""
    root = tmp_path_factory.mktemp("grpo")
    run = _with_letters(TrainingRun(root, tiny_train_node(tiny_model_dir, **SETTINGS), training_records()))
    assert isinstance(run.attempt(), Done)
    return run


def _record(question: str, answer: str) -> Record:
    messages = (Message(role="user", content=question), Message(role="assistant", content=answer))
    return Record(id=question, kind="chat", messages=messages, source=Source(dataset="d"))


def _node(model: Path | str, *rewards: dict[str, Any], endpoint: EndpointConfig | None = None) -> TrainNode:
    node = tiny_train_node(Path(model), **(SETTINGS | {"grpo": GRPO | {"rewards": list(rewards)}}))
    return node.model_copy(update={"endpoints": {"judge": endpoint} if endpoint else {}})


def _trainer(model: Path, root: Path, *rewards: dict[str, Any], **settings: Any) -> Any:
    """A trainer built as the stage builds it, on a float base."""
    from workbench.train.objectives.grpo import build
    from workbench.train.step_log import StepLog

    chosen = SETTINGS | {"method": "lora", "precision": "fp32", "grpo": GRPO | {"rewards": list(rewards)}} | settings
    node = tiny_train_node(model, **chosen)
    log = StepLog(lambda point, rate: None, lambda: False)
    (root / "work").mkdir()
    loaded = load(node.model, node.model.precision, root)
    return build(Job(node, loaded, training_records(4), root, root / "work", log))


def _ask(rewards: list[dict[str, Any]], record: Record, answer: str, project: Path) -> list[float | None]:
    made = make_rewards(_node("any", *rewards), project, lambda message: None)
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
    assert _ask([reward], _record("Capital of Peru?", "Lima"), answer, tmp_path) == [expected]


def test_function_is_told_prompt_answer_and_reference(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from dataclasses import dataclass\n"
        "@dataclass\nclass Seen:\n    text: str\n"
        "def score(prompt, answer, reference):\n"
        "    return None if answer == 'pass' else len(Seen(prompt + answer + reference).text)\n"
    )
    mine = {"name": "python", "function": "mine.py:score"}
    assert _ask([mine], _record("ab", "c"), "de", tmp_path) == [5.0]
    assert _ask([mine], _record("ab", "c"), "pass", tmp_path) == [None]


def test_pattern_is_looked_for_in_the_reference_too(tmp_path: Path) -> None:
    record = _record("How many?", "6 boxes of 7, so there are 42. #### 42")
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
    assert _ask([{"name": "python", "function": "mine.py:score"}], _record("a", "b"), "c", tmp_path) == [expected]


@pytest.mark.parametrize("leaves", ["sys.exit(0)", "raise SystemExit('done')", "raise GeneratorExit"])
def test_function_that_would_end_the_process_is_told_as_any_other_error(leaves: str, tmp_path: Path) -> None:
    mine = [{"name": "python", "function": "mine.py:score"}]
    (tmp_path / "mine.py").write_text(f"import sys\ndef score(p, a, r):\n    {leaves}\n")
    with pytest.raises(IncompleteError, match=r"raised (SystemExit|GeneratorExit).*'Why[?]'.*'So.'") as stopped:
        _ask(mine, _record("Why?", "-"), "So.", tmp_path)
    assert stopped.value.where == "mine.py:3"
    (tmp_path / "mine.py").write_text(f"import sys\n{leaves}\ndef score(p, a, r): ...\n")
    with pytest.raises(IncompleteError, match="reward file raised") as stopped:
        _ask(mine, _record("Why?", "-"), "So.", tmp_path)
    assert stopped.value.where == "mine.py:2"
    (tmp_path / "mine.py").write_text("def score(p, a, r):\n    raise KeyboardInterrupt\n")
    with pytest.raises(KeyboardInterrupt):
        _ask(mine, _record("Why?", "-"), "So.", tmp_path)


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
        _ask([{"name": "python", "function": "mine.py:score"}], _record("Why?", "So."), "\x1b[2J", tmp_path)
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
            reward_externals(_node("any", {"name": "python", "function": function}), project)
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
    before = reward_externals(_node("any", LETTERS), project)
    file.write_text(COUNT_LETTERS)
    after = reward_externals(_node("any", LETTERS), project)
    assert list(before) == list(after) == ["reward rewards/letters.py:score"] and before != after


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"grpo": {}}, "objective grpo has no reward"),
        ({"batch_size": 6}, "no multiple of `grpo.generations` 8"),
        ({"dropout": 0.1}, "another model than the one whose"),
        ({"validation_share": 0.1}, "no loss on held-back rows"),
        ({"method": "prefix"}, "cannot be trained with method prefix"),
        ({"grpo": {"rewards": [{"name": "format"}]}}, "needs `pattern`"),
        ({"grpo": {"rewards": [{"name": "format", "pattern": "("}]}}, "no regular expression"),
        ({"grpo": {"rewards": [{"name": "judge"}]}}, "needs `endpoint`"),
        ({"grpo": {"rewards": [{"name": "python", "function": "a.py"}]}}, "is not FILE.py:FUNCTION"),
        ({"grpo": {"rewards": [{"name": "exact_match", "rubric": "x"}]}}, "`rubric` is no setting of"),
    ],
)
def test_settings_that_cannot_work_are_refused_when_read(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said.replace("(", r"\(")):
        TrainConfig(**({"objective": "grpo", "grpo": {"rewards": [{"name": "exact_match"}]}} | settings))


def test_judge_must_be_defined() -> None:
    train = {"objective": "grpo", "grpo": {"rewards": [{"name": "judge", "endpoint": "big"}]}}
    with pytest.raises(ValidationError, match="'big' is used but not defined"):
        LoopConfig.model_validate({"train": train})
    config = LoopConfig.model_validate({"train": train, "endpoints": {"big": {"model": "m"}}})
    assert config.train.grpo.names() == ("judge",)


def test_plan_gives_a_training_its_judges_and_no_others() -> None:
    endpoints = {name: {"model": name, "base_url": "http://127.0.0.1:9/v1"} for name in ("big", "small")}
    rewards = {"rewards": [{"name": "judge", "endpoint": "big"}, {"name": "judge", "endpoint": "big", "rubric": "x"}]}
    for objective, given in (("grpo", ["big"]), ("sft", [])):
        train = {"objective": objective, "grpo": rewards}
        config = LoopConfig.model_validate({"train": train, "endpoints": endpoints})
        node = training(config, "train", mixed="mix", seed=0).config
        assert isinstance(node, TrainNode) and list(node.endpoints) == given
    assert config.train.grpo.names() == ("judge_1", "judge_2")


def _judge(url: str, **settings: Any) -> EndpointConfig:
    return EndpointConfig(base_url=url, model="scripted", max_retries=0, **settings)


JUDGED = {"name": "judge", "endpoint": "judge", "rubric": "A good answer is a number."}
RECORDS = [_record(f"What is {number}?", str(number)) for number in range(20)]


def _rating(request: dict[str, Any], failing: str, failure: Step) -> Step:
    """A judge without schema and log-probabilities: `good` is rated 5, `fair` 4, all else 1."""
    shown = request["messages"][-1]["content"]
    if failing and f"\n{failing}\n" in shown:
        return failure
    return says("5" if "\ngood\n" in shown else "4" if "\nfair\n" in shown else "1")


def test_judge_rates_between_0_and_1_and_a_failure_is_no_reward(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    asked: list[dict[str, Any]] = []

    def script(request: dict[str, Any], number: int) -> Step:
        asked.append(request)
        return _rating(request, "odd", says("It depends."))

    answers = ["good", "fair", "bad", "odd", *["good"] * 16]
    with ScriptedServer(script) as server:
        node = _node("any", JUDGED, endpoint=_judge(server.url))
        (reward,) = make_rewards(node, tmp_path, lambda message: None)
        assert reward(RECORDS, answers) == [1.0, 0.75, 0.0, None, *[1.0] * 16]
        calls = len(asked)
        assert reward(RECORDS, answers) == [1.0, 0.75, 0.0, None, *[1.0] * 16] and len(asked) == calls  # cached
    last = asked[-1]["messages"]
    assert "A good answer is a number." in last[0]["content"] and "What is 19?" in last[1]["content"]
    other = _node("any", JUDGED | {"rubric": "Short."}, endpoint=_judge(server.url))
    mine, its = reward_externals(node, tmp_path), reward_externals(other, tmp_path)
    assert mine["judge judge address"] == its["judge judge address"]
    assert mine["judge judge wording"] != its["judge judge wording"]


def test_judge_that_is_away_or_out_of_budget_stops_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    with ScriptedServer(lambda request, number: _rating(request, "odd", status(500))) as server:
        (reward,) = make_rewards(_node("any", JUDGED, endpoint=_judge(server.url)), tmp_path, lambda message: None)
        assert reward(RECORDS, ["odd", *["good"] * 19])[:2] == [None, 1.0]  # one in twenty is tolerated
        with pytest.raises(IncompleteError, match="calls failed"):
            reward(RECORDS, ["odd"] * 5 + ["good"] * 15)
        with pytest.raises(PrerequisiteError):
            reward(RECORDS, ["odd"] * 20)
        short = _node("any", JUDGED, endpoint=_judge(server.url, max_requests=8))
        (reward,) = make_rewards(short, tmp_path, lambda message: None)
        with pytest.raises(IncompleteError, match="budget is used up"):
            reward(RECORDS, [f"other {number}" for number in range(20)])


def test_budget_that_may_not_last_is_refused_in_the_plan(tmp_path: Path) -> None:
    def outside(budget: int) -> dict[str, str]:
        endpoint = _judge("http://127.0.0.1:9/v1", max_requests=budget)
        return reward_externals(_node("any", JUDGED, JUDGED, endpoint=endpoint), tmp_path)

    assert outside(64)  # 4 steps of 8 answers, judged twice
    with pytest.raises(UsageError, match="4 steps have 64 answers") as refused:
        outside(63)
    assert refused.value.where == "endpoints.judge.max_requests"


def test_answer_without_all_its_rewards_is_left_out_of_its_group(tiny_model_dir: Path, tmp_path: Path) -> None:
    """TRL alone adds a missing reward as zero, which punishes the answer for the judge's failure."""
    (tmp_path / "two.py").write_text(
        "calls = {'first': 0, 'second': 0}\n"
        "def first(prompt, answer, reference):\n"
        "    calls['first'] += 1\n"
        "    return [1.0, 2.0, 3.0, 4.0][(calls['first'] - 1) % 4]\n"
        "def second(prompt, answer, reference):\n"
        "    calls['second'] += 1\n"
        "    return None if calls['second'] % 4 == 0 else 1.0\n"
    )
    rewards = ({"name": "python", "function": f"two.py:{name}"} for name in ("first", "second"))
    trainer = _trainer(tiny_model_dir, tmp_path, *rewards)
    trainer.model.train()
    found = trainer._generate_and_score_completions([{"prompt": training_records(4)[0].id}] * 4)
    # rewards 2, 3, 4 and none: mean 3, sample deviation 1
    assert found["advantages"].tolist() == pytest.approx([-1 / 1.0001, 0.0, 1 / 1.0001, 0.0], abs=1e-6)
    assert trainer._metrics["train"]["rewards/missing"] == [0.25]
    assert trainer._metrics["train"]["reward"] == [3.0]


def test_step_in_which_a_reward_is_missing_for_all_answers_is_passed(tiny_model_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "late.py").write_text(
        "calls = 0\n"
        "def score(prompt, answer, reference):\n"
        "    global calls\n"
        "    calls += 1\n"
        "    return None if calls <= 8 else sum(c.isalpha() for c in answer) / 10\n"
    )
    rewards = [{"name": "python", "function": "late.py:score"}, {"name": "format", "pattern": "x"}]
    node = tiny_train_node(tiny_model_dir, **(SETTINGS | {"max_steps": 2, "grpo": GRPO | {"rewards": rewards}}))
    run = TrainingRun(tmp_path, node, training_records())
    assert isinstance(run.attempt(), Done)
    first, second = (point["measures"] for point in run.curve())
    assert first["rewards/missing"] == 1.0 and not {"reward", "rewards/python/mean"} & set(first)
    assert second["rewards/missing"] == 0.0 and second["rewards/python/mean"] > 0
    said = [event for event in run.events if isinstance(event, NodeMessage)]
    assert any("50.0% of the answers could not be given all rewards" in event.message for event in said)
    assert not any("nothing was learned from rewards" in event.message for event in said)


def test_training_that_earns_no_reward_says_so(tiny_model_dir: Path, tmp_path: Path, whole: TrainingRun) -> None:
    grpo = GRPO | {"rewards": [{"name": "format", "pattern": "never this"}], "max_new_tokens": 2}
    run = TrainingRun(
        tmp_path, tiny_train_node(tiny_model_dir, **(SETTINGS | {"max_steps": 2, "grpo": grpo})), training_records()
    )
    assert isinstance(run.attempt(), Done)
    (warned,) = (one.message for one in run.events if isinstance(one, NodeMessage) and one.level == "warning")
    assert warned.startswith("every answer in 2 steps got reward 0: nothing was learned from rewards")
    assert not any(isinstance(event, NodeMessage) and event.level == "warning" for event in whole.events)


def test_gradient_is_that_of_the_closed_form(tiny_model_dir: Path, tmp_path: Path) -> None:
    """Before the policy has moved: -sum(advantage x grad log p) over all answer tokens, divided by their number."""
    (tmp_path / "rewards").mkdir()
    (tmp_path / "rewards" / "letters.py").write_text(COUNT_LETTERS)
    trainer = _trainer(tiny_model_dir, tmp_path, LETTERS, grpo=GRPO | {"rewards": [LETTERS], "beta": 0.0})
    parameters = [one for one in trainer.model.parameters() if one.requires_grad]
    for number, one in enumerate(parameters):
        with torch.no_grad():
            one.add_(torch.randn(one.shape, generator=torch.Generator().manual_seed(number)) * 0.02)
    trainer.model.train()
    trainer.current_gradient_accumulation_steps = 2
    rows = [{"prompt": record.id} for record in training_records(2) for _ in range(4)]
    batch = trainer._generate_and_score_completions(rows)
    assert float(batch["advantages"].std()) > 0.5
    trainer.args.steps_per_generation = 2
    found = torch.autograd.grad(trainer.compute_loss(trainer.model, batch), parameters)

    ids = torch.cat([batch["prompt_ids"], batch["completion_ids"]], 1)
    mask = torch.cat([batch["prompt_mask"], batch["completion_mask"]], 1)
    width = batch["completion_ids"].shape[1]
    scores = trainer.model(input_ids=ids, attention_mask=mask).logits[:, -width - 1 : -1].log_softmax(-1)
    logps = scores.gather(-1, batch["completion_ids"][..., None])[..., 0] * batch["completion_mask"]
    loss = -(batch["advantages"][:, None] * logps).sum() / batch["completion_mask"].sum()
    for mine, expected in zip(found, torch.autograd.grad(loss, parameters), strict=True):
        torch.testing.assert_close(mine, expected, rtol=1e-3, atol=1e-6)


def test_curve_and_events_tell_the_rewards(whole: TrainingRun) -> None:
    curve = whole.curve()
    wanted = {"reward", "reward_std", "rewards/python/mean", "rewards/missing", "frac_reward_zero_std", "kl"}
    assert len(curve) == 4 and all(wanted < set(point["measures"]) for point in curve)
    assert all(point["measures"]["reward"] > 0 and point["tokens"] > 8 for point in curve)
    metrics = [event.values for event in whole.events if isinstance(event, NodeMetric)]
    rewards = [point["measures"]["reward"] for point in curve]
    assert [values["reward"] for values in metrics] == rewards
    assert (whole.summary()["first_reward"], whole.summary()["last_reward"]) == (rewards[0], rewards[-1])
    assert whole.summary()["gradient_check"] == pytest.approx(1.0, abs=1e-6)
    # The divergence from the base is 0 while the adapter is untouched, and is measured against the base itself.
    assert curve[0]["measures"]["kl"] == pytest.approx(0.0, abs=1e-6) and curve[-1]["measures"]["kl"] > 1e-4


@pytest.mark.slow
def test_new_process_computes_what_was_trained(whole: TrainingRun, tiny_model_dir: Path, tmp_path: Path) -> None:
    out = tmp_path / "logits.safetensors"
    jobs = [f"trained|nf4|{whole.out / 'adapter'}", "base|nf4|"]
    subprocess.run(
        [sys.executable, str(HERE / "reload_logits.py"), str(tiny_model_dir), str(out), *jobs], check=True, timeout=200
    )
    new = load_file(str(out))
    here = logits(load(whole.config.model, "nf4", whole.root, whole.out / "adapter").model)
    assert torch.equal(new["trained|nf4"], here)
    assert float((here - new["base|nf4"]).abs().max()) > 0.01


@pytest.mark.slow
def test_policy_earns_more_after_training(tiny_model_dir: Path, tmp_path: Path) -> None:
    """Embeddings ten times as large give the random model opinions; answers of letters alone are rewarded."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(tiny_model_dir)
    with torch.no_grad():
        model.model.embed_tokens.weight.mul_(10)
    model.save_pretrained(tmp_path / "model")
    AutoTokenizer.from_pretrained(tiny_model_dir).save_pretrained(tmp_path / "model")
    (tmp_path / "run" / "rewards").mkdir(parents=True)
    (tmp_path / "run" / "rewards" / "letters.py").write_text(
        "def score(prompt, answer, reference):\n"
        "    return sum(c.isalpha() and c.isascii() for c in answer) / max(1, len(answer))\n"
    )
    settings = SETTINGS | {"precision": "bf16", "method": "lora", "rank": 8, "alpha": 16, "learning_rate": 3e-3}
    settings |= {"max_steps": 12, "batch_size": 16, "gradient_accumulation": 1, "checkpoint_steps": 50, "samples": 0}
    grpo = {"rewards": [LETTERS], "generations": 8, "max_new_tokens": 4}
    node = tiny_train_node(tmp_path / "model", **(settings | {"grpo": grpo}))
    run = TrainingRun(tmp_path / "run", node, training_records())
    run.attempt()
    rewards = [point["measures"]["reward"] for point in run.curve()]
    assert sum(rewards[-4:]) / 4 > sum(rewards[:4]) / 4 + 0.15, rewards


def test_interrupted_run_ends_in_the_same_bits(make_run: MakeRun, whole: TrainingRun) -> None:
    run = _with_letters(make_run("run", **SETTINGS))
    with pytest.raises(Killed):
        run.attempt(emit=kill_after(3))
    stops = iter([False, True])
    assert isinstance(run.attempt(cancelled=lambda: next(stops, True)), Cancelled)
    assert isinstance(run.attempt(), Done)
    assert run.summary()["resumed_from"] != []
    assert run.adapter_bytes() == whole.adapter_bytes()
    assert run.curve() == whole.curve()


def test_answers_judged_before_a_kill_are_not_paid_again(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    asked: list[str] = []

    def script(request: dict[str, Any], number: int) -> Step:
        shown = request["messages"][-1]["content"]
        asked.append(shown)
        return says("It depends.") if len(shown) % 3 == 0 else says(str(1 + len(shown) % 5))

    with ScriptedServer(script) as server:
        judged = GRPO | {"rewards": [{"name": "judge", "endpoint": "judge"}], "beta": 0.0}
        run = make_run("run", **(SETTINGS | {"grpo": judged, "max_steps": 3, "samples": 0}))
        run.config = run.config.model_copy(update={"endpoints": {"judge": _judge(server.url)}})
        with pytest.raises(Killed):
            run.attempt(emit=kill_after(3))
        paid = len(asked)
        assert paid > 3 * 8
        assert isinstance(run.attempt(), Done)
        assert len(asked) == paid and run.summary()["resumed_from"] == [2]
    missing = [point["measures"]["rewards/missing"] for point in run.curve()]
    assert 0 < sum(missing) / 3 < 1
    told = [event.message for event in run.events if isinstance(event, NodeMessage)]
    assert f"{sum(missing) / 3:.1%} of the answers could not be given all rewards" in " ".join(told)


def test_smaller_passes_at_equal_steps_learn_from_the_same_groups(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    from workbench.train.objectives.grpo import GroupTrainer

    run = _with_letters(make_run("run", **(SETTINGS | {"max_steps": 1})))
    pass_over = GroupTrainer.compute_loss

    def tight(trainer: Any, model: Any, inputs: Any, *rest: Any, **others: Any) -> Any:
        if len(inputs["advantages"]) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return pass_over(trainer, model, inputs, *rest, **others)

    monkeypatch.setattr(GroupTrainer, "compute_loss", tight)
    assert isinstance(run.attempt(), Done)
    summary = run.summary()
    assert (summary["batch_size"], summary["gradient_accumulation"], summary["out_of_memory"]) == (2, 4, [4])
    assert summary["steps"] == 1 and run.curve()[0]["tokens"] > 16


def test_stage_names_what_grpo_reads_outside(tiny_model_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "rewards").mkdir()
    (tmp_path / "rewards" / "letters.py").write_text(COUNT_LETTERS)
    outside = STAGE.external(_node(tiny_model_dir, LETTERS), tmp_path)
    assert set(outside) == {"model", "reward rewards/letters.py:score"}


def test_shown_prompt_has_no_learned_token_and_its_reference(whole: TrainingRun) -> None:
    (example,) = examples(whole.root / "mix" / "train.jsonl", 1, whole.config.model, 96, whole.root, "grpo")
    shown = example.text(colour=False)
    assert example.learned_tokens == 0 and "reference '0 times 0 is 0. '" in shown and "[[" not in shown
    assert shown.rstrip().endswith("<|im_start|>assistant")


def test_prompts_without_room_for_an_answer_are_left_out(make_run: MakeRun) -> None:
    grpo = GRPO | {"max_new_tokens": 90}
    run = _with_letters(make_run("run", **(SETTINGS | {"grpo": grpo})))
    with pytest.raises(IncompleteError, match="leaves room for an answer of 90 tokens within 96"):
        run.attempt()


@pytest.mark.slow
def test_killed_process_ends_in_the_same_bits(make_run: MakeRun, whole: TrainingRun) -> None:
    run = _with_letters(make_run("run", **SETTINGS))
    kill_at(start(run), lambda event: event["event"] == "node_progress" and event["done"] == 3)
    assert not (run.out / "training.json").exists()
    process = start(run)
    process.communicate(timeout=200)
    assert process.returncode == 0
    assert run.summary()["resumed_from"] == [2]
    assert run.adapter_bytes() == whole.adapter_bytes() and run.curve() == whole.curve()
