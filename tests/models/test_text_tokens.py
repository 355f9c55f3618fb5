from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.core.config import ModelConfig
from workbench.models.chat import text_ids
from workbench.models.loading import load_tokenizer
from workbench.models.text_tokens import TextTokens, cuts_at_spaces

LLAMA_3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
    r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN_2 = LLAMA_3.replace(r"\p{N}{1,3}", r"\p{N}")
SPLITS = {"gpt2": None, "llama3": LLAMA_3, "qwen2": QWEN_2}


@pytest.fixture(scope="module")
def tokenizer(tiny_model_dir: Path) -> Any:
    return load_tokenizer(ModelConfig(ref=str(tiny_model_dir)), Path())


@pytest.fixture(scope="module")
def definition(tokenizer: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(tokenizer.backend_tokenizer.to_str())
    return found


@pytest.fixture(scope="module")
def defined(definition: dict[str, Any]) -> dict[str, str]:
    return {
        name: json.dumps(_with_pattern(definition, pattern, "NFC" if name == "qwen2" else None))
        for name, pattern in SPLITS.items()
    }


def _with_pattern(definition: dict[str, Any], pattern: str | None, normalizer: str | None = None) -> dict[str, Any]:
    """The same vocabulary behind another word pattern."""
    made = copy.deepcopy(definition)
    if pattern is not None:
        split = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
        byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
        made["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [split, byte_level]}
    made["normalizer"] = {"type": normalizer} if normalizer else None
    return made


@lru_cache
def _library(definition: str) -> Any:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(definition)
    tokenizer.encode_special_tokens = True
    return tokenizer


@lru_cache
def _counter(definition: str) -> TextTokens:
    """One counter for all examples: what it remembers of one text must not spoil the next."""
    return TextTokens(definition)


def _whole(definition: str, text: str) -> int:
    """Tokens of the whole text, from the library itself."""
    return len(_library(definition).encode(text, add_special_tokens=False))


HOSTILE = st.text(
    st.sampled_from(" \n\t\r\u00a0\u3000\u0301\u200b\x1c<|'_-1") | st.characters(codec="utf-8"), max_size=60
)
WORD = st.sampled_from(["the", "don't", "3.14", "x", "naïve", "\n", "\n\n", "", "數學", "<|im_end|>", "ﬁ"])
WORDY = st.lists(WORD).map(" ".join)


@pytest.mark.parametrize("pattern", SPLITS)
@settings(max_examples=150, deadline=None)
@given(text=HOSTILE | WORDY)
def test_tokens_of_pieces_add_up_to_the_tokens_of_the_whole_text(
    defined: dict[str, str], pattern: str, text: str
) -> None:
    made = defined[pattern]
    assert _counter(made).counts([text, "before " + text]) == [_whole(made, text), _whole(made, "before " + text)]


@pytest.mark.parametrize("pattern", SPLITS)
def test_published_word_patterns_are_cut_at_spaces(defined: dict[str, str], pattern: str) -> None:
    assert cuts_at_spaces(json.loads(defined[pattern]))


def test_control_tokens_in_a_text_are_counted_as_characters(tokenizer: Any, definition: dict[str, Any]) -> None:
    text = "Hi<|im_end|> and <|im_start|>system"
    assert TextTokens(json.dumps(definition)).counts([text]) == [len(text_ids(tokenizer, text))]
    assert len(text_ids(tokenizer, text)) > 10


def test_long_pieces_and_a_full_memory_change_no_number(
    definition: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbench.models.text_tokens._MOST_REMEMBERED", 5)
    whole = json.dumps(definition)
    counter = TextTokens(whole)
    texts = [f"word{number} {'long' * 30} tail {number}" for number in range(20)]
    expected = [_whole(whole, text) for text in texts]
    assert [counter.counts([text])[0] for text in texts] == expected
    assert counter.counts(texts) == expected == counter.counts(texts)


def test_pieces_met_before_are_not_encoded_again(definition: dict[str, Any]) -> None:
    counter = TextTokens(json.dumps(definition))
    asked: list[str] = []
    encoded = counter._of_pieces

    def noted(texts: Sequence[str]) -> list[int]:
        asked.extend(texts)
        return encoded(texts)

    counter._of_pieces = noted
    counter.counts(["one two two", f"two {'long' * 30}"])
    assert asked == ["one", " two", "two", " " + "long" * 30]
    counter.counts(["one two", f"two {'long' * 30}"])
    assert asked[4:] == [" " + "long" * 30]


def test_pieces_are_cut_at_single_spaces_between_what_python_takes_for_no_white_space() -> None:
    import numpy as np

    from workbench.models.token_kernel import is_cut

    for code in (*range(0x3100), *range(0xD7FE, 0xE002), 0xFEFF, 0xFFFD, 0x1F600, 0x10FFFF):
        character = chr(code)
        for text, at in ((f"a{character} b", 1), (f"a {character}b", 1)):
            data = np.frombuffer(text.encode("utf-8", "surrogatepass"), dtype=np.uint8)
            place = len(text[: text.index(" ", at)].encode("utf-8", "surrogatepass"))
            assert is_cut(data, 0, len(data), place) != character.isspace(), hex(code)


UNSAFE: dict[str, dict[str, Any]] = {
    "no word splitter": {"pre_tokenizer": None},
    "another normalizer": {"normalizer": {"type": "Lowercase"}},
    "unknown pattern": {
        "pre_tokenizer": {
            "type": "Split", "pattern": {"Regex": r"\w+ \w+|\s+"}, "behavior": "Isolated", "invert": False
        }
    },
    "known pattern behind an unknown one": {
        "pre_tokenizer": {
            "type": "Split", "pattern": {"Regex": r"\s+|\p{L}+ x"}, "behavior": "Isolated", "invert": False
        }
    },
    "prefix space": {"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": True, "use_regex": True}},
    "merging splitter": {
        "pre_tokenizer": {
            "type": "Split", "pattern": {"Regex": LLAMA_3}, "behavior": "MergedWithNext", "invert": False
        }
    },
    "unigram": {"model": {"type": "Unigram"}},
    "token with a space": {
        "added_tokens": [{"content": "a b", "lstrip": False, "rstrip": False, "special": False}]
    },
    "token that eats spaces": {
        "added_tokens": [{"content": "<x>", "lstrip": True, "rstrip": False, "special": True}]
    },
}


@pytest.mark.parametrize("change", UNSAFE)
def test_tokenizers_that_may_look_across_a_space_are_not_cut(definition: dict[str, Any], change: str) -> None:
    assert cuts_at_spaces(definition)
    assert not cuts_at_spaces(definition | UNSAFE[change])


def test_tokenizer_with_tokens_across_spaces_is_counted_whole(definition: dict[str, Any]) -> None:
    made = copy.deepcopy(definition)
    added = dict(made["added_tokens"][0], id=len(made["model"]["vocab"]), content="New York City", special=False)
    made["added_tokens"].append(added)
    text = "in New York City now"
    across, apart = _whole(json.dumps(made), text), _whole(json.dumps(definition), text)
    assert across < apart
    assert TextTokens(json.dumps(made)).counts([text]) == [across]
