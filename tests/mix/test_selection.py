from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from random import Random

import pytest
from mix_makers import drops, pair, pairs

from workbench.core.errors import IncompleteError
from workbench.core.parts import write_rows
from workbench.core.records import Record
from workbench.mix.rows import RowFile, count_rows
from workbench.mix.stage import STAGE
from workbench.models.token_counts import TokenCounter


def some(dataset: str, first: int, count: int) -> list[Record]:
    """Rows of 2 to 40 trainable tokens."""
    chance = Random(dataset)
    return [pair(dataset, first + number, chance.randint(1, 39)) for number in range(count)]


KEPT, DROPPED = some("manuals", 0, 120), some("manuals", 500, 60)


def tokens(records: Sequence[Record]) -> int:
    """By hand: the words of the answer and the end of the turn."""
    return sum(len(record.answer().split()) + 1 for record in records)


def test_each_selection_takes_its_rows(mix: Callable) -> None:
    def rows(mode: str) -> Counter[Record]:
        return Counter(mix(KEPT, dropped=drops(DROPPED), rows=mode).rows)

    assert rows("filtered") == Counter(KEPT)
    assert rows("dropped") == Counter(DROPPED)
    assert rows("all") == Counter([*KEPT, *DROPPED])


def test_the_random_control_leaves_out_as_many_tokens_as_were_dropped(mix: Callable) -> None:
    first = mix(KEPT, dropped=drops(DROPPED), rows="random", seed=1)
    out = Counter([*KEPT, *DROPPED]) - Counter(first.rows)
    assert tokens(list(out.elements())) == tokens(DROPPED)
    assert Counter(first.rows) <= Counter([*KEPT, *DROPPED])
    assert first.summary.trainable_tokens == tokens(KEPT)
    assert {record in DROPPED for record in out} == {True, False}  # by chance, not by quality
    again, other = (mix(KEPT, dropped=drops(DROPPED), rows="random", seed=seed) for seed in (1, 2))
    assert again.rows == first.rows
    assert Counter(other.rows) != Counter(first.rows)


@pytest.mark.parametrize("mode", ["all", "random", "dropped"])
def test_evaluation_data_is_in_no_arm(mix: Callable, mode: str) -> None:
    leaked, split = pair("manuals", 901, 5), pair("manuals", 902, 5)
    dropped = [*drops(DROPPED), *drops([leaked], "too_long", "contaminated"), *drops([split], "evaluation_split")]
    result = mix(KEPT, dropped=dropped, rows=mode)
    assert not {leaked, split} & set(result.rows)
    assert any(message.startswith("2 dropped records hold evaluation data") for message in result.messages("warning"))
    if mode == "random":
        assert result.summary.trainable_tokens == tokens(KEPT)


@pytest.mark.parametrize("mode", ["all", "dropped"])
def test_bad_answers_and_rows_without_tokens_are_in_no_arm(mix: Callable, mode: str) -> None:
    bad = pair("manuals", 901, 5, label=False)
    long = pair("manuals", 902, 5)
    question = long.messages[0].model_copy(update={"content": "why " * 80})
    long = long.model_copy(update={"messages": (question, long.messages[1])})
    result = mix(KEPT, dropped=drops([*DROPPED, bad, long]), rows=mode)
    assert not {bad, long} & set(result.rows)
    assert (result.summary.thumbs_down, result.summary.without_trainable_tokens) == (1, 1)


def test_a_row_that_the_template_cannot_write_is_left_out_and_counted(mix: Callable) -> None:
    broken = pair("manuals", 1, 3)
    broken = broken.model_copy(update={"messages": broken.messages[:1]})
    result = mix([broken, *KEPT])
    assert Counter(result.rows) == Counter(KEPT)
    assert result.summary.without_trainable_tokens == 1
    assert any("cannot be written for the model" in message for message in result.messages("warning"))


def test_synthetic_rows_join_every_selection(mix: Callable) -> None:
    made = pairs("synth:doc_pairs", 7, 3)
    result = mix(KEPT, made, dropped=drops(DROPPED), rows="random")
    assert result.share("synth:doc_pairs").rows == 7
    assert result.share("manuals").trainable_tokens == tokens(KEPT)


def test_a_line_that_is_no_row_is_named(prepare: Callable) -> None:
    ready = prepare(KEPT, dropped=drops(DROPPED), rows="all")
    path = ready.inputs["curate"].part("dropped.jsonl")
    path.write_text("".join([*path.read_text().splitlines(keepends=True)[:2], "{}\n"]))
    with pytest.raises(IncompleteError) as hit:
        STAGE.run(ready.config, ready.inputs, ready.context)
    assert hit.value.where == f"{path}:3"


def test_rows_are_read_again_in_the_order_asked_for(prepare: Callable) -> None:
    ready = prepare(KEPT)
    path = ready.inputs["curate"].part("records.jsonl")
    write_rows(path, [*KEPT[:50], pair("manuals", 77, 3).model_copy(update={"topic": "Zürich 数学"}), *KEPT[50:]])
    counter = TokenCounter.for_model(ready.config.model, ready.context.project, 64)
    table = count_rows([RowFile(path)], counter, "sft", (), lambda rows: None, lambda: False)
    assert table is not None
    assert [record.topic for record in table.records([50, 0, 50])] == ["Zürich 数学", None, "Zürich 数学"]
    assert [*table.records([120, 3])] == [KEPT[119], KEPT[3]]
