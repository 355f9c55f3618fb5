"""Arms with a model of their own: planned, refused before they are loaded, and compared under the same conditions."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from pydantic import ValidationError
from score_surroundings import CHOICES, Runner

from workbench.compare.conditions import arm_obstacles
from workbench.core.config import ArmConfig, LoopConfig
from workbench.core.errors import ExitCode, IncompleteError, PrerequisiteError, UsageError
from workbench.core.nodes import ScoreNode
from workbench.core.parts import read_model
from workbench.core.results import ArmInfo
from workbench.core.stage import Done
from workbench.loop.plan import resolved, scoring
from workbench.score.stage import STAGE


@pytest.fixture
def exported(runner: Runner, tiny_model_dir: Path) -> Path:
    """Another directory in the project with a model of other weights and the same tokenizer."""
    import torch
    from safetensors.torch import load_file, save_file

    directory = runner.project / "out" / "exported"
    shutil.copytree(tiny_model_dir, directory)
    weights = {name: tensor * 1.05 for name, tensor in load_file(directory / "model.safetensors").items()}
    save_file(weights, directory / "model.safetensors", metadata={"format": "pt"})
    assert all(tensor.dtype == torch.bfloat16 for tensor in weights.values())
    return directory


def node(runner: Runner, **arm: str) -> ScoreNode:
    """The node as the plan of a loop has it."""
    config = LoopConfig.model_validate(
        {
            "model": runner.model.model_dump(),
            "score": {"arms": [{"name": "base@nf4"}, {"name": "exported", **arm}], "batch_size": 3},
            "compare": {
                "pairs": [
                    {"before": "base@nf4", "after": "exported", "purpose": "candidate"},
                    {"before": "base@nf4", "after": "exported", "purpose": "export"},
                ]
            },
        }
    )
    suite = runner.suite(CHOICES, name="choices")
    draft = scoring(config, resolved(config.score.arms[1], config), (suite,))
    assert isinstance(draft.config, ScoreNode)
    return draft.config


def scored(runner: Runner, chosen: ScoreNode) -> tuple[ArmInfo, bytes]:
    runner.work_dir = runner.project / f"w{runner.attempts}"
    runner.work_dir.mkdir()
    ctx = runner.context()
    assert isinstance(STAGE.run(chosen, {}, ctx), Done)
    return read_model(ctx.out_dir / "arm.json", ArmInfo), (ctx.out_dir / "samples.jsonl").read_bytes()


def test_an_arm_with_its_own_model_is_that_model_under_the_bases_conditions(runner: Runner, exported: Path) -> None:
    base, rows = scored(runner, node(runner))
    other, other_rows = scored(runner, node(runner, model="out/exported"))

    assert (base.model, other.model) == (runner.model.ref, "out/exported")
    assert base.model_fingerprint != other.model_fingerprint and rows != other_rows
    assert base.conditions == other.conditions
    assert {"tokenizer", "template_hash", "max_length", "batch_rule", "compute_dtype"} <= set(base.conditions)
    assert arm_obstacles(base, other, "export") == ()
    quantised = other.model_copy(update={"precision": "nf4"})
    assert arm_obstacles(quantised, base, "export") == ()


@pytest.mark.slow
def test_a_gguf_file_is_an_arm_with_the_weights_that_it_holds(runner: Runner, tiny_model_dir: Path) -> None:
    from gguf import GGUFReader, dequantize
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from workbench.adapters.export.gguf import write_gguf
    from workbench.models.loading import load

    model = AutoModelForCausalLM.from_pretrained(tiny_model_dir, dtype="bfloat16")
    tokenizer = AutoTokenizer.from_pretrained(tiny_model_dir)
    file = runner.project / "out" / "tiny.q8_0.gguf"
    file.parent.mkdir()
    write_gguf(model, tokenizer, file, "q8_0", name="tiny", licence=None)

    texts = runner.suite([{"text": "Once upon a time."}], name="texts", kind="perplexity", primary_metric="nll")
    planned = [node(runner, precision="bf16"), node(runner, precision="bf16", model="out/tiny.q8_0.gguf")]
    arms = [scored(runner, one.model_copy(update={"suites": (texts,)})) for one in planned]

    (base, rows), (quantised, quantised_rows) = arms
    assert arm_obstacles(base, quantised, "export") == ()
    before, after = (json.loads(found)["value"] for found in (rows, quantised_rows))
    assert before != after and after == pytest.approx(before, rel=0.01), "eight bits of a block of 32 weights"
    held = {tensor.name: dequantize(tensor.data, tensor.tensor_type) for tensor in GGUFReader(file).tensors}
    weights = load(planned[1].model, "bf16", runner.project).model.model.layers[1].mlp.down_proj.weight
    assert weights.float().detach().numpy() == pytest.approx(held["blk.1.ffn_down.weight"], rel=2**-8)


@pytest.mark.parametrize("condition", ["tokenizer", "template_hash", "max_length", "batch_rule", "torch"])
def test_an_export_under_another_condition_is_not_comparable(runner: Runner, condition: str) -> None:
    base, _ = scored(runner, node(runner))
    changed = base.model_copy(update={"conditions": base.conditions | {condition: "another"}})

    (obstacle,) = arm_obstacles(base, changed, "export")
    assert obstacle.startswith(f"{condition} differs")


def test_the_plan_hashes_the_arms_own_weights_and_refuses_a_model_that_is_not_there(
    runner: Runner, exported: Path
) -> None:
    planned = node(runner, model="out/exported")
    assert planned.model.ref == "out/exported" and planned.base is not None and planned.base.ref == runner.model.ref
    assert planned.model.max_length == runner.model.max_length

    before = STAGE.external(planned, runner.project)
    assert set(before) == {"suite:choices", "model:out/exported", f"base:{runner.model.ref}"}
    (exported / "generation_config.json").write_text("{}", encoding="utf-8")
    assert STAGE.external(planned, runner.project) != before
    with pytest.raises(PrerequisiteError):
        STAGE.external(node(runner, model="pypi:no-such-distribution-at-all"), runner.project)


def test_the_plan_hashes_the_weights_that_an_arm_is_measured_from(
    runner: Runner, exported: Path, tiny_model_dir: Path
) -> None:
    base = runner.project / "base"
    shutil.copytree(tiny_model_dir, base)
    planned = node(runner, model="out/exported").model_copy(update={"base": runner.model.model_copy(
        update={"ref": "base"})})  # fmt: skip
    before = STAGE.external(planned, runner.project)
    shutil.copy(exported / "model.safetensors", base / "model.safetensors")

    after = STAGE.external(planned, runner.project)

    assert {name for name in before if before[name] != after[name]} == {"base:base"}


def test_a_model_that_cuts_text_otherwise_is_refused_before_it_is_loaded(
    runner: Runner, exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(exported)
    tokenizer.add_tokens(["brown fox"])
    tokenizer.save_pretrained(exported)

    def never(*args: object, **kwargs: object) -> None:
        raise AssertionError("the model was loaded")

    monkeypatch.setattr("workbench.models.loading.load", never)
    with pytest.raises(IncompleteError, match="in other tokens than") as refused:
        STAGE.run(node(runner, model="out/exported"), {}, runner.context())
    assert refused.value.where == "score.arms exported: model"
    assert refused.value.exit_code is ExitCode.INCOMPLETE


def test_the_runs_adapter_cannot_be_put_on_another_model() -> None:
    with pytest.raises(ValidationError, match="was made for"):
        ArmConfig(name="exported", model="out", adapter="train")
    assert ArmConfig(name="other", model="out", adapter="some/adapter").model == "out"


def test_a_prompt_only_arm_differs_in_its_prompt_alone(runner: Runner) -> None:
    base, _ = scored(runner, node(runner))
    prompted, _ = scored(runner, node(runner, system_prompt="Be brief."))

    assert arm_obstacles(base, prompted, "prompt") == ()
    assert [text.split(" differs")[0] for text in arm_obstacles(base, prompted, "noise")] == ["system_prompt"]


def test_what_an_arm_names_and_is_not_there_is_told_at_its_own_key_before_any_run(runner: Runner) -> None:
    (runner.project / "papers").mkdir()
    (runner.project / "papers" / "notes.txt").write_text("no adapter", encoding="utf-8")
    with pytest.raises(UsageError, match=r"out/none\.gguf") as missing:
        STAGE.external(node(runner, model="out/none.gguf"), runner.project)
    with pytest.raises(IncompleteError, match="no adapter") as empty:
        STAGE.external(node(runner, adapter="papers"), runner.project)

    assert missing.value.where == "score.arms exported: model"
    assert str(empty.value.where).startswith("score.arms exported: adapter")
