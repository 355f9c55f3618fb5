from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from reload_logits import logits, logits_in_a_new_process
from test_train_killed import kill_at, start
from test_train_stage import Killed, kill_after
from training_run import TrainingRun, tiny_train_node, training_records

from workbench.core.config import TrainConfig
from workbench.core.errors import IncompleteError, UsageError
from workbench.core.stage import Cancelled, Done
from workbench.models.loading import load
from workbench.train.objectives.registry import Job
from workbench.train.stage import STAGE

MakeRun = Callable[..., TrainingRun]
HERE = Path(__file__).parent
SETTINGS: dict[str, Any] = {
    "objective": "gkd", "dropout": None, "max_steps": 4, "learning_rate": 1e-2, "warmup_steps": 0,
}  # fmt: skip


@pytest.fixture(scope="module")
def teacher_dir(tiny_model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another random model with the student's tokenizer, wider, its head padded by 64 ids."""
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    directory = tmp_path_factory.mktemp("teacher") / "larger"
    tokenizer = AutoTokenizer.from_pretrained(tiny_model_dir)
    config = LlamaConfig(
        vocab_size=len(tokenizer) + 64,
        hidden_size=96,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        initializer_range=0.1,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng():
        torch.manual_seed(7)
        LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return directory


def _settings(teacher: Path, **gkd: Any) -> dict[str, Any]:
    return SETTINGS | {"gkd": {"teacher": str(teacher), "max_new_tokens": 6} | gkd}


@pytest.fixture(scope="module")
def whole(tiny_model_dir: Path, teacher_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainingRun:
    """Four steps of two passes, some with answers of the student's own, without an interruption."""
    node = tiny_train_node(tiny_model_dir, **_settings(teacher_dir))
    run = TrainingRun(tmp_path_factory.mktemp("gkd"), node, training_records())
    assert isinstance(run.attempt(), Done)
    return run


def _trainer(model: Path, teacher: Path, root: Path, **gkd: Any) -> Any:
    """A trainer built as the stage builds it, in fp32."""
    from workbench.train.objectives.gkd import build
    from workbench.train.step_log import StepLog

    chosen = {"method": "lora", "precision": "fp32"}
    node = tiny_train_node(model, **_settings(teacher, teacher_precision="fp32", **gkd), **chosen)
    loaded = load(node.model, "fp32", root)
    log = StepLog(lambda point, rate: None, lambda: False)
    (root / "work").mkdir(exist_ok=True)
    return build(Job(node, loaded, training_records(6), root, root / "work", log))


@pytest.mark.parametrize("beta", [0.0, 0.3, 1.0])
def test_divergence_is_that_of_trl(beta: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRL_EXPERIMENTAL_SILENCE", "1")
    from trl.experimental.gkd import GKDTrainer

    from workbench.train.objectives.gkd import divergence

    student, teacher = torch.randn(5, 40, dtype=torch.float64) * 3, torch.randn(5, 40, dtype=torch.float64) * 3
    expected = GKDTrainer.generalized_jsd_loss(student, teacher, beta=beta, reduction="sum")
    assert float(divergence(student, teacher, beta)) == pytest.approx(float(expected), rel=1e-9)
    assert float(divergence(student, student, beta)) == pytest.approx(0.0, abs=1e-12)


def test_loss_is_the_mean_divergence_over_answer_tokens(
    tiny_model_dir: Path, teacher_dir: Path, tmp_path: Path
) -> None:
    """Against full logits of both models and scipy's relative entropy."""
    from scipy.special import rel_entr

    trainer = _trainer(tiny_model_dir, teacher_dir, tmp_path, beta=0.0)
    batch, size = trainer.checked, trainer.vocabulary
    assert size == 49152
    with torch.no_grad():
        found = float(trainer.compute_loss(trainer.model, batch))
        q, p = (
            model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"])
            .logits[:, :-1, :size].double().softmax(-1).numpy()
            for model in (trainer.model, trainer.teacher)
        )  # fmt: skip
    learned = (batch["labels"][:, 1:] != -100).numpy()
    assert found == pytest.approx(rel_entr(p, q).sum(-1)[learned].mean(), rel=1e-4)


def test_nothing_is_learned_where_student_and_teacher_agree(tiny_model_dir: Path, tmp_path: Path) -> None:
    trainer = _trainer(tiny_model_dir, tiny_model_dir, tmp_path)
    loss = trainer.compute_loss(trainer.model, trainer.checked)
    gradients = torch.autograd.grad(loss, [one for one in trainer.model.parameters() if one.requires_grad])
    assert abs(float(loss.detach())) < 1e-6
    assert max(float(gradient.abs().max()) for gradient in gradients) < 1e-6


def test_own_answers_are_learned_and_counted(tiny_model_dir: Path, teacher_dir: Path, tmp_path: Path) -> None:
    trainer = _trainer(tiny_model_dir, teacher_dir, tmp_path, lmbda=1.0)
    data = [trainer.data_collator(trainer.train_dataset.to_list()[start : start + 2]) for start in (0, 2)]
    state = torch.random.get_rng_state()
    batches, tokens = trainer.get_batch_samples(iter(data), 2, "cpu")
    assert torch.equal(torch.random.get_rng_state(), state)
    assert trainer._metrics["train"]["own_answers"] == [1.0]
    assert int(tokens) == sum(int((batch["labels"][:, 1:] != -100).sum()) for batch in batches)
    for before, after in zip(data, batches, strict=True):
        for row in range(2):
            prompt = int((before["labels"][row] != -100).nonzero()[0])
            learned = (after["labels"][row] != -100).nonzero()[:, 0]
            assert torch.equal(after["input_ids"][row, :prompt], before["input_ids"][row, :prompt])
            assert int(learned[0]) == prompt and 1 <= len(learned) <= 6
            assert torch.equal(after["labels"][row][learned], after["input_ids"][row][learned])
    # The same step draws the same answers; another step draws others.
    again, _ = trainer.get_batch_samples(iter(data), 2, "cpu")
    assert all(torch.equal(a["input_ids"], b["input_ids"]) for a, b in zip(again, batches, strict=True))
    trainer.state.global_step = 1
    other, _ = trainer.get_batch_samples(iter(data), 2, "cpu")
    assert any(not torch.equal(a["input_ids"], b["input_ids"]) for a, b in zip(other, batches, strict=True))


def test_student_comes_nearer_to_the_teacher(tiny_model_dir: Path, tmp_path: Path) -> None:
    """The teacher is the student with other layers; its embeddings are large enough for opinions."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_model_dir)
    model = AutoModelForCausalLM.from_pretrained(tiny_model_dir, dtype=torch.float32)
    for name in ("student", "teacher"):
        with torch.no_grad(), torch.random.fork_rng():
            torch.manual_seed(7)
            model.model.embed_tokens.weight.mul_(10 if name == "student" else 1)
            for layer in model.model.layers.parameters():
                layer.add_(torch.randn_like(layer) * 0.1 if name == "teacher" and layer.dim() == 2 else 0)
        model.save_pretrained(tmp_path / name)
        tokenizer.save_pretrained(tmp_path / name)
    settings = _settings(tmp_path / "teacher", lmbda=0.0, beta=0.0) | {"max_steps": 8, "checkpoint_steps": 20}
    node = tiny_train_node(tmp_path / "student", **settings, validation_share=0.2, validation_steps=4)
    (tmp_path / "run").mkdir()
    run = TrainingRun(tmp_path / "run", node, training_records())
    run.attempt()
    losses = [point["loss"] for point in run.curve()]
    assert losses[0] > 2 and sum(losses[-3:]) / 3 < 0.5 * losses[0]
    assert run.summary()["validation_rows"] == 3 and run.summary()["best_validation_loss"] < 0.5 * losses[0]
    assert all(point["measures"]["own_answers"] == 0 for point in run.curve())


def test_interrupted_run_ends_in_the_same_bits(make_run: MakeRun, whole: TrainingRun) -> None:
    run = make_run("run", **_settings(Path(whole.config.train.gkd.teacher or "")))
    with pytest.raises(Killed):
        run.attempt(emit=kill_after(3))
    stops = iter([False, True])
    assert isinstance(run.attempt(cancelled=lambda: next(stops, True)), Cancelled)
    assert isinstance(run.attempt(), Done)
    assert run.summary()["resumed_from"] != []
    assert run.adapter_bytes() == whole.adapter_bytes() and run.curve() == whole.curve()
    assert 0 < sum(point["measures"]["own_answers"] for point in run.curve()) < 4


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"gkd": {}}, "set train.gkd.teacher"),
        ({"dropout": 0.1}, "another model than the one whose"),
        ({"gkd": {"teacher": "t", "lmbda": 1.5}}, "less than or equal to 1"),
        ({"method": "full"}, "cannot be trained with method full"),
    ],
)
def test_settings_that_cannot_work_are_refused_when_read(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        TrainConfig(**({"objective": "gkd", "gkd": {"teacher": "models/larger"}} | settings))


def test_teacher_is_in_the_fingerprint_and_has_the_same_ids(
    tiny_model_dir: Path, teacher_dir: Path, tmp_path: Path
) -> None:
    from transformers import AutoTokenizer

    def outside(teacher: Path, **gkd: Any) -> dict[str, str]:
        return STAGE.external(tiny_train_node(tiny_model_dir, **_settings(teacher, **gkd)), tmp_path)

    found = outside(teacher_dir)
    assert set(found) == {"model", "teacher"} and found["teacher"] != found["model"]
    # The same weights in another precision are a teacher (of what quantisation lost), in the same one they are none.
    assert outside(tiny_model_dir)["teacher"] == found["model"]
    with pytest.raises(UsageError, match="the teacher is the student itself"):
        outside(tiny_model_dir, teacher_precision="nf4")
    with pytest.raises(UsageError, match="does not exist") as missing:
        outside(tmp_path / "absent")
    assert missing.value.where == "train.gkd.teacher"

    other = tmp_path / "other"
    for file in teacher_dir.iterdir():
        (tmp_path / "other").mkdir(exist_ok=True)
        (other / file.name).write_bytes(file.read_bytes())
    tokenizer = AutoTokenizer.from_pretrained(teacher_dir)
    tokenizer.add_tokens(["zyzzyva"])
    tokenizer.save_pretrained(other)
    with pytest.raises(UsageError, match="1 tokens differ, for example 'zyzzyva'"):
        outside(other)


def test_other_vocabulary_is_refused_before_the_weights_are_loaded(
    make_run: MakeRun, teacher_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from workbench.train.objectives import gkd

    run = make_run("run", **_settings(teacher_dir))
    whole_vocabulary = gkd.load_tokenizer

    def shifted(*arguments: Any) -> Any:
        tokenizer = whole_vocabulary(*arguments)
        tokenizer.add_tokens(["zyzzyva"])
        return tokenizer

    monkeypatch.setattr(gkd, "load_tokenizer", shifted)
    monkeypatch.setattr(gkd, "load", lambda *arguments: pytest.fail("weights were loaded"))
    with pytest.raises(UsageError, match="another vocabulary than the student"):
        run.attempt()


def test_documents_are_no_answers(make_run: MakeRun, teacher_dir: Path) -> None:
    record = training_records(1)[0].model_copy(update={"kind": "document", "messages": (), "text": "A text."})
    with pytest.raises(IncompleteError, match="gkd learns from chat rows"):
        make_run("run", [record], **_settings(teacher_dir)).attempt()


@pytest.mark.slow
def test_new_process_computes_what_was_trained(whole: TrainingRun, tiny_model_dir: Path, tmp_path: Path) -> None:
    jobs = [f"trained|nf4|{whole.out / 'adapter'}", "base|nf4|"]
    new = logits_in_a_new_process(tiny_model_dir, tmp_path / "logits.safetensors", jobs)
    here = logits(load(whole.config.model, "nf4", whole.root, whole.out / "adapter").model)
    assert torch.equal(new["trained|nf4"], here)
    assert float((here - new["base|nf4"]).abs().max()) > 0.01


@pytest.mark.slow
def test_killed_process_ends_in_the_same_bits(make_run: MakeRun, whole: TrainingRun) -> None:
    run = make_run("run", **_settings(Path(whole.config.train.gkd.teacher or "")))
    kill_at(start(run), lambda event: event["event"] == "node_progress" and event["done"] == 3)
    assert not (run.out / "training.json").exists()
    process = start(run)
    process.communicate(timeout=200)
    assert process.returncode == 0
    assert run.summary()["resumed_from"] == [2]
    assert run.adapter_bytes() == whole.adapter_bytes() and run.curve() == whole.curve()
