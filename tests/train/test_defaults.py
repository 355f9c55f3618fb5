"""What is used where the configuration says nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from training_run import training_records

from workbench.core.config import ModelConfig, TrainConfig
from workbench.core.methods import METHODS
from workbench.core.records import Message, Record, Source
from workbench.train.defaults import Split, parameter_count, resolved, split_sizes, steps_of
from workbench.train.validation import held_back

SMALL, LARGE = 135_000_000, 70_000_000_000


@pytest.mark.parametrize(
    ("rows", "settings", "steps"),
    [
        (600, {}, 225),  # 3 epochs of 600 rows, 8 at a time
        (2_000, {}, 500),  # 2 epochs
        (20_000, {}, 2_500),  # 1 epoch
        (600, {"epochs": 1}, 75),
        (601, {"epochs": 1}, 76),
        (600, {"epochs": 0.5}, 38),
        (600, {"epochs": 1, "batch_size": 4, "gradient_accumulation": 4}, 38),
        (600, {"max_steps": 60}, 60),
        (3, {"epochs": 1}, 1),
    ],
)
def test_length_follows_the_number_of_rows(rows: int, settings: dict[str, Any], steps: int) -> None:
    assert steps_of(TrainConfig(**settings), rows) == steps


@pytest.mark.parametrize(("rows", "dropout"), [(999, 0.1), (1_000, 0.05), (49_999, 0.05), (50_000, 0.0)])
def test_dropout_follows_the_number_of_rows(rows: int, dropout: float) -> None:
    assert resolved(TrainConfig(), rows, SMALL).dropout == dropout
    assert resolved(TrainConfig(dropout=0.3), rows, SMALL).dropout == 0.3


@pytest.mark.parametrize("method", METHODS)
def test_learning_rate_follows_method_and_model(method: Any) -> None:
    small = resolved(TrainConfig(method=method), 600, SMALL).learning_rate
    assert small is not None and resolved(TrainConfig(method=method), 600, LARGE).learning_rate == small / 2
    assert resolved(TrainConfig(method=method, learning_rate=1e-3), 600, LARGE).learning_rate == 1e-3


def test_learning_rate_of_qlora_is_that_of_its_paper() -> None:
    """QLoRA (arXiv 2305.14314), table 9: 2e-4 for 7 and 13 billion parameters, 1e-4 for 33 and 65."""
    rates = [resolved(TrainConfig(), 600, size * 10**9).learning_rate for size in (7, 13, 33, 65)]
    assert rates == [2e-4, 2e-4, 1e-4, 1e-4]


def test_warm_up_is_a_share_of_the_steps_unless_given() -> None:
    assert resolved(TrainConfig(max_steps=60), 600, SMALL).warmup_steps == 6
    assert resolved(TrainConfig(max_steps=60, warmup_share=0.03), 600, SMALL).warmup_steps == 2
    assert resolved(TrainConfig(max_steps=60, warmup_steps=0), 600, SMALL).warmup_steps == 0


def test_resolving_twice_changes_nothing() -> None:
    once = resolved(TrainConfig(epochs=2), 600, SMALL)
    assert resolved(once, 10_000, LARGE) == once


@pytest.mark.parametrize(
    ("rows", "settings", "held"),
    [
        (600, {}, 30),
        (399, {}, 0),  # 19 rows are too few to stop by
        (600, {"max_steps": 60}, 0),  # 480 of 600 rows are read: none twice
        (600, {"epochs": 1}, 0),
        (9_000, {}, 200),
        (18, {"validation_share": 0.2, "max_steps": 1}, 3),
        (600, {"validation_share": 0}, 0),
    ],
)
def test_rows_are_held_back_where_overfitting_can_be_seen(rows: int, settings: dict[str, Any], held: int) -> None:
    assert split_sizes(TrainConfig(**settings), rows) == Split(rows - held, held)


def _record(number: int, prompt: str, part_of: str | None = None) -> Record:
    turns = (Message(role="user", content=prompt), Message(role="assistant", content=f"Answer {number}."))
    return Record(id=f"{number:016x}", kind="chat", messages=turns, source=Source(dataset="d", part_of=part_of))


def test_twins_are_never_on_both_sides() -> None:
    records = [_record(number, f"Question {number % 20}?") for number in range(60)]
    records += [_record(100 + number, f"Other {number}?", part_of=f"module {number % 5}") for number in range(20)]
    for seed in range(10):
        back = held_back(records, 12, seed)
        assert 8 <= len(back) <= 12
        sides = [{index in back for index in range(60) if index % 20 == question} for question in range(20)]
        sides += [{60 + index in back for index in range(20) if index % 5 == module} for module in range(5)]
        assert all(len(side) == 1 for side in sides)


def test_held_back_rows_are_fixed_by_the_seed_and_are_never_all() -> None:
    records = training_records()
    assert held_back(records, 4, 1) == held_back(records, 4, 1) != held_back(records, 4, 2)
    assert held_back([_record(number, "Same?") for number in range(9)], 3, 0) == set()


@pytest.mark.parametrize("precision", ["nf4", "bf16"])
def test_weights_are_counted_as_they_are_in_full_precision(tiny_model_dir: Path, precision: Any) -> None:
    from workbench.models.loading import load

    whole = load(ModelConfig(ref=str(tiny_model_dir)), "fp32", Path()).model.num_parameters()
    assert parameter_count(load(ModelConfig(ref=str(tiny_model_dir)), precision, Path()).model) == whole
