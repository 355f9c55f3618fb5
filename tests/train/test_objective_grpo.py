from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from endpoints.scripted_server import ScriptedServer, Step, says
from grpo_settings import COUNT_LETTERS, GRPO, LETTERS, SETTINGS, grpo_node, judge_at
from pydantic import ValidationError
from reload_logits import logits, logits_in_a_new_process
from test_train_killed import kill_at, start
from test_train_stage import Killed, kill_after
from training_run import TrainingRun, tiny_train_node, training_records

from workbench.core.config import LoopConfig, TrainConfig
from workbench.core.errors import IncompleteError
from workbench.core.events import NodeMessage, NodeMetric
from workbench.core.nodes import TrainNode
from workbench.core.stage import Cancelled, Done
from workbench.loop.plan import training
from workbench.models.loading import load
from workbench.train.objectives.registry import Job
from workbench.train.showing import examples
from workbench.train.stage import STAGE

MakeRun = Callable[..., TrainingRun]
HERE = Path(__file__).parent
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
    jobs = [f"trained|nf4|{whole.out / 'adapter'}", "base|nf4|"]
    new = logits_in_a_new_process(tiny_model_dir, tmp_path / "logits.safetensors", jobs)
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
        run.config = run.config.model_copy(update={"endpoints": {"judge": judge_at(server.url)}})
        with pytest.raises(Killed):
            run.attempt(emit=kill_after(3))
        paid = len(asked)
        assert paid > 3 * 8
        assert isinstance(run.attempt(), Done)
        assert asked[paid:] == []  # what the judge can do is asked anew only where an answer is missing
        assert run.summary()["resumed_from"] == [2]
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
    outside = STAGE.external(grpo_node(tiny_model_dir, LETTERS), tmp_path)
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
