from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from mix_makers import document, pair, pairs

from workbench.core.config import ModelConfig
from workbench.core.errors import IncompleteError, UsageError
from workbench.core.records import Message, Record, Source
from workbench.core.stage import Cancelled
from workbench.mix.stage import STAGE


def test_without_shares_everything_goes_in_once(mix: Callable) -> None:
    curated, synthetic = pairs("manuals", 5, 3), pairs("synth:doc_pairs", 4, 1)
    result = mix(curated, synthetic)
    assert Counter(result.rows) == Counter([*curated, *synthetic])
    assert result.summary.rows == 9
    assert result.summary.trainable_tokens == 5 * 4 + 4 * 2
    manuals = result.share("manuals")
    assert (manuals.rows, manuals.trainable_tokens, manuals.repeat) == (5, 20, 1.0)
    assert manuals.requested == manuals.realised == 20 / 28


def test_shares_are_of_answer_tokens_and_not_of_rows_or_prompts(mix: Callable) -> None:
    # 40 rows of 9 + 1 and 200 rows of 1 + 1 tokens: 800 tokens, 400 from each source wanted.
    result = mix(pairs("long", 40, 9), pairs("short", 200, 1), shares={"long": 0.5, "short": 0.5})
    assert [share.trainable_tokens for share in result.summary.shares] == [400, 400]
    assert [share.rows for share in result.summary.shares] == [40, 200]


def test_documents_count_whole(mix: Callable) -> None:
    result = mix([document("manuals", "one two three four")])
    assert result.summary.trainable_tokens == 5  # four words and the end of the text; the start is given


def test_a_small_source_is_repeated_up_to_the_limit_and_the_shortfall_is_said(mix: Callable) -> None:
    # 100 and 500 tokens: .95 of 600 is 570, but 4 times 100 is all there may be; .05 is 30.
    result = mix(pairs("task", 10, 9), pairs("general", 50, 9), shares={"task": 0.95, "general": 0.05}, max_repeat=4)
    task, general = result.share("task"), result.share("general")
    assert (task.rows, task.trainable_tokens, task.repeat) == (40, 400, 4.0)
    assert (general.rows, general.trainable_tokens, general.repeat) == (3, 30, 3 / 50)
    assert task.requested == 0.95 and task.realised == 400 / 430
    assert set(Counter(record.id for record in result.rows if record.source.dataset == "task").values()) == {4}
    assert any("source task: requested 95.0%, realised 93.0%" in message for message in result.messages("warning"))


def test_a_source_without_a_share_is_left_out_and_named(mix: Callable) -> None:
    result = mix([*pairs("manuals", 3, 3), *pairs("notes", 7, 3)], shares={"manuals": 1.0})
    assert {record.source.dataset for record in result.rows} == {"manuals"}
    assert any("source notes (7 rows)" in message for message in result.messages("info"))


def test_a_share_of_a_source_that_is_not_there_lists_the_sources(prepare: Callable) -> None:
    ready = prepare(pairs("manuals", 3, 3), pairs("synth:doc_pairs", 3, 3), shares={"manual": 1.0})
    with pytest.raises(UsageError, match=r"no source 'manual'; sources: manuals, synth:doc_pairs\n  next: ") as hit:
        STAGE.run(ready.config, ready.inputs, ready.context)
    assert hit.value.exit_code == 2


def test_a_strategy_that_gave_nothing_is_no_mistake_in_the_shares(mix: Callable) -> None:
    result = mix(
        pairs("manuals", 10, 9),
        [],
        strategies=["qa_from_docs"],
        shares={"manuals": 0.5, "synth:qa_from_docs": 0.5},
    )
    nothing = result.share("synth:qa_from_docs")
    assert (nothing.rows, nothing.realised, nothing.requested) == (0, 0.0, 0.5)
    assert any("synth:qa_from_docs" in message for message in result.messages("warning"))


def test_max_rows_limits_the_whole_in_proportion(mix: Callable) -> None:
    unshared = mix(pairs("a", 60, 3), pairs("b", 30, 3), max_rows=9)
    assert [share.rows for share in unshared.summary.shares] == [6, 3]
    shared = mix(pairs("a", 60, 3), pairs("b", 30, 3), max_rows=10, shares={"a": 0.2, "b": 0.8})
    assert [share.rows for share in shared.summary.shares] == [2, 8]


def test_long_rows_are_counted_and_rows_without_answer_left_are_left_out(mix: Callable) -> None:
    # The prompt of `pair` has 8 tokens: im_start user Question N ? im_end im_start assistant.
    fits, cut = pair("manuals", 1, 3), pair("manuals", 2, 30)
    turns = (Message(role="user", content="why " * 40), Message(role="assistant", content="Because."))
    gone = Record(id="0" * 16, kind="chat", messages=turns, source=Source(dataset="manuals", row=3))
    result = mix([fits, cut, gone], max_length=18)
    assert Counter(result.rows) == Counter([fits, cut])
    assert result.summary.trainable_tokens == (3 + 1) + (18 - 8)
    assert result.outcome.summary["over_max_length"] == 2
    assert result.outcome.summary["without_trainable_tokens"] == 1
    assert any(message.startswith("1 records have no trainable token") for message in result.messages("warning"))


def test_answers_marked_as_bad_are_not_trained_on(mix: Callable) -> None:
    good, bad = pair("manuals", 1, 3, label=True), pair("manuals", 2, 3, label=False)
    result = mix([good, bad])
    assert result.rows == [good]
    assert result.outcome.summary["thumbs_down"] == 1


def test_nothing_to_train_on_is_an_error(prepare: Callable) -> None:
    ready = prepare([pair("manuals", 1, 3, label=False)])
    with pytest.raises(IncompleteError, match="no row to train on: of 1 records") as hit:
        STAGE.run(ready.config, ready.inputs, ready.context)
    assert hit.value.exit_code == 3
    assert hit.value.next_step is not None and "train.max_length" in hit.value.next_step
    empty = prepare([], objective="pretrain")
    with pytest.raises(IncompleteError, match="no row to train on") as hit:
        STAGE.run(empty.config, empty.inputs, empty.context)
    assert hit.value.next_step is not None and "max_length" not in hit.value.next_step, "windows lose nothing"


def test_the_seed_decides_the_order_and_nothing_else_does(mix: Callable) -> None:
    records = pairs("manuals", 50, 3)
    first, again, other = mix(records), mix(records), mix(records, seed=1)
    assert first.rows == again.rows
    assert first.rows != other.rows and Counter(first.rows) == Counter(other.rows)
    assert first.rows != records


def test_sources_are_mixed_and_not_one_after_the_other(mix: Callable) -> None:
    result = mix(pairs("a", 100, 3), pairs("b", 100, 3))
    names = [record.source.dataset for record in result.rows]
    changes = sum(left != right for left, right in pairwise(names))
    assert changes > 50


def test_a_cancelled_stage_stops_and_writes_nothing(prepare: Callable) -> None:
    ready = prepare(pairs("manuals", 3, 3))
    context = replace(ready.context, cancelled=lambda: True)
    assert STAGE.run(ready.config, ready.inputs, context) == Cancelled()
    assert not list(context.out_dir.glob("*"))


def test_another_tokenizer_is_another_input(prepare: Callable, word_model_dir: Path, tmp_path: Path) -> None:
    import shutil

    ready = prepare(pairs("manuals", 3, 3))
    copy = tmp_path / "copy"
    shutil.copytree(word_model_dir, copy)
    moved = ready.config.model_copy(update={"model": ModelConfig(ref=str(copy))})
    assert STAGE.external(ready.config, tmp_path) == STAGE.external(moved, tmp_path)
    (copy / "tokenizer.json").write_text((copy / "tokenizer.json").read_text() + "\n")
    assert STAGE.external(ready.config, tmp_path) != STAGE.external(moved, tmp_path)
