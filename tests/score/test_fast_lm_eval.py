"""`hf-fast` against lm-eval's own `hf` model: same weights, same requests, families, adapters and precisions."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workbench.core.config import ModelConfig, Precision
from workbench.models import shared_prefix
from workbench.models.loading import LoadedModel, load

FAMILIES = ["Llama", "Qwen2", "Mistral", "Gemma2", "Phi3", "GPT2"]
FALL_BACK = {"Gemma2": "head", "Mistral": "window"}
"""Soft-capped logits, and a window shorter than the longest row below."""
WORDS = ["the", "of", "a", "Straße", "你好", "café", "if(", "){", "\n", "12", "3.5", "🙂", "Lima", "Quito", ""]


@pytest.fixture(scope="module")
def family(tiny_model_dir: Path) -> Callable[[str], Any]:
    """Random two-layer models in fp32, made once."""
    import transformers

    made: dict[str, Any] = {}
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny_model_dir)
    ids = {"vocab_size": len(tokenizer), "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2}

    def make(name: str) -> tuple[Any, Any]:
        if name not in made:
            sizes: dict[str, Any] = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2}
            sizes |= {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 256}
            sizes |= {"head_dim": 16} if name == "Gemma2" else {}
            sizes |= {"sliding_window": 24} if name == "Mistral" else {}
            sizes = {"n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 256} if name == "GPT2" else sizes
            kind = "GPT2LMHeadModel" if name == "GPT2" else f"{name}ForCausalLM"
            with torch.random.fork_rng():
                torch.manual_seed(1)
                made[name] = getattr(transformers, kind)(getattr(transformers, f"{name}Config")(**ids, **sizes)).eval()
            # weights of a fresh model are so small that every token is equally likely: masks would not matter
            with torch.no_grad():
                for parameter in made[name].parameters():
                    if parameter.ndim == 2:
                        parameter.mul_(4)
        return made[name], tokenizer

    return make


def both(model: Any, tokenizer: Any, **options: Any) -> tuple[Any, Any]:
    """Stock and fast around the same model."""
    from lm_eval.models.huggingface import HFLM

    from workbench.score.hf_fast import FastHFLM

    given = {"tokenizer": tokenizer, "batch_size": 4, "softmax_dtype": "float32", "max_length": 200, **options}
    return HFLM(model, **given), FastHFLM(model, **given)


def request(kind: str, *arguments: Any) -> Any:
    from lm_eval.api.instance import Instance

    return Instance(request_type=kind, doc={}, arguments=arguments, idx=0)


def choice_requests(shots: int) -> list[Any]:
    """Six documents: shared beginnings, a choice that begins another, one twice, one token, long ones, no context."""
    rng = random.Random(shots)
    examples = "".join(f"Question {number}: " + " ".join(rng.choices(WORDS, k=8)) + "\n" for number in range(shots))
    found = []
    for number in range(6):
        context = examples + " ".join(rng.choices(WORDS, k=1 + number * 3))
        choices = [" Lima", " Lima and", " Lima and Quito", " Lima", " 你", " " + " ".join(rng.choices(WORDS, k=12))]
        found += [request("loglikelihood", context, choice) for choice in choices]
    found += [request("loglikelihood", "", choice) for choice in (" Lima", "Lima and", "x")]
    found.append(request("loglikelihood", "word " * 200, " Lima"))
    return found


def assert_equal(found: list[Any], expected: list[Any], within: float) -> None:
    assert [value for value, _ in found] == [pytest.approx(value, abs=within) for value, _ in expected]
    assert [greedy for _, greedy in found] == [greedy for _, greedy in expected]


@pytest.mark.parametrize(("name", "shots"), [*((name, 4) for name in FAMILIES), ("Llama", 0), ("GPT2", 0)])
def test_choices_equal_stock_in_every_family(family: Callable[[str], Any], name: str, shots: int) -> None:
    model, tokenizer = family(name)
    stock, fast = both(model, tokenizer)
    requests = choice_requests(shots)
    expected = stock.loglikelihood(requests, disable_tqdm=True)

    assert_equal(fast.loglikelihood(requests, disable_tqdm=True), expected, 2e-4)

    assert (shared_prefix.unsupported(model, 200) is not None) == (name in FALL_BACK)
    assert len({round(value, 3) for value, _ in expected}) > 20, "equal numbers would prove little"


def test_the_fast_way_reads_far_fewer_tokens(family: Callable[[str], Any]) -> None:
    model, tokenizer = family("Llama")
    read: list[int] = []
    hook = model.model.embed_tokens.register_forward_hook(lambda layer, inputs, out: read.append(out.shape[:2].numel()))
    counts = []
    for side in both(model, tokenizer):
        read.clear()
        side.loglikelihood(choice_requests(4), disable_tqdm=True)
        counts.append(sum(read))
    hook.remove()
    assert counts[0] > 2 * counts[1], "the check against stock is counted, too"


@pytest.mark.parametrize("name", ["Llama", "GPT2", "Gemma2"])
def test_rolling_windows_equal_stock(family: Callable[[str], Any], name: str) -> None:
    stock, fast = both(*family(name), max_length=40)
    texts = [" ".join(random.Random(seed).choices(WORDS, k=length)) for seed, length in enumerate((1, 30, 90, 200))]
    requests = [request("loglikelihood_rolling", text) for text in texts]

    expected = stock.loglikelihood_rolling(requests, disable_tqdm=True)

    assert fast.loglikelihood_rolling(requests, disable_tqdm=True) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("name", ["Llama", "GPT2", "Qwen2", "Mistral"])
def test_greedy_answers_equal_stock(family: Callable[[str], Any], name: str) -> None:
    model, tokenizer = family(name)
    contexts = [f"{'Example: Lima is a city. ' * shots}{word} {word}" for shots in (0, 6) for word in WORDS if word]
    stock, fast = both(model, tokenizer)
    free = [request("generate_until", context, {"until": [], "max_gen_toks": 10}) for context in contexts]
    expected = stock.generate_until(free, disable_tqdm=True)
    assert fast.generate_until(free, disable_tqdm=True) == expected
    stops = sorted({answer[3:5] for answer in expected if len(answer) > 8})[:4]
    stopped = [
        request("generate_until", context, {"until": stops, "max_gen_toks": 10, "do_sample": False})
        for context in [*contexts, "word " * 200]
    ]

    answers = fast.generate_until(stopped, disable_tqdm=True)

    assert answers == stock.generate_until(stopped, disable_tqdm=True)
    assert answers[:-1] != expected, "no stop sequence was met"


def test_sampled_answers_are_left_to_stock(family: Callable[[str], Any]) -> None:
    stock, fast = both(*family("Llama"))
    sampled = [request("generate_until", "Lima", {"until": ["\n"], "max_gen_toks": 8, "do_sample": True,
                                                  "temperature": 1.0})]  # fmt: skip
    torch.manual_seed(3)
    expected = stock.generate_until(sampled, disable_tqdm=True)
    torch.manual_seed(3)
    assert fast.generate_until(sampled, disable_tqdm=True) == expected


@pytest.mark.parametrize("kind", ["lora", "prompt"])
def test_adapters_equal_stock(family: Callable[[str], Any], kind: str) -> None:
    import copy

    import peft

    base, tokenizer = family("Llama")
    settings: Any = (
        peft.LoraConfig(target_modules="all-linear", init_lora_weights=False, r=4, task_type="CAUSAL_LM")
        if kind == "lora"
        else peft.PromptTuningConfig(num_virtual_tokens=5, task_type="CAUSAL_LM")
    )
    with torch.random.fork_rng():
        torch.manual_seed(2)
        model = peft.get_peft_model(copy.deepcopy(base), settings).eval()
    stock, fast = both(model, tokenizer)
    requests = choice_requests(4)
    expected = stock.loglikelihood(requests, disable_tqdm=True)

    assert_equal(fast.loglikelihood(requests, disable_tqdm=True), expected, 2e-4)

    without = both(base, tokenizer)[0].loglikelihood(requests, disable_tqdm=True)
    assert max(abs(one[0] - other[0]) for one, other in zip(expected, without, strict=True)) > 0.1


@pytest.mark.parametrize("precision", ["bf16", "nf4"])
def test_half_precision_stays_fast_and_near_stock(tiny_model_dir: Path, precision: Precision) -> None:
    loaded = load(ModelConfig(ref=str(tiny_model_dir)), precision, Path())
    stock, fast = both(loaded.model, loaded.tokenizer)
    said: list[str] = []
    fast.warn = said.append
    requests = choice_requests(4)
    expected = stock.loglikelihood(requests, disable_tqdm=True)

    found = fast.loglikelihood(requests, disable_tqdm=True)

    assert said == []
    assert [value for value, _ in found] == pytest.approx([value for value, _ in expected], abs=0.3)


_TEXT = st.text(alphabet="ab Łé你🙂\n", min_size=1, max_size=12)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(_TEXT, st.lists(_TEXT, min_size=1, max_size=4)), min_size=1, max_size=5), st.booleans())
def test_any_texts_equal_stock(
    tiny: LoadedModel, documents: list[tuple[str, list[str]]], after_examples: bool
) -> None:
    stock, fast = both(tiny.model, tiny.tokenizer, max_length=48)
    examples = "One, two, three. " * 6 if after_examples else ""
    requests = [
        request("loglikelihood", f"{examples}{context}Q", f" {choice}x") for context, choices in documents
        for choice in choices
    ]  # fmt: skip
    expected = stock.loglikelihood(requests, disable_tqdm=True)
    assert_equal(fast.loglikelihood(requests, disable_tqdm=True), expected, 2e-4)


def test_a_model_that_disagrees_is_scored_by_stock_and_said(
    family: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    import copy

    from workbench.models import tree_likelihood

    base, tokenizer = family("Llama")
    stock, fast = both(copy.deepcopy(base), tokenizer)
    said: list[str] = []
    fast.warn = said.append
    monkeypatch.setattr(tree_likelihood, "_additive", lambda mask, dtype: torch.zeros(mask.shape, dtype=dtype))
    requests = choice_requests(0)

    found = fast.loglikelihood(requests, disable_tqdm=True)
    fast.loglikelihood(requests, disable_tqdm=True)

    assert found == stock.loglikelihood(requests, disable_tqdm=True)
    assert len(said) == 1
    assert "falls back to lm-eval's own code" in said[0]


@pytest.mark.slow
def test_the_registered_name_works_on_lm_evals_own_command_line(tiny_model_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "task.yaml").write_text(
        "task: tiny_task\ndataset_path: json\n"
        f"dataset_kwargs: {{data_files: {{test: {tmp_path / 'rows.jsonl'}}}, cache_dir: {tmp_path / 'cache'}}}\n"
        "test_split: test\noutput_type: multiple_choice\ndoc_to_text: '{{question}}'\ndoc_to_choice: choices\n"
        "doc_to_target: answer\nmetric_list: [{metric: acc}]\n"
    )
    row = {"question": "Grass is", "choices": ["red", "green"], "answer": 1}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n")
    arguments = ["run", "--model", "hf-fast", "--model_args", f"pretrained={tiny_model_dir},dtype=float32", "--tasks",
                 "tiny_task", "--include_path", str(tmp_path), "--output_path", str(tmp_path / "out"),
                 "--device", "cpu"]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "workbench.score.hf_fast", *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    (written,) = (tmp_path / "out").rglob("results_*.json")
    assert json.loads(written.read_text())["config"]["model"] == "hf-fast"
