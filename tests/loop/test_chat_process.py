"""The process with the models: asked and stopped by lines, gone when nobody listens; and its items can be scored."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from workbench.core.config import ModelConfig, TrainConfig
from workbench.core.errors import IncompleteError, UsageError
from workbench.core.parts import write_model
from workbench.core.paths import Project
from workbench.core.records import Message
from workbench.loop.chat import Answered, ChatEvent, Duet, Failed, ModelProcess, Ready, duet_of

ASKED = [Message(role="user", content="Capital of Peru?")]


@pytest.fixture(scope="module")
def project(tiny_model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with a random adapter of the tiny model in `lora`."""
    from peft import LoraConfig, get_peft_model

    from workbench.models.adapter_files import NOTE, AdapterNote
    from workbench.models.loading import load
    from workbench.models.refs import model_fingerprint, resolve

    root = tmp_path_factory.mktemp("chat")
    ref = str(tiny_model_dir)
    settings = LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM", init_lora_weights=False)
    get_peft_model(load(ModelConfig(ref=ref), "fp32", root).model, settings).save_pretrained(str(root / "lora"))
    found = model_fingerprint(resolve(ref, None, root))
    note = AdapterNote(
        base=ref, base_fingerprint=found, precision="fp32", template_hash="", train=TrainConfig(), seed=0
    )
    write_model(root / "lora" / NOTE, note)
    return Project(root)


class Listener:
    """What the process said, and a way to wait for it."""

    def __init__(self) -> None:
        self.events: list[ChatEvent] = []
        self._new = asyncio.Event()

    def __call__(self, event: ChatEvent) -> None:
        self.events.append(event)
        self._new.set()

    async def until(self, condition: Callable[[], object]) -> None:
        while not condition():
            self._new.clear()
            await asyncio.wait_for(self._new.wait(), 60)


@pytest.mark.slow
async def test_both_sides_answer_a_stop_ends_them_and_the_process_ends_with_its_listener(project: Project) -> None:
    duet = duet_of(project, "lora", None, None, max_new_tokens=400)
    assert (duet.precision, duet.model.system_prompt) == ("fp32", None)
    process, heard = ModelProcess(project, duet), Listener()
    running = asyncio.create_task(process.run(heard))
    await heard.until(lambda: heard.events)
    assert heard.events == [Ready(shared=True)]
    process.ask(ASKED, ASKED)
    await heard.until(lambda: len(heard.events) > 1)
    process.stop()
    await heard.until(lambda: isinstance(heard.events[-1], Answered) and heard.events[-1].side == "tuned")
    answers = [event for event in heard.events if isinstance(event, Answered)]
    assert [one.finish_reason for one in answers] == ["cancelled", "cancelled"]
    assert all(one.tokens < 400 for one in answers)
    process.ask([Message(role="user", content="word " * 2000)], ASKED)
    await heard.until(lambda: isinstance(heard.events[-1], Failed))
    assert isinstance(heard.events[-1], Failed) and not heard.events[-1].fatal
    assert "begin another conversation" in heard.events[-1].problem
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert process._process is not None and process._process.returncode == 0


@pytest.mark.slow
async def test_models_that_cannot_be_loaded_are_one_clear_message(project: Project) -> None:
    duet = Duet(name="x", adapter=str(project.root / "gone"), model=ModelConfig(ref="nowhere"), precision="fp32")
    process, heard = ModelProcess(project, duet), Listener()
    await asyncio.wait_for(process.run(heard), 60)
    (first,) = heard.events
    assert isinstance(first, Failed) and first.fatal and "Traceback" not in first.problem
    assert "nowhere" in first.problem or "gone" in first.problem


def test_who_talks_is_an_adapter_or_that_of_a_run(project: Project, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not both"):
        duet_of(project, "lora", "run-1", None)
    with pytest.raises(UsageError, match="no run of this project trained an adapter"):
        duet_of(Project(tmp_path), None, None, None)
    (project.root / "bare").mkdir(exist_ok=True)
    with pytest.raises(IncompleteError, match="does not say which base"):
        duet_of(project, "bare", None, None)


def test_an_item_made_in_a_chat_is_scored_by_the_likelihood_of_both_answers(
    project: Project, tiny_model_dir: Path
) -> None:
    from workbench.core.outputs import read_choice
    from workbench.core.suites import read_documents
    from workbench.loop.chat_items import ChatItems
    from workbench.loop.settings import load_suite
    from workbench.models.loading import load
    from workbench.score.kinds.registry import KINDS
    from workbench.score.scoring import Job

    items = ChatItems(project, "chat-regressions")
    path = items.add(ASKED, "Lima is the capital of Peru, and its largest city.", "No.", "tuned")
    suite = load_suite(project.root, "evals", "chat-regressions")
    made: dict[str, Any] = {
        "arm": "base",
        "suite": suite,
        "documents": read_documents(path, suite),
        "loaded": load(ModelConfig(ref=str(tiny_model_dir)), "fp32", project.root),
        "batch_size": 2,
        "system_prompt": None,
        "on_batch": lambda rows, all_rows: None,
    }
    (row,) = KINDS["regression"](Job(**made)).rows
    choice = read_choice(row.output)
    assert choice is not None and row.metric == "acc_norm" and row.error is None
    (item,) = map(json.loads, path.read_text().splitlines())
    # lm-eval divides by characters: the long right answer is not lost to its length
    logprobs = [value for value in choice.logprobs if value is not None]
    per_character = [value / len(text) for value, text in zip(logprobs, item["choices"], strict=True)]
    assert row.value == float(per_character.index(max(per_character)) == item["answer"])
    assert logprobs[item["answer"]] < logprobs[1 - item["answer"]]
