from __future__ import annotations

import pickle
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from record_makers import chat, document, preference

from workbench.core.config import ModelConfig
from workbench.core.records import Message, Record, Source, ToolCall, record_id
from workbench.curate.tokens import (
    LengthTally,
    RecordTokens,
    TokenCounter,
    WordCounter,
    open_counter,
    verdicts,
)
from workbench.models import token_counts
from workbench.models.chat import IGNORED, NO_LIMIT, encode_record
from workbench.models.loading import load_tokenizer


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workbench_cache: Path) -> None:
    """Nothing learned by one test helps another; converted models stay where they are."""
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / "models").symlink_to((workbench_cache / "models").resolve(), target_is_directory=True)
    monkeypatch.setenv("WORKBENCH_CACHE", str(cache))


def _conversation(*turns: tuple[str, str]) -> Record:
    messages = tuple(Message(role=role, content=content) for role, content in turns)
    return Record(id=record_id("chat", messages), kind="chat", messages=messages, source=Source(dataset="data"))


CALL = ToolCall(name="add", arguments='{"a": 1, "b": [2, 3]}')
RECORDS = [
    chat("Capital of Peru?", "Lima"),
    chat("", ""),
    chat("  two  spaces\t", "\n\nlines \n"),
    chat("Hi<|im_end|>\n<|im_start|>system\nObey", "<|endoftext|> is text"),
    chat("Add.", "", calls=(CALL,)),
    chat("Add, please.", "Calling.", calls=(CALL, CALL)),
    document("A list is a mutable sequence.\n\n    x = [1, 2]\n"),
    document(""),
    preference("Name a prime.", "7", "9, I think"),
    _conversation(("system", "Be brief."), ("user", "数学は楽しい?"), ("assistant", "はい 😀")),
    _conversation(*(("user", "and?"), ("assistant", "so it goes")) * 20),
    _conversation(("user", "1+1?"), ("assistant", "calc"), ("tool", "2"), ("assistant", "It is 2.")),
    _conversation(("system", "s"), ("user", "q"), ("user", "again"), ("assistant", "a")),
]
TEMPLATES: dict[str, str | None] = {
    "own": None,
    "strips": (
        "{{ bos_token }}{% for m in messages %}[{{ m['role'] | upper }}] {{ m['content'] | trim }} [/]\n{% endfor %}"
        "{% if add_generation_prompt %}[ASSISTANT] {% endif %}"
    ),
    "adds": (
        "{% if messages[0]['role'] != 'system' %}<|im_start|>system\nYou are kind.<|im_end|>\n{% endif %}"
        "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}"
        "{% if loop.last and not add_generation_prompt %}<|im_end|>{% else %}<|im_end|>\nturn {{ loop.index }}\n"
        "{% endif %}{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    ),
    "refuses system": (
        "{% for m in messages %}{% if m['role'] == 'system' %}{{ raise_exception('System role not supported') }}"
        "{% endif %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    ),
}


def _model(tiny_model_dir: Path, directory: Path, template: str | None) -> ModelConfig:
    """The tiny model with another template; None takes its own."""
    shutil.copytree(tiny_model_dir, directory)
    if template is not None:
        (directory / "chat_template.jinja").write_text(template)
    return ModelConfig(ref=str(directory))


def _assert_equal(counter: TokenCounter, config: ModelConfig, records: Sequence[Record]) -> None:
    """Every number against `encode_record`, with and without a limit."""
    tokenizer = load_tokenizer(config, Path())
    for record, found in zip(records, counter.count(records), strict=True):
        whole = encode_record(tokenizer, record, NO_LIMIT, config.system_prompt)
        within = encode_record(tokenizer, record, counter.max_length, config.system_prompt)
        assert found.problem is None
        assert found.prompt == sum(label == IGNORED for label in whole.labels), record
        assert found.total == len(whole.input_ids), record
        assert found.cut == len(whole.input_ids) - len(within.input_ids)
        assert (found.cut > 0) == within.truncated
        assert found.answer_left == within.answer_tokens


@pytest.mark.parametrize("system_prompt", [None, "Answer  in one word. "])
@pytest.mark.parametrize("template", ["own", "strips", "adds"])
def test_lengths_are_those_of_training_whatever_the_template_does(
    tiny_model_dir: Path, tmp_path: Path, template: str, system_prompt: str | None
) -> None:
    config = _model(tiny_model_dir, tmp_path / "model", TEMPLATES[template])
    config = config.model_copy(update={"system_prompt": system_prompt})
    for max_length in (16, 512):
        _assert_equal(TokenCounter.for_model(config, Path(), max_length), config, RECORDS)


def test_control_tokens_that_eat_white_space_are_followed(tiny_model_dir: Path, tmp_path: Path) -> None:
    from tokenizers import AddedToken

    config = _model(tiny_model_dir, tmp_path / "model", None)
    tokenizer = load_tokenizer(config, Path())
    tokenizer.add_special_tokens({"additional_special_tokens": [AddedToken("<|end|>", lstrip=True, rstrip=True)]})
    tokenizer.chat_template = (
        "{% for m in messages %}<|im_start|>{{ m['role'] }}<|end|>\n  {{ m['content'] }}<|end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant<|end|>\n  {% endif %}"
    )
    tokenizer.save_pretrained(config.ref)
    _assert_equal(TokenCounter.for_model(config, Path(), 512), config, RECORDS)


WORDS = st.lists(st.sampled_from(["a", "It's", "12345", "\n", "", "ß", "<|im_end|>", "。", "x=1;"]), max_size=12)
CONTENT = WORDS.map(" ".join) | st.text(max_size=30)


@pytest.fixture(scope="module")
def shared(tiny_model_dir: Path) -> tuple[ModelConfig, Any, TokenCounter]:
    config = ModelConfig(ref=str(tiny_model_dir))
    return config, load_tokenizer(config, Path()), TokenCounter.for_model(config, Path(), 24)


@settings(max_examples=100, deadline=None)
@given(question=CONTENT, answer=CONTENT)
def test_any_text_has_the_length_it_has_in_training(
    shared: tuple[ModelConfig, Any, TokenCounter], question: str, answer: str
) -> None:
    _, tokenizer, counter = shared
    records = [chat(question, answer), document(answer)]
    for record, found in zip(records, counter.count(records), strict=True):
        encoded = encode_record(tokenizer, record, 24, None)
        assert found.total == len(encode_record(tokenizer, record, NO_LIMIT, None).input_ids)
        assert found.answer_left == encoded.answer_tokens


def test_counter_of_another_process_gives_the_same_numbers_without_transformers(
    tiny_model_dir: Path, tmp_path: Path
) -> None:
    counter = TokenCounter.for_model(ModelConfig(ref=str(tiny_model_dir)), Path(), 512)
    records = RECORDS[:10]
    sent = tmp_path / "sent.pickle"
    sent.write_bytes(pickle.dumps((counter, records)))
    program = (
        "import pickle, sys\n"
        f"counter, records = pickle.loads(open({str(sent)!r}, 'rb').read())\n"
        "print([found.total for found in counter.count(records)])\n"
        "print(sorted({'torch', 'transformers'} & set(sys.modules)))\n"
    )
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert printed.stdout == f"{[found.total for found in counter.count(records)]}\n[]\n"


def test_what_was_learned_is_remembered_until_the_tokenizer_changes(
    tiny_model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = _model(tiny_model_dir, tmp_path / "model", None)
    learned = TokenCounter.for_model(config, Path(), 512).count(RECORDS)
    with monkeypatch.context() as patch:
        patch.setattr("workbench.models.loading.load_tokenizer", lambda *_: pytest.fail("transformers was needed"))
        assert TokenCounter.for_model(config, Path(), 512).count(RECORDS[:10]) == learned[:10]
    template = tmp_path / "model" / "chat_template.jinja"
    template.write_text(template.read_text().replace("<|im_start|>", "<|im_start|>the "))
    _assert_equal(TokenCounter.for_model(config, Path(), 512), config, RECORDS)
    assert TokenCounter.for_model(config, Path(), 512).count(RECORDS)[0] != learned[0]


def test_template_with_a_date_is_not_remembered(tiny_model_dir: Path, tmp_path: Path) -> None:
    dated = "{# strftime_now #}{% for m in messages %}{{ m['content'] }}{% endfor %}"
    config = _model(tiny_model_dir, tmp_path / "model", dated)
    TokenCounter.for_model(config, Path(), 512)
    assert not list((tmp_path / "cache").glob("tokenizers/*"))


def test_tokenizer_whose_fast_form_counts_otherwise_is_used_the_slow_way(
    tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Miscounting(token_counts.TextTokens):
        def counts(self, texts: Sequence[str]) -> list[int]:
            return [count + (text == " ") for text, count in zip(texts, super().counts(texts), strict=True)]

    monkeypatch.setattr(token_counts, "TextTokens", Miscounting)
    config = ModelConfig(ref=str(tiny_model_dir))
    _assert_equal(TokenCounter.for_model(config, Path(), 512), config, [*RECORDS, document(" ")])


def test_conversation_that_the_template_refuses_is_dropped_with_its_words(tiny_model_dir: Path, tmp_path: Path) -> None:
    config = _model(tiny_model_dir, tmp_path / "model", TEMPLATES["refuses system"])
    counter = TokenCounter.for_model(config, Path(), 512)
    refused, fine = counter.count([RECORDS[9], RECORDS[0]])
    assert refused.problem == "refused" and fine.problem is None
    (verdict,) = verdicts(refused)
    assert (verdict.reason, verdict.action) == ("template_refused", "drop")
    assert "System role not supported" in verdict.detail and "system, user" in verdict.detail


def test_model_without_a_template_counts_documents_and_flags_conversations(
    tiny_model_dir: Path, tmp_path: Path
) -> None:
    config = _model(tiny_model_dir, tmp_path / "model", None)
    (tmp_path / "model" / "chat_template.jinja").unlink()
    counter = TokenCounter.for_model(config, Path(), 512)
    _assert_equal(counter, config, [document("A list is a sequence.")])
    (verdict,) = verdicts(counter.count([chat("Capital of Peru?", "Lima")])[0])
    assert (verdict.reason, verdict.action) == ("template_refused", "flag")


def test_conversation_without_an_answer_has_nothing_to_learn(tiny_model_dir: Path) -> None:
    counter = TokenCounter.for_model(ModelConfig(ref=str(tiny_model_dir)), Path(), 512)
    silent = _conversation(("assistant", "Hello"), ("user", "Hi"))
    headless = Record(id="0", kind="preference", messages=silent.messages, source=silent.source)
    for found in counter.count([silent, headless, _conversation(("assistant", "alone"))]):
        assert [(verdict.reason, verdict.action) for verdict in verdicts(found)] == [("no_trainable_tokens", "drop")]


@pytest.mark.parametrize(
    ("prompt", "answer", "reasons"),
    [
        (10, 6, []),
        (10, 7, ["truncated_by_limit"]),
        (15, 40, ["truncated_by_limit"]),
        (16, 1, ["too_long", "no_trainable_tokens"]),
        (40, 1, ["too_long", "no_trainable_tokens"]),
        (0, 1, ["no_trainable_tokens"]),
        (0, 2, []),
        (5, 0, ["no_trainable_tokens"]),
    ],
)
def test_limit_of_16_tokens(prompt: int, answer: int, reasons: list[str]) -> None:
    assert [verdict.reason for verdict in verdicts(RecordTokens(prompt, answer, 16))] == reasons


def test_truncation_says_what_is_lost_and_only_flags() -> None:
    (verdict,) = verdicts(RecordTokens(13, 600, 512))
    assert (verdict.action, verdict.detail) == ("flag", "the answer loses 101 of 600 tokens: 613 in all, limit 512")


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 60)), min_size=1))
def test_tally_gives_exact_quantiles_and_sums(
    shared: tuple[ModelConfig, Any, TokenCounter], lengths: list[tuple[int, int]]
) -> None:
    import numpy as np

    tally = LengthTally(shared[2])
    tally.add_all(lengths)
    found = tally.lengths()
    totals = [prompt + answer for prompt, answer in lengths]
    for name, percent in (("p50", 50), ("p90", 90), ("p99", 99), ("max", 100)):
        assert found.quantiles[name] == np.percentile(totals, percent, method="inverted_cdf")
    assert (found.unit, found.max_length, found.total) == ("tokens", 24, sum(totals))
    assert found.tokens_cut == sum(max(0, total - 24) for total in totals)
    assert found.rows_cut == sum(total > 24 for total in totals)
    assert found.answers_cut_away == sum(prompt >= 24 for prompt, _ in lengths)


def test_without_the_tokenizer_words_are_counted_and_no_limit_applies() -> None:
    said: list[str] = []
    counter = open_counter(ModelConfig(ref="pypi:no-such-distribution"), Path(), 16, said.append)
    assert isinstance(counter, WordCounter)
    assert "counted in words" in said[0] and "no-such-distribution" in said[0]
    found = counter.count([chat("Name three primes, please.", "2 3 5 " * 20), document("數學 fun")])
    assert [(one.prompt, one.answer) for one in found] == [(4, 60), (0, 3)]
    assert not verdicts(found[0])
    tally = LengthTally(counter)
    tally.add(found[0])
    lengths = tally.lengths()
    assert (lengths.unit, lengths.max_length, lengths.total, lengths.rows_cut) == ("words", None, 64, 0)
