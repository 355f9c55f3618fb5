"""Objectives on the tiny model: losses against closed forms, files against memory, resumed runs against unbroken ones.

Closed forms are computed here from the logits of the model with its adapter on and off; the odds ratio is TRL's."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from objective_rows import built, documents, pair_records, rated_records, rows_for
from reload_logits import logits, logits_in_a_new_process
from test_train_killed import kill_at, start
from test_train_stage import Killed, kill_after
from torch.nn.functional import logsigmoid
from training_run import TrainingRun, tiny_train_node

from workbench.core.errors import IncompleteError
from workbench.core.events import NodeMetric
from workbench.core.objectives import OBJECTIVES
from workbench.core.records import Record
from workbench.core.stage import Done
from workbench.models.chat import NO_LIMIT, encode_record
from workbench.models.loading import load, load_tokenizer
from workbench.train.validation import held_back

HERE = Path(__file__).parent
POLICIES = ("pretrain", "dpo", "orpo", "kto")
REST = ("pretrain", "orpo", "kto", "reward")
MakeRun = Callable[..., TrainingRun]


def _log_p(model: Any, batch: dict[str, Any], prefix: str = "") -> Any:
    """Summed log-probability of each row's answer, from the logits of the whole row."""
    ids, mask = batch[f"{prefix}input_ids"], batch[f"{prefix}completion_mask"][:, 1:]
    with torch.no_grad():
        found = model(input_ids=ids, attention_mask=batch[f"{prefix}attention_mask"], use_cache=False).logits
    rows = found[:, :-1].float().log_softmax(-1).gather(2, ids[:, 1:, None])[..., 0]
    return (rows * mask).sum(1)


def _with_and_without(trainer: Any, batch: dict[str, Any], prefix: str = "") -> tuple[Any, Any]:
    with trainer.model.disable_adapter():
        before = _log_p(trainer.model, batch, prefix)
    return _log_p(trainer.model, batch, prefix), before


def _trained(objective: str, model: Path, place: Path, **settings: Any) -> Any:
    short: dict[str, Any] = {"precision": "fp32", "max_steps": 2, "gradient_accumulation": 1, "warmup_steps": 0}
    trainer = built(objective, model, place, **(short | {"learning_rate": 1e-2} | settings))
    trainer.train_from(None)
    trainer.model.eval()
    return trainer


def test_dpo_loss_is_the_papers(tiny_model_dir: Path, tmp_path: Path) -> None:
    trainer = _trained("dpo", tiny_model_dir, tmp_path, dpo={"beta": 0.3})
    batch = trainer.checked
    now, before = _with_and_without(trainer, batch)
    better, worse = (now - before).chunk(2)
    assert float((better - worse).abs().min()) > 0.1  # something was learned
    expected = -logsigmoid(0.3 * (better - worse)).mean()
    assert float(trainer.pass_loss(batch).detach()) == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.slow
def test_dpo_may_keep_the_chosen_ending_likely(tiny_model_dir: Path, tmp_path: Path) -> None:
    trainer = _trained("dpo", tiny_model_dir, tmp_path, dpo={"sft_weight": 0.5})
    batch = trainer.checked
    now, before = _with_and_without(trainer, batch)
    better, worse = (now - before).chunk(2)
    tokens = batch["completion_mask"][:, 1:].sum(1).chunk(2)[0].sum()
    expected = -logsigmoid(0.1 * (better - worse)).mean() - 0.5 * now.chunk(2)[0].sum() / tokens
    assert float(trainer.pass_loss(batch).detach()) == pytest.approx(float(expected), rel=1e-5)


def test_orpo_loss_is_the_papers_with_trls_odds_ratio(tiny_model_dir: Path, tmp_path: Path) -> None:
    from trl.experimental.orpo import ORPOTrainer

    trainer = _trained("orpo", tiny_model_dir, tmp_path, orpo={"beta": 0.4})
    batch = trainer.checked
    sums, counts = _log_p(trainer.model, batch), batch["completion_mask"][:, 1:].sum(1)
    chosen, rejected = (sums / counts).chunk(2)
    stock = SimpleNamespace(beta=0.4, accelerator=trainer.accelerator)
    ratio = ORPOTrainer.odds_ratio_loss(stock, chosen, rejected)[0]
    expected = -sums.chunk(2)[0].sum() / counts.chunk(2)[0].sum() - ratio.mean()
    assert float(trainer.pass_loss(batch).detach()) == pytest.approx(float(expected), rel=1e-5)


def test_kto_loss_is_the_papers(tiny_model_dir: Path, tmp_path: Path) -> None:
    weights = {"beta": 0.3, "desirable_weight": 1.5, "undesirable_weight": 0.5}
    trainer = _trained("kto", tiny_model_dir, tmp_path, batch_size=4, kto=weights)
    batch = trainer.on_device(next(iter(trainer.get_train_dataloader())))
    now, before = _with_and_without(trainer, batch)
    moved, unmoved = _with_and_without(trainer, batch, "KL_")
    zero = (moved - unmoved).mean().clamp(min=0)
    good = batch["label"].bool()
    assert 0 < int(good.sum()) < len(good)
    up, down = 1 - torch.sigmoid(0.3 * (now - before - zero)), 1 - torch.sigmoid(0.3 * (zero - now + before))
    expected = torch.where(good, 1.5 * up, 0.5 * down).mean()
    assert float(trainer.pass_loss(batch).detach()) == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("centre", [0.0, 0.2])
def test_reward_loss_is_bradley_and_terrys(tiny_model_dir: Path, tmp_path: Path, centre: float) -> None:
    trainer = _trained("reward", tiny_model_dir, tmp_path, reward={"centre": centre})
    batch = trainer.checked
    with torch.no_grad():
        better, worse = trainer.model(**batch).logits[:, 0].chunk(2)
    expected = -logsigmoid(better - worse).mean() + centre * ((better + worse) ** 2).mean()
    assert float(trainer.pass_loss(batch).detach()) == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize(("objective", "first"), [("dpo", math.log(2)), ("kto", 0.5)])
def test_training_begins_at_the_base(make_run: MakeRun, objective: str, first: float) -> None:
    # NF4: with the adapter switched off, or fresh, the model is the base to the last bit
    run = make_run("run", rows_for(objective), objective=objective, dropout=None, max_steps=1)
    run.attempt()
    point = run.curve()[0]
    assert point["loss"] == pytest.approx(first, abs=1e-7)
    assert all(abs(value) == 0 for name, value in point["measures"].items() if name.startswith("rewards/"))


def test_pairs_are_laid_out_as_trl_does(tiny_model_dir: Path) -> None:
    from trl.trainer.dpo_trainer import DataCollatorForPreference

    from workbench.core.config import ModelConfig
    from workbench.train.objectives.pairs import collate_pairs, encode_pairs

    tokenizer = load_tokenizer(ModelConfig(ref=str(tiny_model_dir)), Path())
    pairs, truncated = encode_pairs(tokenizer, pair_records(3), 96, "Be brief.")
    assert truncated == 0
    stock = []
    for record in pair_records(3):
        endings = [encode_record(tokenizer, one, 96, "Be brief.") for one in (record, record.with_rejected())]
        prompts = [one.labels.count(-100) for one in endings]
        assert prompts[0] == prompts[1]
        chosen, rejected = (one.input_ids[prompts[0] :] for one in endings)
        stock.append(
            {"prompt_ids": endings[0].input_ids[: prompts[0]], "chosen_ids": chosen, "rejected_ids": rejected}
        )
    expected = DataCollatorForPreference(pad_token_id=tokenizer.pad_token_id)(stock)
    found = collate_pairs(tokenizer.pad_token_id)([pair.as_row() for pair in pairs])
    assert set(found) == set(expected) and all(torch.equal(found[name], expected[name]) for name in expected)


def test_answers_are_laid_out_and_mismatched_as_trl_does() -> None:
    from trl.trainer.kto_trainer import DataCollatorForUnpairedPreference

    from workbench.train.objectives.kto import collate_rated

    rows = [
        {"prompt_ids": [1, 2, 3], "answer_ids": [4, 5], "label": True},
        {"prompt_ids": [6], "answer_ids": [7, 8, 9], "label": False},
        {"prompt_ids": [10, 11], "answer_ids": [12], "label": True},
    ]
    moved = [rows[-1]["answer_ids"], *(row["answer_ids"] for row in rows[:-1])]
    stock = [
        {"prompt_ids": row["prompt_ids"], "completion_ids": row["answer_ids"], "KL_completion_ids": other}
        | {"label": row["label"]}
        for row, other in zip(rows, moved, strict=True)
    ]
    expected = DataCollatorForUnpairedPreference(pad_token_id=0, max_length=4)(stock)
    found = collate_rated(0, 4)(rows)
    assert set(found) == set(expected) and all(torch.equal(found[name], expected[name]) for name in expected)


def test_pairs_that_teach_nothing_are_left_out_and_said(make_run: MakeRun) -> None:
    same = [record.model_copy(update={"rejected": record.chosen}) for record in pair_records(2)]
    run = make_run("some", [*pair_records(4), *same], objective="orpo", max_steps=1, gradient_accumulation=1)
    run.attempt()
    assert any("2 of 6 pairs left out: the same ending twice" in getattr(e, "message", "") for e in run.events)
    with pytest.raises(IncompleteError, match="none of 2 pairs teaches anything"):
        make_run("none", same, objective="dpo", max_steps=1).attempt()


def test_kto_needs_both_kinds_of_answers_and_two_rows(
    make_run: MakeRun, tiny_model_dir: Path, tmp_path: Path
) -> None:
    good = [record for record in rated_records(8) if record.label]
    with pytest.raises(IncompleteError, match="no row has thumbs down"):
        make_run("good", good, objective="kto", max_steps=1).attempt()
    with pytest.raises(IncompleteError, match="needs two") as halved:
        built("kto", tiny_model_dir, tmp_path, max_steps=1).shrink(1)
    assert "to 2" not in str(halved.value.next_step)
    with pytest.raises(IncompleteError, match="has one sequence") as odd:  # two sequences were never tried
        built("kto", tiny_model_dir, tmp_path, max_steps=1, batch_size=3, gradient_accumulation=1).shrink(1)
    assert "two sequences" not in odd.value.problem and "set it to 2" in str(odd.value.next_step)


def test_kto_needs_both_kinds_of_answers_after_holding_back(tiny_model_dir: Path, tmp_path: Path) -> None:
    rows = rated_records(8)
    back = held_back(rows, 2, 3)
    one_sided = [row.model_copy(update={"label": index not in back}) for index, row in enumerate(rows)]
    with pytest.raises(IncompleteError, match="no row with thumbs down is left to train on: 2 rows are held") as none:
        built("kto", tiny_model_dir, tmp_path, one_sided, validation_share=0.25, max_steps=1)
    assert none.value.where == "train.validation_share"


def test_kto_never_puts_an_answer_to_its_own_prompt(tiny_model_dir: Path, tmp_path: Path) -> None:
    trainer = built("kto", tiny_model_dir, tmp_path, rated_records(20), validation_share=0.25, max_steps=1)
    batches = [trainer.checked, *trainer.validation.batches]
    assert [len(batch["label"]) for batch in batches] == [2, 2, 3]
    for batch in batches:
        assert all(
            mine.tolist() != moved.tolist()
            for mine, moved in zip(_answers(batch, ""), _answers(batch, "KL_"), strict=True)
        )
    with pytest.raises(IncompleteError, match="a single row is held back"):
        built("kto", tiny_model_dir, tmp_path, rated_records(20), validation_share=0.05, max_steps=1)


def _answers(batch: dict[str, Any], prefix: str) -> list[Any]:
    pairs = zip(batch[f"{prefix}input_ids"], batch[f"{prefix}completion_mask"], strict=True)
    return [ids[mask.bool()] for ids, mask in pairs]


SLOW_PAIRS = [pytest.param(name, marks=pytest.mark.slow) for name in ("dpo", "reward")]


@pytest.mark.parametrize("objective", ["orpo", *SLOW_PAIRS])
def test_smaller_passes_are_the_same_step(tiny_model_dir: Path, tmp_path: Path, objective: str) -> None:
    """Endings have unequal lengths: a mean over each pass's tokens would be another one."""
    losses = []
    for passes in (1, 4):
        trainer = built(objective, tiny_model_dir, tmp_path, _uneven(), precision="fp32", max_steps=2,
                        batch_size=4, gradient_accumulation=1, learning_rate=1e-2, warmup_steps=0)  # fmt: skip
        trainer.shrink(4 // passes)
        trainer.train_from(None)
        losses.append([point.loss for point in trainer.step_log.curve])
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def _uneven() -> list[Record]:
    pairs = []
    for number, pair in enumerate(pair_records(8)):
        assert pair.chosen is not None
        long = pair.chosen.model_copy(update={"content": pair.chosen.content * (1 + number % 4)})
        pairs.append(pair.model_copy(update={"chosen": long}))
    return pairs


def test_long_documents_lose_no_token_and_repeat_none(tiny_model_dir: Path) -> None:
    from workbench.core.config import ModelConfig
    from workbench.train.data import encode_all, encode_windows

    tokenizer = load_tokenizer(ModelConfig(ref=str(tiny_model_dir)), Path())
    for length in (8, 17, 96, 5000):
        for record in documents(3):
            whole = encode_record(tokenizer, record, NO_LIMIT, None)
            rows = encode_windows(tokenizer, [record], length, None).rows
            learned = [label for row in rows for label in row.labels[1:]]
            assert learned == whole.input_ids[1:]
            assert max(len(row.input_ids) for row in rows) <= length
            # a window begins where the one before ended
            assert [row.input_ids[0] for row in rows[1:]] == [row.input_ids[-1] for row in rows[:-1]]
    cut = encode_all(tokenizer, documents(3), 96, None)
    assert cut.truncated == 3  # what `sft` does with the same documents


@pytest.mark.parametrize("objective", ["dpo", "reward", pytest.param("orpo", marks=pytest.mark.slow)])
def test_held_back_pairs_are_never_trained_on_and_measured_one_by_one(
    tiny_model_dir: Path, tmp_path: Path, objective: str
) -> None:
    trainer = _trained(objective, tiny_model_dir, tmp_path, max_steps=3, validation_share=0.3, validation_steps=2)
    side = "chosen_ids"
    trained_on = {tuple(row[side]) for row in trainer.train_dataset}
    held = {
        tuple(ids[: int(mask.sum())].tolist())
        for batch in trainer.validation.batches
        for ids, mask in zip(batch["input_ids"], batch["attention_mask"], strict=True)
    }
    assert len(held) == 10 and not held & trained_on
    right = pairs = 0
    for batch in trainer.validation.batches:
        if objective == "reward":
            with torch.no_grad():
                values = trainer.model(**batch).logits[:, 0]
        else:
            now, before = _with_and_without(trainer, batch)
            counts = batch["completion_mask"][:, 1:].sum(1)
            values = now / counts if objective == "orpo" else now - before
        better, worse = values.chunk(2)
        right, pairs = right + int((better > worse).sum()), pairs + len(better)
    assert pairs == 5 and trainer.held_back_order() == (right, pairs)
    assert [step for step, _ in trainer.validation.curve] == [2, 3]
    # looking at held-back rows leaves nothing behind in what is told of the next step
    assert not any(trainer._metrics["train"].values()) and not any(trainer._metrics["eval"].values())


@pytest.mark.parametrize("objective", ["dpo", *(pytest.param(name, marks=pytest.mark.slow) for name in REST)])
def test_interrupted_run_ends_in_the_same_bits(make_run: MakeRun, objective: str) -> None:
    settings: dict[str, Any] = {"objective": objective, "max_steps": 4, "dropout": None, "gradient_accumulation": 1}
    if objective in ("dpo", "reward"):
        settings |= {"validation_share": 0.2, "validation_steps": 2}
    unbroken, broken = (make_run(name, rows_for(objective), **settings) for name in ("unbroken", "broken"))
    assert isinstance(unbroken.attempt(), Done)
    with pytest.raises(Killed):
        broken.attempt(emit=kill_after(3))
    broken.attempt()
    assert broken.summary()["resumed_from"] == [2]
    assert broken.adapter_bytes() == unbroken.adapter_bytes() and broken.curve() == unbroken.curve()
    assert broken.summary()["best_validation_loss"] == unbroken.summary()["best_validation_loss"]


@pytest.mark.slow
def test_killed_dpo_taken_up_again_ends_in_the_same_bits(make_run: MakeRun) -> None:
    settings: dict[str, Any] = {"objective": "dpo", "dropout": None, "max_steps": 4, "gradient_accumulation": 1}
    unbroken, run = make_run("unbroken", pair_records(), **settings), make_run("run", pair_records(), **settings)
    unbroken.attempt()
    for step in (1, 3):
        kill_at(start(run), lambda event, at=step: event["event"] == "node_progress" and event["done"] == at)
        assert not (run.out / "training.json").exists()
    process = start(run)
    process.communicate(timeout=200)
    assert process.returncode == 0
    assert run.summary()["resumed_from"][-1] == 2
    assert run.adapter_bytes() == unbroken.adapter_bytes() and run.curve() == unbroken.curve()


def test_measures_of_a_step_are_told_kept_and_survive(make_run: MakeRun) -> None:
    settings: dict[str, Any] = {"gradient_accumulation": 1, "validation_share": 0.2, "validation_steps": 3}
    run = make_run("run", pair_records(), objective="dpo", dropout=None, max_steps=3, **settings)
    run.attempt()
    curve = run.curve()
    told = [event.values for event in run.events if isinstance(event, NodeMetric) and "loss" in event.values]
    for point, values in zip(curve, told, strict=True):
        measures = point["measures"]
        assert measures["rewards/margins"] == pytest.approx(measures["rewards/chosen"] - measures["rewards/rejected"])
        assert 0 <= measures["rewards/accuracies"] <= 1 and measures.items() <= values.items()
    assert curve[-1]["measures"]["rewards/margins"] > 0
    summary = run.summary()
    assert summary["objective"] == "dpo" and summary["held_back_pairs"] == summary["validation_rows"] == 3
    order = summary["pairs_in_order"]
    # Wilson's interval for 3 of 3, by hand: 3 / (3 + 1.96^2)
    assert order["value"] == 1 and order["low"] == pytest.approx(3 / (3 + 1.959964**2), rel=1e-5)


@pytest.fixture(scope="module")
def reloaded(tiny_model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Any, Any]]:
    """Logits of every policy at the end of training and in a new process that read its files."""
    root = tmp_path_factory.mktemp("objectives")
    torch.set_num_threads(1)
    jobs, own = ["base|nf4|"], {}
    for objective in POLICIES:
        trainer = built(objective, tiny_model_dir, root / objective, max_steps=3, learning_rate=1e-2)
        trainer.train_from(None)
        trainer.model.save_pretrained(str(root / objective / "adapter"))
        own[objective] = logits(trainer.accelerator.unwrap_model(trainer.model, keep_fp32_wrapper=False))
        jobs.append(f"{objective}|nf4|{root / objective / 'adapter'}")
    found = logits_in_a_new_process(tiny_model_dir, root / "logits.safetensors", jobs)
    return {name: (own[name], found[f"{name}|nf4"]) for name in POLICIES} | {"base": (None, found["base|nf4"])}


@pytest.mark.slow
@pytest.mark.parametrize("objective", POLICIES)
def test_new_process_computes_what_was_trained(reloaded: dict[str, tuple[Any, Any]], objective: str) -> None:
    own, found = reloaded[objective]
    assert torch.equal(own, found)
    assert float((own - reloaded["base"][1]).abs().max()) > 0.01


def test_reward_model_rates_as_it_was_trained_and_refuses_to_answer(
    make_run: MakeRun, tiny_model_dir: Path, tmp_path: Path
) -> None:
    from workbench.models.reward import load_reward_model, reward_fingerprint, rewards

    run = make_run("run", pair_records(), objective="reward", dropout=None, max_steps=15, learning_rate=1e-2)
    run.attempt()
    adapter = run.out / "adapter"
    assert not (run.out / "sham").exists()
    rater = load_reward_model(str(adapter), tmp_path)
    records = pair_records(8)
    better, worse = rewards(rater, records), rewards(rater, [record.with_rejected() for record in records])
    assert all(one > other for one, other in zip(better, worse, strict=True))
    # by hand: PEFT's model on the base, fp32 output layer, the last token before the padding
    from peft import PeftModel

    node = tiny_train_node(tiny_model_dir, objective="reward")
    stock = load(node.model, "nf4", tmp_path, rates=True)
    model = PeftModel.from_pretrained(stock.model, str(adapter)).eval()
    ids = encode_record(stock.tokenizer, records[3], NO_LIMIT, None).input_ids
    with torch.no_grad():
        value = float(model(input_ids=torch.tensor([ids])).logits[0, 0])
    assert better[3] == pytest.approx(value, abs=0.02)  # a row alone and in a padded batch, in bf16
    before = reward_fingerprint(str(adapter), tmp_path)
    note = json.loads((adapter / "workbench_adapter.json").read_text())
    (adapter / "workbench_adapter.json").write_text(json.dumps(note | {"seed": 4}))
    assert reward_fingerprint(str(adapter), tmp_path) != before
    with pytest.raises(IncompleteError, match="cannot give any"):
        load(node.model, "nf4", tmp_path, adapter)


def test_adapter_that_answers_is_no_reward_model(make_run: MakeRun, tmp_path: Path) -> None:
    from workbench.core.errors import UsageError
    from workbench.models.reward import load_reward_model

    run = make_run("run", pair_records(4), objective="orpo", max_steps=1, gradient_accumulation=1)
    run.attempt()
    with pytest.raises(UsageError, match="answers and does not rate") as caught:
        load_reward_model(str(run.out / "adapter"), tmp_path)
    assert caught.value.where == "curate.rating.reward_model"


@pytest.mark.parametrize("objective", ["dpo", "kto", "orpo", "reward"])
def test_defaults_are_the_objectives(tiny_model_dir: Path, tmp_path: Path, objective: Any) -> None:
    settings = built(objective, tiny_model_dir, tmp_path, learning_rate=None, warmup_steps=None).settings
    assert settings.dropout == 0.0
    assert settings.learning_rate == pytest.approx(2e-4 * OBJECTIVES[objective].learning_rate_factor)
