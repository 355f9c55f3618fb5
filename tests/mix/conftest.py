"""A model directory whose tokenizer has one token per word, so that every count can be done by hand; and the stage."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from contexts import made_up_context
from manifests import made_up_manifest
from mix_makers import Mixed, Ready

from workbench.core.config import MixConfig, ModelConfig
from workbench.core.nodes import MixNode
from workbench.core.objectives import Objective
from workbench.core.parts import read_model, read_rows, write_rows
from workbench.core.records import Drop, Record
from workbench.core.results import MixSummary
from workbench.core.stage import Artifact, Done
from workbench.mix.selection import Rows
from workbench.mix.stage import STAGE

_CHATML = (
    "{% for message in messages %}{{ '<|im_start|> ' + message['role'] + '\n' + message['content'] + ' <|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|> assistant\n' }}{% endif %}"
)


@pytest.fixture(scope="session")
def word_model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Words are split at white space; an answer of n words has n + 1 tokens, the last one ends the turn."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    directory = tmp_path_factory.mktemp("words") / "word-model"
    vocabulary = {token: number for number, token in enumerate(["<unk>", "<|im_start|>", "<|im_end|>"])}
    core = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, unk_token="<unk>", bos_token="<|im_start|>", eos_token="<|im_end|>", pad_token="<unk>"
    )
    tokenizer.chat_template = _CHATML
    tokenizer.save_pretrained(directory)
    (directory / "config.json").write_text('{"model_type": "llama"}')
    (directory / "model.safetensors").write_bytes(b"")
    return directory


@pytest.fixture
def prepare(tmp_path: Path, word_model_dir: Path) -> Callable[..., Ready]:
    def lay_out(
        curated: Sequence[Record],
        synthetic: Sequence[Record] | None = None,
        *,
        max_length: int = 64,
        seed: int = 0,
        strategies: Sequence[str] = (),
        dropped: Sequence[Drop] = (),
        rows: Rows = "filtered",
        objective: Objective = "sft",
        **mix: Any,
    ) -> Ready:
        root = tmp_path / str(len(list(tmp_path.iterdir())))
        write_rows(root / "curate" / "records.jsonl", curated)
        write_rows(root / "curate" / "dropped.jsonl", dropped)
        inputs = {"curate": Artifact(root / "curate", made_up_manifest("curate", {"datasets": ["manuals"]}))}
        if synthetic is not None:
            write_rows(root / "synth" / "records.jsonl", synthetic)
            ran = {"strategies": [{"strategy": name} for name in strategies]}
            inputs["synth"] = Artifact(root / "synth", made_up_manifest("synth", ran))
        said: list[Any] = []
        context = made_up_context(
            "mix", root / "out", work_dir=root / "work", project=root, seed=seed, emit=said.append
        )
        model = ModelConfig(ref=str(word_model_dir))
        config = MixNode(
            mix=MixConfig(**mix), model=model, max_length=max_length, seed=seed, rows=rows, objective=objective
        )
        return Ready(config, inputs, context, said)

    return lay_out


@pytest.fixture
def mix(prepare: Callable[..., Ready]) -> Callable[..., Mixed]:
    def run_on(*arguments: Any, **settings: Any) -> Mixed:
        ready = prepare(*arguments, **settings)
        outcome = STAGE.run(ready.config, ready.inputs, ready.context)
        assert isinstance(outcome, Done)
        rows = list(read_rows(ready.context.out_dir / "train.jsonl", Record))
        return Mixed(outcome, rows, read_model(ready.context.out_dir / "shares.json", MixSummary), ready.said)

    return run_on
