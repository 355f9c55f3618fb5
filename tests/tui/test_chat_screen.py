"""Chat in the terminal: two conversations, untrusted text, and regression items in one key."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from typing import Any

import pytest
from scripted_chat import DUET, Scripted
from shown import everything_shown, text_of
from textual.events import Paste
from textual.widgets import Static

from workbench.core.paths import Project
from workbench.loop.chat import Failed, Ready
from workbench.tui.app import WorkbenchApp
from workbench.tui.screens.chat import ChatScreen
from workbench.tui.widgets.conversation import Conversation, Line
from workbench.tui.widgets.prompt import Prompt

HOSTILE = "\x1b]52;c;ZXZpbA==\x07[bold]no[/nope]"


async def send(pilot: Any, until: Callable[..., Any], models: Scripted, prompt: str) -> None:
    app = pilot.app
    await until(pilot, lambda: "ready" in text_of(app, "#title"))
    asked = len(models.asked)
    prompt_of(app).text = prompt
    await pilot.press("enter")
    await until(pilot, lambda: len(models.asked) == asked + 1)


def prompt_of(app: WorkbenchApp) -> Prompt:
    return app.screen.query_one("#prompt", Prompt)


def said_by(app: WorkbenchApp, side: str) -> str:
    """What stands in the column of one side."""
    turns = app.screen.query_one(f"#{side}", Conversation).query(Static)
    return "\n".join(str(turn.content) for turn in turns)


def answer(models: Scripted, base: str, tuned: str) -> None:
    models.answer("base", base)
    models.answer("tuned", tuned)


@pytest.mark.parametrize("size", [(80, 24), (150, 45)])
async def test_both_sides_get_the_same_prompt_and_go_on_with_their_own_answers(
    project: Project, until: Callable[..., Any], size: tuple[int, int]
) -> None:
    models = Scripted()
    app = WorkbenchApp(project, first=ChatScreen(DUET, models))
    async with app.run_test(size=size) as pilot:
        await send(pilot, until, models, "capital of Peru?")
        models.said("base", "Qui")
        await until(pilot, lambda: "Qui▌" in said_by(app, "base"))
        await pilot.press("f5", "f9")  # while it answers there is nothing to keep, and nothing is forgotten
        answer(models, "Quito", HOSTILE)
        await until(pilot, lambda: "\\x1b]52;c;ZXZpbA==\\x07[bold]no[/nope]" in said_by(app, "tuned"))
        assert "\x1b]52" not in everything_shown(app) and "Quito" in said_by(app, "base")
        await send(pilot, until, models, "sure?")
        answer(models, "yes", "no")
        await until(pilot, lambda: "sure?" in said_by(app, "base"))
        await pilot.press("f9")
        await send(pilot, until, models, "anew")
    assert models.asked == [
        (["capital of Peru?"], ["capital of Peru?"]),
        (["capital of Peru?", "Quito", "sure?"], ["capital of Peru?", HOSTILE, "sure?"]),
        (["anew"], ["anew"]),
    ]
    assert models.ended and not (project.root / "evals" / "chat-regressions.jsonl").exists()


async def test_one_key_makes_an_item_of_the_preferred_answer_and_one_takes_it_back(
    project: Project, until: Callable[..., Any]
) -> None:
    models = Scripted()
    app = WorkbenchApp(project, first=ChatScreen(DUET, models, "mine"))
    items = project.root / "evals" / "mine.jsonl"
    async with app.run_test(size=(80, 24)) as pilot:
        await send(pilot, until, models, "capital of Peru?")
        answer(models, "Quito", "Lima")
        await pilot.press("f6")
        await until(pilot, lambda: "+1 item in evals/mine.jsonl: the adapter is right" in text_of(app, "#said"))
        (item,) = map(json.loads, items.read_text().splitlines())
        assert item["question"] == "capital of Peru?" and item["choices"][item["answer"]] == "Lima"
        assert sorted(item["choices"]) == ["Lima", "Quito"] and item["group"] == "tuned"
        await pilot.press("f6")
        await until(pilot, lambda: "stands there already" in text_of(app, "#said"))
        await pilot.press("f7")
        await until(pilot, lambda: "out of suite mine again" in text_of(app, "#said"))
        assert not items.exists()
        await send(pilot, until, models, "and of Chile?")
        answer(models, "Santiago", "Lima")
        await pilot.press("f5")
        await until(pilot, lambda: "the base is right" in text_of(app, "#said"))
        (item,) = map(json.loads, items.read_text().splitlines())
        assert item["question"] == "User: capital of Peru?\n\nAssistant: Quito\n\nUser: and of Chile?"
        assert [(turn["role"], turn["content"]) for turn in item["messages"]] == [
            ("user", "capital of Peru?"),
            ("assistant", "Quito"),
            ("user", "and of Chile?"),
        ]
        assert item["choices"][item["answer"]] == "Santiago"


async def test_a_stopped_answer_is_shown_and_is_no_item(project: Project, until: Callable[..., Any]) -> None:
    models = Scripted()
    app = WorkbenchApp(project, first=ChatScreen(DUET, models))
    async with app.run_test(size=(80, 24)) as pilot:
        await send(pilot, until, models, "tell me a lot")
        await pilot.press("f8")
        await until(pilot, lambda: "stopped" in text_of(app, "#base-name"))
        await pilot.press("f5")
        await until(pilot, lambda: "no two whole answers" in text_of(app, "#said"))
        await pilot.press("f8")
    assert models.stopped == 1 and not (project.root / "evals" / "chat-regressions.jsonl").exists()


async def test_a_failed_turn_was_not_asked_and_a_dead_process_is_said(
    project: Project, until: Callable[..., Any]
) -> None:
    models = Scripted()
    app = WorkbenchApp(project, first=ChatScreen(DUET, models))
    async with app.run_test(size=(80, 24)) as pilot:
        await send(pilot, until, models, "first")
        answer(models, "one", "two")
        await send(pilot, until, models, "too long")
        models.answer("base", "answered")
        models.tell(Failed(problem="the conversation is too long", fatal=False))
        assert prompt_of(app).text == "too long"  # it can be shortened
        await send(pilot, until, models, "shorter")
        assert models.asked[-1] == (["first", "one", "shorter"], ["first", "two", "shorter"])
        models.tell(Failed(problem="the process ended with -9", fatal=True))
        await until(pilot, lambda: "the models are gone" in text_of(app, "#title"))
        prompt_of(app).text = "still there?"
        await pilot.press("enter")
        await until(pilot, lambda: "nothing was sent" in text_of(app, "#said"))
    assert len(models.asked) == 3


async def test_a_failed_question_stands_before_what_was_begun_since(
    project: Project, until: Callable[..., Any]
) -> None:
    models = Scripted()
    app = WorkbenchApp(project, first=ChatScreen(DUET, models))
    async with app.run_test(size=(80, 24)) as pilot:
        await send(pilot, until, models, "too long")
        prompt_of(app).text = "and then"
        models.tell(Failed(problem="the conversation is too long", fatal=False))
        prompt = prompt_of(app)
        assert prompt.text == "too long\nand then" and prompt.cursor_location == prompt.document.end


def test_of_a_very_long_answer_the_end_is_shown_while_it_grows() -> None:
    text = "a" * 30_000 + "the newest words"
    assert Line(text, asked=False, growing=True).drawn().plain.endswith("the newest words▌")
    assert "more characters" in Line(text, asked=False).drawn().plain


async def test_pasted_text_keeps_its_lines_and_what_is_written_while_the_models_load_stays(
    project: Project, until: Callable[..., Any]
) -> None:
    models = Scripted(loads=True)
    app = WorkbenchApp(project, first=ChatScreen(DUET, models))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: prompt_of(app).has_focus)
        app.screen.post_message(Paste("def f(a):\n    return a"))
        await until(pilot, lambda: "return a" in prompt_of(app).text)
        await pilot.press("ctrl+j", *"end", "enter")
        await until(pilot, lambda: "being loaded" in text_of(app, "#said"))
        models.tell(Ready(shared=True))
        await until(pilot, lambda: "ready" in text_of(app, "#title"))
        await pilot.press("enter")
        await until(pilot, lambda: models.asked)
        assert models.asked[0][0] == ["def f(a):\n    return a\nend"] and prompt_of(app).text == ""


async def test_an_answer_that_grows_redraws_its_own_turn_alone_and_does_not_pull_a_reader_down(
    project: Project, until: Callable[..., Any]
) -> None:
    models = Scripted()
    app = WorkbenchApp(project, first=ChatScreen(DUET, models))
    long = "\n".join(f"line {number}" for number in range(60))
    async with app.run_test(size=(80, 24)) as pilot:
        await send(pilot, until, models, "first")
        answer(models, long, "short")
        base = app.screen.query_one("#base", Conversation)
        await until(pilot, lambda: base.scroll_y == base.max_scroll_y > 0)
        await send(pilot, until, models, "second")
        turns = list(base.query(Static))
        drawn = [turn.content for turn in turns]
        models.said("base", "Qui")
        await until(pilot, lambda: "Qui▌" in said_by(app, "base"))
        assert [turn.content is before for turn, before in zip(turns[:3], drawn, strict=False)] == [True] * 3
        base.scroll_to(y=0, animate=False, immediate=True)
        models.said("base", "Quito " * 400)
        await until(pilot, lambda: "Quito" in said_by(app, "base"))
        await pilot.pause()
        assert base.scroll_y == 0


async def test_a_disk_that_refuses_is_said_and_the_item_can_be_made_later(
    project: Project, until: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    models = Scripted()
    app = WorkbenchApp(project, first=ChatScreen(DUET, models, "mine"))
    items = project.root / "evals" / "mine.jsonl"

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    async with app.run_test(size=(80, 24)) as pilot:
        await send(pilot, until, models, "capital of Peru?")
        answer(models, "Quito", "Lima")
        monkeypatch.setattr("os.fsync", full)
        await pilot.press("f6")
        await until(pilot, lambda: "No space left on device" in text_of(app, "#said"))
        assert not items.exists()
        monkeypatch.undo()
        await pilot.press("f6")
        await until(pilot, lambda: "+1 item" in text_of(app, "#said"))
    assert len(items.read_text().splitlines()) == 1 and items.with_suffix(".yaml").is_file()
