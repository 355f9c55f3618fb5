from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
from mix_makers import pairs

from workbench.core.errors import UsageError
from workbench.mix.stage import STAGE

REPLAY = {"datasets": ("general",), "share": 0.1}


def test_without_shares_the_task_goes_in_once_and_replay_is_a_tenth_of_all(mix: Callable) -> None:
    # 90 rows of 10 tokens; 100 tokens of 1000 make a tenth.
    task, general = pairs("manuals", 90, 9), pairs("general", 300, 9)
    result = mix([*task, *general], replay=REPLAY)
    assert Counter(row for row in result.rows if row.source.dataset == "manuals") == Counter(task)
    share = result.share("general")
    assert (share.replay, share.requested, share.realised) == (True, 0.1, 0.1)
    assert (share.rows, share.trainable_tokens, share.repeat) == (10, 100, 10 / 300)
    assert result.share("manuals").replay is False
    assert any("source general (replay): requested 10.0%" in message for message in result.messages("info"))
    assert result.messages("warning") == []


def test_shares_divide_what_replay_leaves(mix: Callable) -> None:
    data = [*pairs("a", 50, 9), *pairs("b", 40, 9), *pairs("general", 300, 9)]
    result = mix(data, shares={"a": 0.5, "b": 0.5}, replay=REPLAY)
    # 900 tokens of a and b, 450 each; 100 of general beside them.
    assert [(share.name, share.trainable_tokens) for share in result.summary.shares] == [
        ("a", 450), ("b", 450), ("general", 100),
    ]  # fmt: skip
    assert [share.requested for share in result.summary.shares] == pytest.approx([0.45, 0.45, 0.1])


def test_several_replayed_datasets_give_in_proportion_to_what_they_have(mix: Callable) -> None:
    data = [*pairs("task", 80, 9), *pairs("x", 150, 9), *pairs("y", 50, 9)]
    result = mix(data, replay={"datasets": ("x", "y"), "share": 0.2})
    assert [(share.name, share.trainable_tokens) for share in result.summary.shares] == [
        ("task", 800), ("x", 150), ("y", 50),
    ]  # fmt: skip


def test_too_little_replay_is_repeated_to_the_limit_and_the_rest_is_reported(mix: Callable) -> None:
    # A fifth beside 800 tokens is 200; 3 rows of 10 tokens, at most twice, are 60.
    data = [*pairs("task", 80, 9), *pairs("general", 3, 9)]
    result = mix(data, replay={"datasets": ("general",), "share": 0.2}, max_repeat=2)
    share = result.share("general")
    assert (share.rows, share.repeat, share.trainable_tokens) == (6, 2.0, 60)
    assert share.realised == 60 / 860
    assert share.missed == "its 3 rows are repeated 2 times, the limit (mix.max_repeat)"
    assert any(message.endswith(share.missed) for message in result.messages("warning"))
    assert result.share("task").missed == "another source fell short of its share"


def test_a_replayed_dataset_of_which_nothing_is_left_is_said(mix: Callable) -> None:
    result = mix(pairs("task", 8, 9), replay=REPLAY)
    assert result.summary.trainable_tokens == 80
    assert any("nothing is left of general" in message for message in result.messages("warning"))


def test_replay_needs_no_share_and_may_have_none(prepare: Callable) -> None:
    data = [*pairs("task", 8, 9), *pairs("general", 8, 9)]
    ready = prepare(data, shares={"task": 0.5, "general": 0.5}, replay=REPLAY)
    with pytest.raises(UsageError, match="'general' is replayed and has a share besides"):
        STAGE.run(ready.config, ready.inputs, ready.context)


def test_a_replay_share_of_zero_replays_nothing(mix: Callable) -> None:
    result = mix([*pairs("task", 8, 9), *pairs("general", 8, 9)], replay={"datasets": ("general",), "share": 0.0})
    assert result.share("general").rows == 0
    assert result.share("task").rows == 8


def test_a_limit_on_rows_keeps_the_replay_share(mix: Callable) -> None:
    data = [*pairs("task", 900, 9), *pairs("general", 900, 9)]
    result = mix(data, replay=REPLAY, max_rows=100)
    assert result.summary.rows == 100
    assert (result.share("task").rows, result.share("general").rows) == (90, 10)
