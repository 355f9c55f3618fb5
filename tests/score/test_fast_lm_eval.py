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
from stock_beside import WORDS, assert_equal, both, choice_requests, request

from workbench.core.config import ModelConfig, Precision
from workbench.models import heads, shared_prefix, tree_attention, tree_likelihood
from workbench.models.choice_tree import plan
from workbench.models.loading import LoadedModel, load
from workbench.score.fast_check import LONGEST_MADE, made_requests

FAMILIES = ["Llama", "Qwen2", "Mistral", "Gemma2", "Phi3", "GPT2", "GPTNeo", "Falcon", "DeepseekV3", "GptOss"]
FALL_BACK = {"Gemma2": "hidden states", "Mistral": "looks back", "GPTNeo": "replaced", "Falcon": "replaced"}
FALL_BACK |= {"GptOss": "sinks"}
"""Soft-capped logits, a window shorter than the longest row below, attention of the model's own making, sinks."""
@pytest.mark.parametrize(("name", "shots"), [*((name, 4) for name in FAMILIES), ("Llama", 0), ("GPT2", 0)])
def test_choices_equal_stock_in_every_family(family: Callable[[str], Any], name: str, shots: int) -> None:
    model, tokenizer = family(name)
    stock, fast = both(model, tokenizer)
    requests = choice_requests(shots)
    expected = stock.loglikelihood(requests, disable_tqdm=True)

    assert_equal(fast.loglikelihood(requests, disable_tqdm=True), expected, 2e-4)

    reason = shared_prefix.unsupported(model, 200)
    assert FALL_BACK[name] in str(reason) if name in FALL_BACK else reason is None
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


@pytest.mark.parametrize(
    ("contexts", "until"), [(["", "Lima is a city", "Quito"], ["."]), (["Lima is", "Quito"], ["", "."])],
    ids=["no-context", "empty-stop"],
)  # fmt: skip
def test_what_stock_answers_by_its_padding_or_at_once_is_left_to_it(
    family: Callable[[str], Any], contexts: list[str], until: list[str]
) -> None:
    stock, fast = both(*family("Llama"))
    asked = [request("generate_until", context, {"until": until, "max_gen_toks": 8}) for context in contexts]

    expected = stock.generate_until(asked, disable_tqdm=True)

    assert fast.generate_until(asked, disable_tqdm=True) == expected


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


def letter_requests(shots: int) -> list[Any]:
    """Four documents after the same examples, whose choices have one token: no branches, and none shared by few."""
    examples = "".join(f"Question {number}: {word} {word}? A\n" for number, word in enumerate(WORDS[:shots]))
    contexts = [f"{examples}Question: {' '.join(WORDS[number : number + 5])}?" for number in range(4)]
    return [request("loglikelihood", context, letter) for context in contexts for letter in (" A", " B", " C", " D")]


BREAKS: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "mask": lambda monkeypatch: monkeypatch.setattr(
        tree_attention, "_additive", lambda mask, dtype: torch.zeros(mask.shape, dtype=dtype)
    ),
    "prefix": lambda monkeypatch: monkeypatch.setattr(
        tree_likelihood, "Prefix", lambda model, ids: shared_prefix.Prefix(model, ids[::-1])
    ),
}


@pytest.mark.parametrize("broken", BREAKS)
@pytest.mark.parametrize(("made", "shots"), [(choice_requests, 0), (letter_requests, 0), (letter_requests, 5)])
def test_a_model_that_disagrees_is_scored_by_stock_and_said(
    family: Callable[[str], Any],
    monkeypatch: pytest.MonkeyPatch,
    broken: str,
    made: Callable[[int], list[Any]],
    shots: int,
) -> None:
    import copy

    base, tokenizer = family("Llama")
    stock, fast = both(copy.deepcopy(base), tokenizer)
    said: list[str] = []
    fast.warn = said.append
    BREAKS[broken](monkeypatch)
    requests = made(shots)

    found = fast.loglikelihood(requests, disable_tqdm=True)
    fast.loglikelihood(requests, disable_tqdm=True)

    assert found == stock.loglikelihood(requests, disable_tqdm=True)
    assert len(said) == 1
    assert "falls back to lm-eval's own code" in said[0]


@pytest.mark.parametrize(
    "own",
    [
        [([5], [6])],
        [([5] * 30, [6] * 9)] * 8,
        [(list(range(100, 160 + number)), [7, 8, number]) for number in range(8)],
        [([number], list(range(200))) for number in range(8)],
    ],
    ids=["one request", "few tokens", "one beginning", "long texts"],
)
@pytest.mark.parametrize("vocabulary", [30, 50_000])
def test_the_check_reads_a_shared_prefix_and_branches_whatever_is_asked(
    own: list[tuple[list[int], list[int]]], vocabulary: int
) -> None:
    requests = [(None, *pair) for pair in own]
    asked = requests + made_requests(requests, vocabulary)
    groups = plan([(context, continuation) for _, context, continuation in asked], 2048)

    after_prefix = [row for group in groups if group.prefix for rows in group.batches for row in rows]
    assert any(len(row.branches) > 1 for row in after_prefix)
    assert max(len(context) + len(continuation) for _, context, continuation in made_requests([], 64)) == LONGEST_MADE


def test_answers_too_are_left_to_stock_by_a_model_that_disagrees(
    family: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    import copy

    base, tokenizer = family("Llama")
    stock, fast = both(copy.deepcopy(base), tokenizer)
    said: list[str] = []
    fast.warn = said.append
    monkeypatch.setattr(tree_likelihood, "Prefix", lambda model, ids: shared_prefix.Prefix(model, ids[::-1]))

    def never(*given: Any) -> None:
        raise AssertionError("the fast way was taken")

    monkeypatch.setattr("workbench.score.hf_fast.greedy_ids", never)
    requests = [request("generate_until", f"{word} {word} {word}", {"until": ["\n"], "max_gen_toks": 4})
                for word in WORDS if word]  # fmt: skip

    assert fast.generate_until(requests, disable_tqdm=True) == stock.generate_until(requests, disable_tqdm=True)
    assert len(said) == 1


@pytest.mark.parametrize("softmax_dtype", ["bfloat16", None])
def test_another_softmax_is_left_to_stock(tiny_model_dir: Path, softmax_dtype: str | None) -> None:
    loaded = load(ModelConfig(ref=str(tiny_model_dir)), "bf16", Path())
    stock, fast = both(loaded.model, loaded.tokenizer, softmax_dtype=softmax_dtype)
    requests = choice_requests(0)

    assert fast.loglikelihood(requests, disable_tqdm=True) == stock.loglikelihood(requests, disable_tqdm=True)


@pytest.mark.parametrize("tokens", [0, 41])
def test_what_stock_refuses_to_score_is_refused(family: Callable[[str], Any], tokens: int) -> None:
    for side in both(*family("Llama"), max_length=40):
        side._loglikelihood_tokens([(("a", "b"), [5], [6] * 40)], True)
        with pytest.raises(AssertionError):
            side._loglikelihood_tokens([(("a", "b"), [5], [6] * tokens)], True)


SIZES = {"vocab_size": 200, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
         "num_attention_heads": 2, "num_key_value_heads": 2, "bos_token_id": 1, "eos_token_id": 2,
         "pad_token_id": 2}  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "longest"), [("default", None), ("dynamic", 128), ("longrope", 64), ("yarn", None)]
)
def test_positions_that_change_with_the_length_are_left_to_stock_beyond_it(kind: str, longest: int | None) -> None:
    import transformers

    rope: dict[str, Any] = {"rope_type": kind, "rope_theta": 10000.0}
    if kind == "longrope":
        rope |= {"short_factor": [1.0] * 8, "long_factor": [4.0] * 8, "original_max_position_embeddings": 64}
    elif kind != "default":
        rope |= {"factor": 4.0}
    config = transformers.LlamaConfig(**SIZES, max_position_embeddings=128, rope_parameters=rope)
    model = transformers.LlamaForCausalLM(config)

    assert shared_prefix.unsupported(model, longest or 128) is None
    assert (shared_prefix.unsupported(model, (longest or 128) + 1) is None) == (longest is None)


def test_a_soft_cap_under_another_name_keeps_head_and_body_together() -> None:
    import transformers

    sizes = {name: size for name, size in SIZES.items() if name != "num_key_value_heads"}
    config = transformers.RecurrentGemmaConfig(**{**sizes, "num_hidden_layers": 3, "lru_width": 32})
    assert not heads.separable(transformers.RecurrentGemmaForCausalLM(config))


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
