"""Ollama's template says what the chat template says; vLLM's command line is one."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from workbench.adapters.export.modelfile import ollama_modelfile, own_system_prompt, vllm_adapter, vllm_merged
from workbench.core.config import ModelConfig
from workbench.models.loading import load_tokenizer

LLAMA3 = (
    "{% for message in messages %}{% set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' + "
    "message['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}{% set content = bos_token + content %}"
    "{% endif %}{{ content }}{% endfor %}{% if add_generation_prompt %}"
    "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
GEMMA = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}"
    "{% endif %}{% for message in messages %}{% set role = 'model' if message['role'] == 'assistant' else "
    "message['role'] %}{{ '<start_of_turn>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<start_of_turn>model\n' }}{% endif %}"
)
FOLDED = (
    "{% set system = messages[0]['content'] if messages[0]['role'] == 'system' else '' %}{{ bos_token }}"
    "{% for message in messages %}{% if message['role'] == 'user' %}{{ '[INST] ' + (system + '\n\n' if system and "
    "loop.index0 == 1 else '') + message['content'] + ' [/INST]' }}{% elif message['role'] == 'assistant' %}"
    "{{ message['content'] + eos_token }}{% endif %}{% endfor %}"
)
PLAIN_CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


@pytest.fixture
def tokenizer(tiny_model_dir: Path) -> Any:
    return load_tokenizer(ModelConfig(ref=str(tiny_model_dir)), Path())


def template_of(modelfile: str) -> str:
    found = re.search(r'^TEMPLATE """(.*?)"""$', modelfile, re.DOTALL | re.MULTILINE)
    assert found, modelfile
    return found[1]


def rendered_by_go(template: str, turns: list[tuple[str, str]]) -> str:
    """Runs the part of Go's template language used here: range, if and else if on the role, content, quoted text."""
    begin, loop, end = re.fullmatch(
        r"(.*?)\{\{ range \.Messages \}\}(.*)\{\{ end \}\}\{\{ end \}\}(.*)", template, re.DOTALL
    ).groups()
    branches = re.split(r'\{\{ (?:else )?if eq \.Role "(\w+)" \}\}', loop)[1:]
    by_role = dict(zip(branches[::2], branches[1::2], strict=True))
    text = begin + "".join(by_role[role].replace("{{ .Content }}", content) for role, content in turns) + end
    return re.sub(r'\{\{ "(.*?)" \}\}', lambda quoted: quoted[1].replace('\\"', '"'), text)


CONVERSATIONS = [
    [("user", "Hi")],
    [("user", "Hi"), ("assistant", "Yes?"), ("user", "2 + 2?")],
    [("system", "Be brief."), ("user", "Hi"), ("assistant", "Yes?"), ("user", "Bye")],
]


@pytest.mark.parametrize(("template", "system"), [(PLAIN_CHATML, True), (LLAMA3, True), (GEMMA, False)])
def test_the_go_template_renders_what_the_chat_template_renders(template: str, system: bool, tokenizer: Any) -> None:
    tokenizer.chat_template = template
    text, remark = ollama_modelfile(Path("m.gguf"), tokenizer, None, None)
    assert remark == ""
    for turns in CONVERSATIONS if system else CONVERSATIONS[:2]:
        messages = [{"role": role, "content": content} for role, content in turns]
        wanted = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        assert rendered_by_go(template_of(text), turns) == wanted
    assert ('"system"' in template_of(text)) is system


def test_the_beginning_of_text_token_is_left_to_llama_cpp_where_the_tokenizer_adds_it(tokenizer: Any) -> None:
    from tokenizers.processors import TemplateProcessing

    tokenizer.chat_template = LLAMA3
    assert tokenizer.bos_token in template_of(ollama_modelfile(Path("m.gguf"), tokenizer, None, None)[0])
    begin = TemplateProcessing(single="<|im_start|> $A", special_tokens=[("<|im_start|>", 1)])
    tokenizer.backend_tokenizer.post_processor = begin
    assert tokenizer.bos_token not in template_of(ollama_modelfile(Path("m.gguf"), tokenizer, None, None)[0])


def test_a_system_prompt_of_the_template_s_own_is_left_out_and_said(tokenizer: Any) -> None:
    text, _ = ollama_modelfile(Path("m.gguf"), tokenizer, None, None)
    assert "named SmolLM" in tokenizer.chat_template and "named SmolLM" not in text
    assert own_system_prompt(tokenizer)
    tokenizer.chat_template = PLAIN_CHATML
    assert not own_system_prompt(tokenizer)


def test_a_template_that_folds_turns_gets_no_template_line_and_the_reason_is_said(tokenizer: Any) -> None:
    tokenizer.chat_template = FOLDED
    text, remark = ollama_modelfile(Path("m.gguf"), tokenizer, None, None)
    assert "TEMPLATE \"" not in text and "does more than wrap turns" in remark


def test_quotes_and_braces_from_outside_stay_text(tokenizer: Any) -> None:
    text, _ = ollama_modelfile(Path("m.gguf"), tokenizer, 'Say """hi"""\nPARAMETER stop x', 'mit"""\nFROM ./evil.gguf')
    outside = re.sub(r'"""(.*?)"""', "", text, flags=re.DOTALL)
    assert [line.split()[0] for line in outside.splitlines() if line.strip()].count("FROM") == 1
    assert "SYSTEM" in outside and "evil" not in outside


def test_system_prompt_of_training_is_in_the_modelfile(tokenizer: Any) -> None:
    text, _ = ollama_modelfile(Path("m.gguf"), tokenizer, "Answer in one word.", "apache-2.0")
    assert 'SYSTEM """Answer in one word."""' in text and 'LICENSE """apache-2.0"""' in text
    assert 'PARAMETER stop "<|im_end|>"' in text


def test_vllm_command_lines_can_be_pasted() -> None:
    merged = shlex.split(vllm_merged(Path("/models/my support"), "support", "bfloat16", 8192))
    assert merged[:3] == ["vllm", "serve", "/models/my support"]
    assert merged[merged.index("--max-model-len") + 1] == "8192"
    beside = shlex.split(vllm_adapter("org/base", Path("/out"), "support", 12))
    assert beside[beside.index("--max-lora-rank") + 1] == "16" and beside[-1] == "support=/out"
