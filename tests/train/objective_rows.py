"""Rows for every objective, and what is needed to hold its trainer in the hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from training_run import tiny_train_node

from workbench.core.objectives import OBJECTIVES
from workbench.core.records import Message, Record, Source, record_id

SOURCE = Source(dataset="sums")


def pair_records(count: int = 18) -> list[Record]:
    """A short right ending and longer wrong ones, all different."""
    found = []
    for number in range(count):
        asked = (Message(role="user", content=f"What is {number} times {number}?"),)
        chosen = Message(role="assistant", content=f"It is {number * number}.")
        rejected = Message(role="assistant", content=f"No idea, perhaps {number + 1}. " * (1 + number % 3))
        found.append(
            Record(
                id=record_id("preference", asked, chosen, rejected),
                kind="preference",
                messages=asked,
                chosen=chosen,
                rejected=rejected,
                source=SOURCE,
            )
        )
    return found


def rated_records(count: int = 18) -> list[Record]:
    """The same endings one by one, every other one bad."""
    found = []
    for number, pair in enumerate(pair_records(count)):
        answer = pair.rejected if number % 2 else pair.chosen
        assert answer is not None
        turns = (*pair.messages, answer)
        found.append(
            Record(
                id=record_id("chat", turns), kind="chat", messages=turns, label=number % 2 == 0, source=SOURCE
            )
        )
    return found


def documents(count: int = 6) -> list[Record]:
    """Texts of 20 to 320 words."""
    texts = [" ".join(f"{word} of {number}," for word in range(20 + 60 * number)) for number in range(count)]
    return [Record(id=record_id("document", text=text), kind="document", text=text, source=SOURCE) for text in texts]


def rows_for(objective: str) -> list[Record]:
    """Rows that the objective learns from."""
    if objective == "pretrain":
        return documents()
    return rated_records() if objective == "kto" else pair_records()


def built(objective: str, model: Path, work_dir: Path, records: list[Record] | None = None, **settings: Any) -> Any:
    """The trainer as the stage makes it, before anything is checked or trained."""
    from transformers import set_seed

    from workbench.models.loading import load
    from workbench.train.group import ALONE
    from workbench.train.objectives.registry import Job, build
    from workbench.train.step_log import StepLog

    method = {"method": "lora"} if settings.get("precision", "nf4") != "nf4" else {}
    node = tiny_train_node(model, **({"objective": objective, "dropout": None} | method | settings))
    set_seed(node.seed)
    rates = OBJECTIVES[node.train.objective].makes == "reward_model"
    loaded = load(node.model, node.model.precision, work_dir, rates=rates)
    log = StepLog(lambda point, speed: None, lambda: False)
    trainer = build(Job(node, loaded, records or rows_for(objective), work_dir, work_dir, log))
    trainer.join(ALONE)
    log.resume([])
    return trainer
