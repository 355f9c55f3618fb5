"""`adapters diff`: distances of weights against full matrices computed by PEFT, settings and verdicts that differ."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from made_adapters import AT, BASE_FINGERPRINT, judged, registered

from workbench.adapters.diff import WeightDistance, difference
from workbench.adapters.registry import Registered, read_registry, resolve
from workbench.adapters.versions import Training, register
from workbench.core.errors import IncompleteError
from workbench.core.paths import Project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def peft_adapter(directory: Path, seed: int, **settings: Any) -> Any:
    """A random LoRA on a tiny random Llama, saved by PEFT; the model."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=64,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        base = LlamaForCausalLM(config)
        torch.manual_seed(seed)
        model = get_peft_model(base, LoraConfig(**({"r": 4, "lora_alpha": 8} | settings)))
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                torch.nn.init.normal_(parameter)
    model.save_pretrained(str(directory))
    return model


def deltas(model: Any) -> dict[str, Any]:
    """The change PEFT makes to each weight, as a whole matrix."""
    return {
        name.removeprefix("base_model.model."): module.get_delta_weight("default").detach().double()
        for name, module in model.named_modules()
        if hasattr(module, "get_delta_weight")
    }


def made(project: Project, directory: Path, name: str = "mine") -> Registered:
    trained = Training(directory, "pypi:some-base", BASE_FINGERPRINT, "lora")
    return register(project, trained, name, who="ada", at=AT)[0]


def distance(project: Project, left: Path, right: Path) -> WeightDistance:
    found = difference(made(project, left), made(project, right)).weights
    assert found is not None
    return found


def flat(matrices: dict[str, Any], names: list[str]) -> Any:
    import torch

    return torch.cat([matrices[name].flatten() for name in names])


@pytest.mark.parametrize("settings", [{}, {"use_rslora": True, "r": 6}])
def test_cosine_and_distance_equal_those_of_the_whole_matrices(project: Project, settings: dict[str, Any]) -> None:
    import torch

    left = deltas(peft_adapter(project.root / "left", 1, target_modules="all-linear"))
    right = deltas(peft_adapter(project.root / "right", 2, target_modules="all-linear", **settings))
    found = distance(project, project.root / "left", project.root / "right")
    x, y = flat(left, sorted(left)), flat(right, sorted(left))
    assert (found.compared, found.layers, found.only_before, found.only_after) == ("weight changes", 14, 0, 0)
    assert found.cosine == pytest.approx(float(torch.cosine_similarity(x, y, dim=0)), abs=1e-6)
    assert found.relative_distance == pytest.approx(float((x - y).norm() / x.norm()), rel=1e-5)
    relative = {name: float((left[name] - right[name]).norm() / left[name].norm()) for name in left}
    furthest = sorted(relative, key=lambda name: -relative[name])[:5]
    assert [layer.layer for layer in found.furthest] == furthest
    assert found.furthest[0].relative_distance == pytest.approx(relative[furthest[0]], rel=1e-5)


def test_factors_turned_against_each_other_are_the_same_change(project: Project) -> None:
    from safetensors.torch import load_file, save_file

    peft_adapter(project.root / "left", 1, target_modules=["q_proj"])
    peft_adapter(project.root / "right", 1, target_modules=["q_proj"])
    file = project.root / "right" / "adapter_model.safetensors"
    turned = {name: tensor * (4 if "lora_A" in name else 0.25) for name, tensor in load_file(str(file)).items()}
    save_file(turned, str(file))
    found = distance(project, project.root / "left", project.root / "right")
    assert found.cosine == pytest.approx(1) and found.relative_distance == pytest.approx(0, abs=1e-6)


def test_layers_that_one_adapter_alone_changes_count_to_the_distance(project: Project) -> None:
    import torch

    left = deltas(peft_adapter(project.root / "left", 1, target_modules=["q_proj"]))
    right = deltas(peft_adapter(project.root / "right", 2, target_modules=["q_proj", "up_proj"]))
    found = distance(project, project.root / "left", project.root / "right")
    names = sorted(right)
    left |= {name: torch.zeros_like(right[name]) for name in names if name not in left}
    x, y = flat(left, names), flat(right, names)
    assert (found.layers, found.only_before, found.only_after) == (2, 0, 2)
    assert found.relative_distance == pytest.approx(float((x - y).norm() / x.norm()), rel=1e-5)


def test_an_adapter_that_is_more_than_two_factors_is_compared_by_parameters(project: Project) -> None:
    peft_adapter(project.root / "left", 1, target_modules=["q_proj"], use_dora=True)
    peft_adapter(project.root / "right", 2, target_modules=["q_proj"], use_dora=True)
    found = distance(project, project.root / "left", project.root / "right")
    assert found.compared == "parameters" and found.layers == 6
    peft_adapter(project.root / "smaller", 2, target_modules=["q_proj"], use_dora=True, r=2)
    shapes = difference(made(project, project.root / "left"), made(project, project.root / "smaller"))
    assert shapes.weights is None and "different names or shapes" in shapes.weights_reason


def test_an_untouched_adapter_has_no_direction(project: Project) -> None:
    from safetensors.torch import load_file, save_file

    peft_adapter(project.root / "left", 1, target_modules=["q_proj"])
    peft_adapter(project.root / "zero", 2, target_modules=["q_proj"])
    file = project.root / "zero" / "adapter_model.safetensors"
    save_file({name: tensor * 0 for name, tensor in load_file(str(file)).items()}, str(file))
    found = distance(project, project.root / "left", project.root / "zero")
    assert found.cosine is None and found.relative_distance == pytest.approx(1)
    assert distance(project, project.root / "zero", project.root / "left").relative_distance is None


def test_settings_data_and_verdicts_that_differ_are_named(project: Project) -> None:
    trained = Training(
        project.root / "trained-1",
        "pypi:some-base",
        BASE_FINGERPRINT,
        "qlora",
        "nf4",
        1,
        train={"rank": 8, "alpha": 16, "dpo": {"beta": 0.1}},
        run="r1",
        data_sha256="d1",
    )
    registered(project, 1, "elsewhere")
    registered(project, 2, "elsewhere")
    first = register(project, trained, "support", who="ada", at=AT)[0]
    other = Training(
        project.root / "trained-2",
        "pypi:some-base",
        BASE_FINGERPRINT,
        "qlora",
        "nf4",
        1,
        train={"rank": 16, "alpha": 16, "dpo": {"beta": 0.2}},
        run="r2",
        data_sha256="d2",
    )
    second = register(project, other, "support", who="ada", at=AT)[0]
    judged(project, first.reference, "passed")
    registry = read_registry(project)
    found = difference(registry.get(first.reference), registry.get(second.reference))
    assert {(one.key, one.before, one.after) for one in found.settings} == {
        ("data_sha256", "d1", "d2"),
        ("train.rank", 8, 16),
        ("train.dpo.beta", 0.1, 0.2),
    }
    assert [(one.suite, one.before is None, one.after) for one in found.suites] == [("capitals", False, None)]
    assert not found.same_opponents and not found.same_content


def test_the_same_files_are_the_same(project: Project) -> None:
    registered(project, 1)
    registered(project, 1, "other")
    assert difference(resolve(project, "support@1"), resolve(project, "other@1")).same_content


def test_a_configuration_that_is_none_is_an_error_with_its_file(project: Project) -> None:
    registered(project, 1)
    registered(project, 2)
    for seed in (1, 2):
        (project.root / f"trained-{seed}" / "adapter_config.json").write_text(json.dumps(["no"]))
    one, two = (made(project, project.root / f"trained-{seed}") for seed in (1, 2))
    with pytest.raises(IncompleteError, match=r"adapter_config.json: is no adapter configuration of PEFT"):
        difference(one, two)
