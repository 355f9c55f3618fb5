"""Documents of several turns: the second question follows the model's own first answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import pytest

from workbench.core.errors import UsageError
from workbench.core.records import Message
from workbench.core.suites import Documents, Suite, SuiteDocument
from workbench.models.chat import prompt_ids
from workbench.models.generate import Generated
from workbench.models.loading import LoadedModel
from workbench.score.golden import golden_pairs
from workbench.score.kinds.answers import score
from workbench.score.scoring import Job

JUDGE: dict[str, Any] = {"kind": "judge", "primary_metric": "win_rate", "chat": True, "max_new_tokens": 6}


def test_each_turn_is_asked_after_the_models_own_answer(
    job: Callable[..., Job], tiny: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tiny model says the same to everything, so answers are made up from the questions here."""
    asked: list[list[int]] = []

    def names_its_question(loaded: LoadedModel, prompts: list[list[int]], *_: Any, **__: Any) -> list[Generated]:
        asked.extend(prompts)
        return [Generated(f"answer to {len(ids)}", 3, "stop") for ids in prompts]

    def conversation(*turns: str) -> list[int]:
        roles: tuple[Literal["user"], Literal["assistant"]] = ("user", "assistant")
        messages = [Message(role=roles[place % 2], content=text) for place, text in enumerate(turns)]
        return prompt_ids(tiny.tokenizer, messages, None)

    monkeypatch.setattr("workbench.models.generate.generate", names_its_question)
    documents = [
        {"turns": ["Name a river.", "Is it long?"], "reference": ["Elbe", "Yes"]},
        {"prompt": "Name a hill.", "reference": "K2"},
    ]
    talk, single = score(job(documents, **JUDGE)).generations
    first = f"answer to {len(conversation('Name a river.'))}"
    follow_up = conversation("Name a river.", first, "Is it long?")
    assert asked == [conversation("Name a river."), conversation("Name a hill."), follow_up]
    second = f"answer to {len(follow_up)}"
    assert [turn.content for turn in talk.turns] == ["Name a river.", first, "Is it long?", second]
    assert (talk.prompt, talk.output) == (
        "Turn 1: Name a river.\n\nTurn 2: Is it long?",
        f"Turn 1: {first}\n\nTurn 2: {second}",
    )
    assert (talk.reference, talk.tokens) == ("Turn 1: Elbe\n\nTurn 2: Yes", 6)
    assert (single.prompt, single.reference, single.turns) == ("Name a hill.", "K2", ())


def test_a_turn_without_room_fails_the_document_with_the_reason(job: Callable[..., Job]) -> None:
    documents = [{"turns": ["Name a river.", "word " * 80]}, {"turns": ["x", 3]}]
    long, broken = score(job(documents, **JUDGE)).generations
    assert (long.finish_reason, broken.finish_reason) == ("error", "error")
    assert "leaves no room" in long.output
    assert long.turns == ()


def test_turns_without_the_chat_template_are_refused(job: Callable[..., Job]) -> None:
    with pytest.raises(UsageError, match="need the chat template"):
        score(job([{"turns": ["a", "b"]}], **{**JUDGE, "chat": False}))


def test_golden_pairs_are_made_of_conversations_too() -> None:
    suite = Suite(
        name="mt", kind="judge", role="target", documents=Documents(file="x.jsonl"), primary_metric="win_rate"
    )
    documents = [
        SuiteDocument(
            doc_id=n, doc_hash=f"h{n}", occurrence=0, fields={"turns": [f"q{n}", "more"], "reference": [f"r{n}", "s"]}
        )
        for n in range(4)
    ]
    found = golden_pairs(documents, suite, 4, seed=0)
    assert len(found) == 4
    for pair in found:
        number = pair.prompt.removeprefix("Turn 1: q")[0]
        assert pair.answers[pair.right] == f"Turn 1: r{number}\n\nTurn 2: s"
