from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from endpoints.asking import open_on
from endpoints.scripted_server import ScriptedServer, Step, echoes, says, status

from workbench.core.config import ModelConfig
from workbench.endpoints.echo import TEXT, EchoCheck, check_echo
from workbench.models.loading import LoadedModel, load


@pytest.fixture(scope="module")
def local(tiny_model_dir: Path) -> LoadedModel:
    return load(ModelConfig(ref=str(tiny_model_dir)), "bf16", Path())


@pytest.fixture(scope="module")
def truth(tiny_model_dir: Path, local: LoadedModel) -> tuple[list[str], Any]:
    """Tokens of the text and `[n, vocabulary]` log-probabilities after each, by the stock model in fp32."""
    import torch
    from transformers import AutoModelForCausalLM

    ids = local.tokenizer(TEXT)["input_ids"]
    model = AutoModelForCausalLM.from_pretrained(tiny_model_dir, dtype=torch.float32).eval()
    with torch.no_grad():
        logprobs = model(torch.tensor([ids])).logits[0].log_softmax(-1)
    return [local.tokenizer.decode([token]) for token in ids], [logprobs[:, token].tolist() for token in ids]


def checked(step: Step, directory: Path, local: LoadedModel | None) -> EchoCheck:
    with ScriptedServer(lambda _r, _n: step) as server:
        check = check_echo(open_on(server.url, directory), local)
    assert server.requests[0]["prompt"] == TEXT and server.requests[0]["echo"] is True
    return check


def test_a_server_whose_values_belong_to_their_tokens_is_right(
    tmp_path: Path, local: LoadedModel, truth: tuple[list[str], Any]
) -> None:
    tokens, after = truth
    right = [None, *(after[place][place - 1] for place in range(1, len(tokens)))]
    assert checked(echoes(tokens, right), tmp_path, local).state == "right"
    # with the token that follows the prompt
    assert checked(echoes([*tokens, "x"], [*right, -2.0]), tmp_path, local).state == "right"


def test_a_server_that_reads_each_token_a_place_too_late_is_shifted(
    tmp_path: Path, local: LoadedModel, truth: tuple[list[str], Any]
) -> None:
    tokens, after = truth
    late = [None, *(after[place][place] for place in range(1, len(tokens)))]
    check = checked(echoes(tokens, late), tmp_path, local)
    assert check.state == "shifted" and "off by one" in check.remark


@pytest.mark.parametrize("by", [1, -1])
def test_a_list_moved_by_one_place_is_shifted(
    tmp_path: Path, local: LoadedModel, truth: tuple[list[str], Any], by: int
) -> None:
    tokens, after = truth
    right = [0.0, *(after[place][place - 1] for place in range(1, len(tokens)))]
    moved: list[float | None] = [None, *right[1:][by:], *right[1:][:by]]
    assert checked(echoes(tokens, moved), tmp_path, local).state == "shifted"


def test_another_model_is_told_from_a_shift(
    tmp_path: Path, local: LoadedModel, truth: tuple[list[str], Any]
) -> None:
    tokens, _ = truth
    other = checked(echoes(tokens, [None, *[-3.0] * (len(tokens) - 1)]), tmp_path, local)
    assert other.state == "unlike" and "not the local model's" in other.remark
    words = TEXT.split(" ")
    split = checked(echoes(words, [None, *[-3.0] * (len(words) - 1)]), tmp_path, local)
    assert split.state == "unlike" and "tokens" in split.remark


@pytest.mark.parametrize(("third_time", "state"), [(-0.2, "right"), (-11.0, "shifted"), (-2.2, "unsure")])
def test_without_weights_words_said_for_the_third_time_tell(tmp_path: Path, third_time: float, state: str) -> None:
    words = [f"{word} " for word in TEXT.split(" ")]
    words[-1] = words[-1].strip()
    third = len(words) // 3
    logprobs = [None, *[-9.0] * (2 * third - 1), *[third_time] * third]
    assert checked(echoes(words, logprobs), tmp_path, None).state == state


@pytest.mark.parametrize("everywhere", [0.0, -0.7])
def test_one_value_for_every_token_is_no_proof(tmp_path: Path, everywhere: float) -> None:
    words = TEXT.replace(" ", " \0").split("\0")
    assert checked(echoes(words, [None, *[everywhere] * (len(words) - 1)]), tmp_path, None).state == "unsure"


@pytest.mark.parametrize(
    "step",
    [
        status(404, "no such path"),
        status(500),
        says("prose"),
        echoes(["a", "b"], [None]),
        echoes([TEXT[:200], TEXT[200:]], [None, float("nan")]),
        echoes([TEXT[:200], TEXT[200:]], [None, 5.0]),
        Step(b'{"choices": [{"logprobs": {"tokens": "ab", "token_logprobs": 3}}]}'),
        Step(b"<html></html>"),
    ],
)
def test_a_server_without_them_or_with_nonsense_has_none(tmp_path: Path, step: Step) -> None:
    assert checked(step, tmp_path, None).state == "absent"
