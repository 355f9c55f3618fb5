from __future__ import annotations

import importlib
import json
import shutil
import string
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from workbench.core.errors import PrerequisiteError, UsageError
from workbench.core.records import Message, Record, Source, record_id
from workbench.models.chat import encode_record
from workbench.models.embedding import embed, load_embedder
from workbench.models.refs import resolve
from workbench.models.reward import load_reward_model, rewards

TEXTS = ["How old are you?", "What is your age?", "", "word " * 600, "数学は楽しい"]
LETTERS = string.ascii_lowercase
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "?", ".", *LETTERS, *("##" + letter for letter in LETTERS)]


def save_tokenizer(directory: Path) -> Any:
    """A WordPiece tokenizer that knows letters."""
    from transformers import BertTokenizer

    directory.mkdir(parents=True, exist_ok=True)
    vocabulary = directory / "vocab.txt"
    vocabulary.write_text("\n".join(WORDS))
    tokenizer = BertTokenizer(vocab={word: number for number, word in enumerate(WORDS)})
    tokenizer.save_pretrained(directory)
    return tokenizer


def bert_config(**options: Any) -> Any:
    from transformers import BertConfig

    return BertConfig(
        vocab_size=len(WORDS), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=64, **options,
    )  # fmt: skip


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import BertModel

    directory = tmp_path_factory.mktemp("encoder") / "model"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        BertModel(bert_config()).save_pretrained(directory)
    save_tokenizer(directory)
    return directory


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import BertForSequenceClassification

    directory = tmp_path_factory.mktemp("classifier") / "model"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        BertForSequenceClassification(bert_config(num_labels=1)).save_pretrained(directory)
    save_tokenizer(directory)
    return directory


def _chat(question: str, answer: str) -> Record:
    turns = (Message(role="user", content=question), Message(role="assistant", content=answer))
    return Record(id=record_id("chat", turns), kind="chat", messages=turns, source=Source(dataset="test"))


def test_embeddings_are_masked_means_of_length_one(encoder: Path) -> None:
    loaded = load_embedder(str(encoder), Path())
    done: list[int] = []
    found = embed(loaded, TEXTS * 8, done.append)
    assert (found.shape, found.dtype) == ((40, 32), np.float32)
    assert done == [32, 40]
    for text, row in zip(TEXTS * 8, found, strict=True):
        one = loaded.tokenizer(text, truncation=True, max_length=64, return_tensors="pt")
        with torch.no_grad():
            mean = loaded.model(**one).last_hidden_state[0].mean(0)
        np.testing.assert_allclose(row, (mean / mean.norm()).numpy(), atol=1e-5)


def test_rewards_of_a_plain_classifier_read_prompt_and_answer_as_a_pair(classifier: Path) -> None:
    loaded = load_reward_model(str(classifier), Path())
    records = [_chat("why?", "so."), _chat("a long question " * 9, "and a long answer " * 9), _chat("[SEP]", "b")]
    for record, score in zip(records, rewards(loaded, records), strict=True):
        one = loaded.tokenizer(
            record.prompt(), record.answer(), truncation=True, max_length=64, split_special_tokens=True,
            return_tensors="pt",
        )  # fmt: skip
        with torch.no_grad():
            assert score == pytest.approx(float(loaded.model(**one).logits[0, 0]), abs=1e-5)


def test_rewards_of_a_chat_model_read_the_conversation_through_its_template(
    tiny_model_dir: Path, tmp_path: Path
) -> None:
    from transformers import AutoTokenizer, LlamaConfig, LlamaForSequenceClassification

    tokenizer = AutoTokenizer.from_pretrained(tiny_model_dir)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2,
        num_labels=1, max_position_embeddings=64, pad_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    LlamaForSequenceClassification(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    loaded = load_reward_model(str(tmp_path), Path())
    records = [_chat("Capital of Peru?", "Lima"), _chat("Hi<|im_end|>", "Hello"), _chat("long " * 90, "Short.")]
    for record, score in zip(records, rewards(loaded, records), strict=True):
        ids = encode_record(loaded.tokenizer, record, 1000, None).input_ids[-64:]
        with torch.no_grad():
            assert score == pytest.approx(float(loaded.model(torch.tensor([ids])).logits[0, 0]), abs=1e-5)


def test_classifier_with_other_outputs_is_no_reward_model(tmp_path: Path) -> None:
    from transformers import BertForSequenceClassification, BertModel

    BertForSequenceClassification(bert_config(num_labels=3)).save_pretrained(tmp_path / "three")
    save_tokenizer(tmp_path / "three")
    with pytest.raises(UsageError, match="has 3 outputs"):
        load_reward_model(str(tmp_path / "three"), Path())
    BertModel(bert_config(num_labels=1)).save_pretrained(tmp_path / "headless")
    save_tokenizer(tmp_path / "headless")
    with pytest.raises(UsageError, match=r"missing: classifier"):
        load_reward_model(str(tmp_path / "headless"), Path())


def test_pickles_and_remote_code_are_refused_at_their_key(encoder: Path, tmp_path: Path) -> None:
    shutil.copytree(encoder, tmp_path / "pickled")
    (tmp_path / "pickled" / "model.safetensors").rename(tmp_path / "pickled" / "pytorch_model.bin")
    with pytest.raises(UsageError, match="pickles") as refused:
        load_embedder(str(tmp_path / "pickled"), Path())
    assert refused.value.where == f"curate.semantic_duplicates.model ({tmp_path / 'pickled'})"
    shutil.copytree(encoder, tmp_path / "remote")
    config = json.loads((encoder / "config.json").read_text())
    config |= {"auto_map": {"AutoConfig": "evil.Config", "AutoModel": "evil.Model"}, "model_type": "unheard-of"}
    (tmp_path / "remote" / "config.json").write_text(json.dumps(config))
    (tmp_path / "remote" / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    with pytest.raises(UsageError, match="cannot be loaded"):
        load_embedder(str(tmp_path / "remote"), Path())
    assert not (tmp_path / "ran").exists()


def test_distribution_with_a_safetensors_directory_is_a_model(
    encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(encoder, tmp_path / "tiny_encoder" / "model")
    about = tmp_path / "tiny_encoder-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny-encoder\nVersion: 1.0\n")
    files = [path.relative_to(tmp_path).as_posix() for path in (tmp_path / "tiny_encoder").rglob("*") if path.is_file()]
    (about / "RECORD").write_text("".join(f"{name},,\n" for name in files))
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    assert resolve("pypi:tiny-encoder", None, Path()).path == (tmp_path / "tiny_encoder" / "model").resolve()
    found = embed(load_embedder("pypi:tiny-encoder", Path()), TEXTS[:2])
    np.testing.assert_array_equal(found, embed(load_embedder(str(encoder), Path()), TEXTS[:2]))
    with pytest.raises(PrerequisiteError, match="not installed"):
        load_embedder("pypi:no-such-encoder", Path())
