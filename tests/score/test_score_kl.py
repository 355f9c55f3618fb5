"""Divergence from the base: exact against torch on whole logits, zero for the base itself, asked of the plain base."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from score_surroundings import Runner, artifact, suite_of

from workbench.core.errors import UsageError
from workbench.core.parts import read_rows
from workbench.core.records import ScoreRow
from workbench.core.stage import Artifact, Done
from workbench.models.loading import LoadedModel
from workbench.score.kinds import kl
from workbench.score.scoring import Job
from workbench.score.stage import STAGE
from workbench.score.tasks import check_suite

TEXTS = [
    {"text": "Return the absolute value of a number."},
    {"text": "Lima", "prompt": "The capital of Peru is"},
    {"text": "one two three four " * 30},
    {"text": "a"},
]
SETTINGS = {"kind": "kl", "primary_metric": "kl"}


@pytest.fixture(scope="module")
def moved(tiny: LoadedModel) -> LoadedModel:
    """The tiny model with every weight changed a little."""
    import copy

    import torch

    model = copy.deepcopy(tiny.model)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn(weight.shape, generator=generator) * 0.02)
    return dataclasses.replace(tiny, model=model)


def whole_logits(loaded: LoadedModel, ids: list[int]) -> Any:
    import torch

    with torch.no_grad():
        return loaded.model(torch.tensor([ids])).logits[0].double().log_softmax(-1)


def test_it_is_the_divergence_of_torch_over_the_whole_vocabulary(
    tiny: LoadedModel, moved: LoadedModel, job: Callable[..., Job]
) -> None:
    from torch.nn.functional import kl_div

    from workbench.score.passages import passages

    given = dataclasses.replace(job(TEXTS, **SETTINGS), loaded=moved, base=lambda: tiny)
    scored = kl.score(given)

    for row, passage in zip(scored.rows, passages(given), strict=True):
        expected = 0.0
        for context, continuation in passage.windows:
            p, q = (whole_logits(loaded, (context + continuation)[:-1]) for loaded in (tiny, moved))
            each = kl_div(q, p, reduction="none", log_target=True).sum(-1)
            expected += float(each[len(context) - 1 :].sum())
        assert row.weight == passage.tokens == json.loads(row.output)["tokens"]
        assert row.value == pytest.approx(expected / row.weight, rel=1e-3)
        assert row.value > 1e-4
    assert len(passages(given)[2].windows) == 2


def test_the_base_is_zero_from_itself_without_being_asked(tiny: LoadedModel, job: Callable[..., Job]) -> None:
    def never() -> LoadedModel:
        raise AssertionError("no model is needed")

    without = dataclasses.replace(job(TEXTS, **SETTINGS), base=None)
    assert [row.value for row in kl.score(without).rows] == [0.0] * 4
    asked = dataclasses.replace(without, base=lambda: tiny)
    assert [row.value for row in kl.score(asked).rows] == [0.0] * 4, "the same bits twice"


def test_a_document_without_text_is_an_error_and_the_others_are_scored(
    tiny: LoadedModel, job: Callable[..., Job]
) -> None:
    rows = kl.score(job([TEXTS[0], {"prompt": "x"}, TEXTS[3]], **SETTINGS)).rows

    assert [row.value for row in rows] == [0.0, None, 0.0]
    assert rows[1].error == "document has no `text`" and rows[1].weight == 1


def test_another_metric_is_refused(tmp_path: Path) -> None:
    check_suite(suite_of(**SETTINGS))
    with pytest.raises(UsageError, match="unknown metric 'nll'"):
        check_suite(suite_of(kind="kl", primary_metric="nll"))


def test_the_base_is_loaded_before_the_clock_starts(
    runner: Runner, tiny: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    from workbench.score import arm
    from workbench.score.arm_models import ArmModels

    seen: list[str] = []
    base, clock = ArmModels.base, time.perf_counter

    def asked(models: ArmModels) -> LoadedModel:
        seen.append("base")
        return base(models)

    def read() -> float:
        seen.append("clock")
        return clock()

    monkeypatch.setattr(ArmModels, "base", asked)
    monkeypatch.setattr(arm, "time", SimpleNamespace(perf_counter=read))
    suite = runner.suite(TEXTS[:1], name="drift", **SETTINGS)
    node = runner.node(suite).model_copy(update={"base": runner.model})

    assert isinstance(STAGE.run(node, {}, runner.context()), Done)
    assert seen[:2] == ["base", "clock"]


@pytest.fixture
def pissa(runner: Runner, tmp_path: Path) -> Artifact:
    """An adapter that changes the base's weights when it is attached: switching it off does not give the base."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(runner.model.ref, dtype=torch.float32)
    settings = LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM", init_lora_weights="pissa")
    model = get_peft_model(base, settings)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.mul_(0.5)
    model.save_pretrained(tmp_path / "train" / "adapter")
    return artifact(tmp_path / "train", "train")


def test_an_arm_is_measured_from_the_plain_base_in_its_own_precision(
    runner: Runner, pissa: Artifact, tmp_path: Path
) -> None:
    import torch
    from peft import PeftModel
    from torch.nn.functional import kl_div
    from transformers import AutoModelForCausalLM

    suite = runner.suite(TEXTS[:2], name="drift", **SETTINGS)
    node = runner.node(suite, adapter="train", precision="fp32")

    ctx = runner.context()
    assert isinstance(STAGE.run(node, {"train": pissa}, ctx), Done)
    rows = list(read_rows(ctx.out_dir / "samples.jsonl", ScoreRow))

    plain = AutoModelForCausalLM.from_pretrained(runner.model.ref, dtype=torch.float32)
    again = AutoModelForCausalLM.from_pretrained(runner.model.ref, dtype=torch.float32)
    tuned = PeftModel.from_pretrained(again, pissa.part("adapter"))
    from workbench.core.config import ModelConfig
    from workbench.models.chat import text_ids
    from workbench.models.loading import load_tokenizer

    tokenizer = load_tokenizer(ModelConfig(ref=runner.model.ref), runner.project)
    text = [tokenizer.bos_token_id, *text_ids(tokenizer, TEXTS[0]["text"])]
    with torch.no_grad():
        p, q = (model(torch.tensor([text[:-1]])).logits[0].log_softmax(-1) for model in (plain, tuned))
    expected = float(kl_div(q, p, reduction="none", log_target=True).sum(-1).mean())
    assert rows[0].value == pytest.approx(expected, rel=1e-3) and expected > 1e-4
    assert [row.metric for row in rows] == ["kl", "kl"]

    runner.work_dir = tmp_path / "other"
    runner.work_dir.mkdir()
    base = runner.context()
    assert isinstance(STAGE.run(runner.node(suite, precision="fp32"), {}, base), Done)
    assert [row.value for row in read_rows(base.out_dir / "samples.jsonl", ScoreRow)] == [0.0, 0.0]
