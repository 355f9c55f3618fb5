from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from workbench.core.config import ModelConfig, Precision
from workbench.models.loading import load


@pytest.mark.parametrize("rows", [3, 700])
def test_loss_and_gradient_equal_cross_entropy_in_double(rows: int) -> None:
    from workbench.train.answer_loss import answer_nll

    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(2, rows, 16, generator=generator, dtype=torch.float64, requires_grad=True)
    head = torch.randn(50, 16, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, 50, (2, rows), generator=generator)
    labels[torch.rand(2, rows, generator=generator) < 0.4] = -100
    logits = (hidden @ head.T)[:, :-1].flatten(0, 1)
    expected = torch.nn.functional.cross_entropy(logits, labels[:, 1:].flatten(), reduction="sum", ignore_index=-100)
    (wanted,) = torch.autograd.grad(expected * 0.25, hidden)
    loss = answer_nll(hidden, head, labels)
    (given,) = torch.autograd.grad(loss * 0.25, hidden)
    # log-softmax is taken in fp32
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    torch.testing.assert_close(given, wanted, rtol=1e-4, atol=1e-6)


def test_row_without_an_answer_has_no_loss_and_no_gradient() -> None:
    from workbench.train.answer_loss import answer_nll

    hidden = torch.randn(1, 4, 8, requires_grad=True)
    loss = answer_nll(hidden, torch.randn(9, 8), torch.full((1, 4), -100))
    loss.backward()
    assert float(loss.detach()) == 0.0 and not hidden.grad.any()


@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-4), ("bf16", 2e-2), ("nf4", 2e-2)])
def test_answer_rows_give_loss_and_gradients_of_the_stock_trainer(
    make_run: Callable[..., Any], tmp_path: Path, precision: Precision, tolerance: float
) -> None:
    from workbench.train.checkpointed import trained_parameters
    from workbench.train.data import encode_all
    from workbench.train.step_log import StepLog
    from workbench.train.trainer import build_trainer

    run = make_run("run", precision=precision, dropout=0.0, method="qlora" if precision == "nf4" else "lora")
    loaded = load(ModelConfig(ref=run.config.model.ref), precision, tmp_path)
    data = encode_all(loaded.tokenizer, run.records, 96, None)
    silent = StepLog(lambda point, speed: None, lambda: False)
    trainer = build_trainer(loaded, data, run.config.train, 0, tmp_path, silent)
    assert trainer.answer_rows_only
    trainer.fast_path = None
    parameters = trained_parameters(trainer.model)
    torch.manual_seed(0)
    for parameter in parameters:
        parameter.data.normal_(std=0.05)
    batch = next(iter(trainer.get_train_dataloader()))
    learned = (batch["labels"][:, 1:] != -100).sum()
    trainer.model.train()

    def loss_and_gradient(answer_rows_only: bool) -> tuple[float, Any]:
        trainer.answer_rows_only = answer_rows_only
        with trainer.accelerator.autocast():
            loss = trainer.compute_loss(trainer.model, dict(batch), num_items_in_batch=learned)
        gradients = torch.autograd.grad(loss, parameters)
        return loss.item(), torch.cat([gradient.flatten() for gradient in gradients])

    loss, gradient = loss_and_gradient(True)
    stock_loss, stock_gradient = loss_and_gradient(False)
    assert loss == pytest.approx(stock_loss, rel=tolerance / 10)
    assert float((gradient - stock_gradient).norm() / stock_gradient.norm()) < tolerance
