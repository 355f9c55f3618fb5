"""Every method on every precision it allows: it trains, and a new process that loads what it wrote computes the same.

The expected logits are those of the model in memory at the end of training, which PEFT computes."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from reload_logits import logits, logits_in_a_new_process
from test_train_stage import Killed, kill_after
from training_run import TrainingRun, training_records

from workbench.core.config import ModelConfig, TrainConfig
from workbench.core.methods import METHODS, Precision
from workbench.core.nodes import TrainNode
from workbench.models.adapter_files import CONFIG, WEIGHTS, AdapterNote
from workbench.models.likelihood import continuation_nll
from workbench.models.loading import load

HERE = Path(__file__).parent
PAIRS = [(method, precision) for method, facts in METHODS.items() for precision in facts.precisions]
STEPS = 4
ONE_BF16_STEP = 0.008
"""Distance of neighbouring bf16 numbers between 1 and 2, where the largest logits are."""
ROUNDED = ("pissa", "olora", "adalora")
"""Saved in another form than trained: matrices of another rank, whose products are rounded otherwise."""


@dataclass
class Trained:
    """What one method gave in memory, and what a new process made of its files."""

    unmoved: list[str]
    directory: Path
    logits: Any
    reloaded: Any = None
    sham: Any = None
    base: Any = None


def _train(model_dir: Path, method: str, precision: Precision, place: Path) -> Trained:
    from workbench.train.checkpointed import named_trained
    from workbench.train.export import START, write_adapter, write_sham
    from workbench.train.group import ALONE
    from workbench.train.objectives.registry import Job
    from workbench.train.step_log import StepLog
    from workbench.train.trainer import build_sft

    chosen: dict[str, Any] = {"method": method, "rank": 4, "max_steps": STEPS, "batch_size": 4}
    settings = TrainConfig(**chosen, dropout=0.0, warmup_steps=0, learning_rate=1e-2)
    node = TrainNode(train=settings, model=ModelConfig(ref=str(model_dir), max_length=64), seed=0)
    loaded = load(node.model, precision, place)
    log = StepLog(lambda point, speed: None, lambda: False)
    trainer = build_sft(Job(node, loaded, training_records(), place, place, log))
    trainer.join(ALONE)
    before = {name: parameter.detach().clone() for name, parameter in named_trained(trainer.model)}
    log.resume([])
    trainer.train_from(None)
    unmoved = [name for name, parameter in named_trained(trainer.model) if torch.equal(before[name], parameter)]
    assert before
    # As it is scored: without the autocast of training, whole weights in the precision of the base.
    bare = trainer.accelerator.unwrap_model(trainer.model, keep_fp32_wrapper=False)
    note = AdapterNote(
        base=str(model_dir),
        base_fingerprint=loaded.fingerprint,
        precision=precision,
        template_hash="",
        train=trainer.settings,
        seed=0,
    )
    write_adapter(trainer.model, place / "adapter", note, place / START)
    write_sham(place / "adapter", place / "sham", note, place / START)
    if method == "full" and precision == "bf16":
        for parameter in bare.parameters():
            parameter.data = parameter.data.bfloat16()
    return Trained(unmoved, place, logits(bare))


@pytest.fixture(scope="module")
def trained(tiny_model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Trained]:
    """All methods in this process; all their files in one other process."""
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("methods")
    found = {(method, precision): _train(tiny_model_dir, method, precision, root / method / precision)
             for method, precision in PAIRS}  # fmt: skip
    jobs = [f"base|{precision}|" for precision in ("nf4", "bf16", "fp32")]
    for (method, precision), one in found.items():
        jobs.append(f"{method}|{precision}|{one.directory / 'adapter'}")
        if (one.directory / "sham").is_dir():
            jobs.append(f"{method}-sham|{precision}|{one.directory / 'sham'}")
    reloaded = logits_in_a_new_process(tiny_model_dir, root / "logits.safetensors", jobs)
    for (method, precision), one in found.items():
        one.reloaded = reloaded[f"{method}|{precision}"]
        one.sham = reloaded.get(f"{method}-sham|{precision}")
        one.base = reloaded[f"base|{precision}"]
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("method", "precision"), PAIRS)
def test_new_process_computes_what_was_trained(trained: Any, method: str, precision: str) -> None:
    one = trained[method, precision]
    allowed = 0.0 if method not in ROUNDED else 1e-6 if precision == "fp32" else ONE_BF16_STEP
    assert float((one.reloaded - one.logits).abs().max()) <= allowed
    assert float((one.logits - one.base).abs().max()) > max(0.01, 2 * allowed)


@pytest.mark.slow
@pytest.mark.parametrize(("method", "precision"), PAIRS)
def test_every_trainable_tensor_is_trained(trained: Any, method: str, precision: str) -> None:
    # AdaLoRA takes all ranks of some layers away: their singular values stay zero.
    assert [name for name in trained[method, precision].unmoved if "lora_E" not in name] == []


@pytest.mark.slow
@pytest.mark.parametrize(("method", "precision"), PAIRS)
def test_sham_is_the_base_to_the_last_bit_or_there_is_none(trained: Any, method: str, precision: str) -> None:
    one = trained[method, precision]
    if METHODS[method].sham == "none":
        assert one.sham is None
    else:
        assert torch.equal(one.sham, one.base)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["pissa", "olora"])
def test_methods_that_change_the_base_are_written_as_plain_lora_of_twice_the_rank(trained: Any, method: str) -> None:
    settings = json.loads((trained[method, "fp32"].directory / "adapter" / CONFIG).read_text())
    assert (settings["init_lora_weights"], settings["r"]) == (True, 8)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["prompt", "prefix", "p-tuning"])
def test_likelihood_behind_a_learned_prompt_is_that_of_the_text_alone(
    trained: Any, tiny_model_dir: Path, method: str
) -> None:
    adapter = trained[method, "fp32"].directory / "adapter"
    loaded = load(ModelConfig(ref=str(tiny_model_dir)), "fp32", Path(), adapter)
    rows = trained[method, "fp32"].reloaded[0].log_softmax(-1)
    prompt = [1, 50, 60, 70, 80, 90, 100]
    (score,) = continuation_nll(loaded, [(prompt[:4], prompt[4:])], 1)
    expected = -sum(float(rows[3 + step, prompt[4 + step]]) for step in range(3))
    assert score.nll_sum == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("method", "precision"),
    [
        ("adalora", "fp32"),
        ("pissa", "fp32"),
        pytest.param("prompt", "nf4", marks=pytest.mark.slow),
        pytest.param("full", "bf16", marks=pytest.mark.slow),
        pytest.param("lora+", "nf4", marks=pytest.mark.slow),
        pytest.param("vera", "nf4", marks=pytest.mark.slow),
        pytest.param("olora", "bf16", marks=pytest.mark.slow),
    ],
)
def test_interrupted_run_ends_in_the_same_files_whatever_the_method(
    make_run: Callable[..., TrainingRun], method: str, precision: str
) -> None:
    settings: dict[str, Any] = {"method": method, "precision": precision, "max_steps": 6}
    unbroken, broken = make_run("unbroken", **settings), make_run("broken", **settings)
    unbroken.attempt()
    with pytest.raises(Killed):
        broken.attempt(emit=kill_after(5))
    broken.attempt()
    assert broken.summary()["resumed_from"] == [4]
    assert broken.adapter_bytes() == unbroken.adapter_bytes() and broken.curve() == unbroken.curve()
    sham = [run.out / "sham" / WEIGHTS for run in (broken, unbroken) if (run.out / "sham").is_dir()]
    assert len({path.read_bytes() for path in sham}) <= 1


def test_second_matrices_learn_faster_by_the_ratio_of_lora_plus(
    make_run: Callable[..., TrainingRun], tmp_path: Path
) -> None:
    from workbench.train.objectives.registry import Job
    from workbench.train.step_log import StepLog
    from workbench.train.trainer import build_sft

    run = make_run("run", method="lora+", learning_rate=1e-4, loraplus_ratio=8)
    loaded = load(run.config.model, "nf4", tmp_path)
    log = StepLog(lambda point, speed: None, lambda: False)
    trainer = build_sft(Job(run.config, loaded, run.records, tmp_path, tmp_path, log))
    optimizer = trainer.create_optimizer()
    names = {id(parameter): name for name, parameter in trainer.model.named_parameters()}
    trained = [(group["lr"], parameter) for group in optimizer.param_groups for parameter in group["params"]]
    rates = {(rate, "lora_B" in names[id(parameter)]) for rate, parameter in trained}
    assert rates == {(1e-4, False), (8e-4, True)}


def test_adalora_gives_out_as_many_ranks_as_were_asked_for(make_run: Callable[..., TrainingRun]) -> None:
    run = make_run("run", method="adalora", precision="fp32", max_steps=10, rank=4)
    run.attempt()
    pattern = json.loads((run.out / "adapter" / CONFIG).read_text())["rank_pattern"]
    layers = 14
    assert len(pattern) == layers
    assert sum(sum(kept) for kept in pattern.values()) == pytest.approx(4 * layers, abs=1)


def test_start_computed_otherwise_is_refused(make_run: Callable[..., TrainingRun]) -> None:
    from workbench.core.errors import IncompleteError

    run = make_run("run", method="pissa", precision="fp32", max_steps=4)
    with pytest.raises(Killed):
        run.attempt(emit=kill_after(3))
    start = run.root / "work" / "start" / WEIGHTS
    start.write_bytes(start.read_bytes()[:-1] + b"\x01")
    with pytest.raises(IncompleteError, match="does not begin as it did"):
        run.attempt()


def test_penalty_of_adalora_is_what_peft_adds_to_a_loss_of_its_own(
    make_run: Callable[..., TrainingRun], tmp_path: Path
) -> None:
    from workbench.train.methods import penalty
    from workbench.train.objectives.registry import Job
    from workbench.train.step_log import StepLog
    from workbench.train.trainer import build_sft

    run = make_run("run", method="adalora", precision="fp32", dropout=0.0)
    loaded = load(run.config.model, "fp32", tmp_path)
    log = StepLog(lambda point, speed: None, lambda: False)
    model = build_sft(Job(run.config, loaded, run.records, tmp_path, tmp_path, log)).model.eval()
    ids = torch.arange(2, 30)[None]
    with torch.no_grad():
        with_penalty = float(model(input_ids=ids, labels=ids).loss)
        rows = model(input_ids=ids).logits[0, :-1]
        plain = float(torch.nn.functional.cross_entropy(rows, ids[0, 1:]))
        assert float(penalty(model)) == pytest.approx(with_penalty - plain, rel=1e-4)
