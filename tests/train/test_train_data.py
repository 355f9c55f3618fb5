from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from training_run import training_records

from workbench.core.config import ModelConfig
from workbench.core.errors import IncompleteError
from workbench.models.chat import encode_record
from workbench.models.loading import load_tokenizer
from workbench.train.data import collate, encode_all, row_order


@pytest.mark.parametrize("grouped", [True, False])
def test_every_row_comes_once_before_any_comes_twice(grouped: bool) -> None:
    order = row_order([5] * 10, batch_size=2, batches=15, seed=0, grouped=grouped)
    assert len(order) == 30
    assert Counter(order) == Counter(list(range(10)) * 3)


def test_order_is_fixed_by_the_seed_alone() -> None:
    lengths = list(range(40))
    assert row_order(lengths, 4, 20, seed=7, grouped=True) == row_order(lengths, 4, 20, seed=7, grouped=True)
    assert row_order(lengths, 4, 20, seed=7, grouped=True) != row_order(lengths, 4, 20, seed=8, grouped=True)


def test_batches_hold_rows_of_similar_length_in_mixed_order() -> None:
    lengths = [(row * 37) % 101 for row in range(64)]
    order = row_order(lengths, 8, 8, seed=0, grouped=True)
    batches = [sorted(lengths[row] for row in order[start : start + 8]) for start in range(0, 64, 8)]
    assert sorted(length for batch in batches for length in batch) == sorted(lengths)
    assert sorted(batches) == [sorted(lengths)[start : start + 8] for start in range(0, 64, 8)]
    assert batches != sorted(batches)


def test_ungrouped_batches_take_rows_as_they_come() -> None:
    lengths = [(row * 37) % 101 for row in range(64)]
    order = row_order(lengths, 8, 8, seed=0, grouped=False)
    assert sorted(order) == list(range(64)) and order != sorted(order)
    assert order[:8] == row_order([1] * 64, 8, 1, seed=0, grouped=False)


def test_fewer_rows_than_a_batch_are_repeated() -> None:
    assert Counter(row_order([3, 4], batch_size=4, batches=1, seed=0, grouped=True)) == {0: 2, 1: 2}


def test_batch_is_padded_on_the_right_and_padding_is_not_learned() -> None:
    rows = [{"input_ids": [1, 5, 6], "labels": [-100, 5, 6]}, {"input_ids": [1], "labels": [-100]}]
    batch = {name: tensor.tolist() for name, tensor in collate(2)(rows).items()}
    assert batch == {
        "input_ids": [[1, 5, 6], [1, 2, 2]],
        "attention_mask": [[1, 1, 1], [1, 0, 0]],
        "labels": [[-100, 5, 6], [-100, -100, -100]],
    }


def test_records_without_room_for_an_answer_are_counted_and_left_out(tiny_model_dir: Path) -> None:
    tokenizer = load_tokenizer(ModelConfig(ref=str(tiny_model_dir)), Path())
    records = training_records()
    lengths = sorted(len(encode_record(tokenizer, record, 512, None).input_ids) for record in records)
    whole = encode_all(tokenizer, records, 512, None)
    assert (len(whole.rows), whole.truncated, whole.skipped) == (18, 0, 0)
    cut = encode_all(tokenizer, records, 40, None)
    assert (len(cut.rows), cut.truncated) == (18, sum(length > 40 for length in lengths))
    with pytest.raises(IncompleteError, match="no answer of 18 records begins within 8 tokens"):
        encode_all(tokenizer, records, 8, None)
    with pytest.raises(IncompleteError, match="it has no records"):
        encode_all(tokenizer, [], 8, None)
