"""Short trainings by GRPO: settings, rewards and a judge by rule."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from endpoints.scripted_server import Step, says
from training_run import tiny_train_node

from workbench.core.config import EndpointConfig
from workbench.core.nodes import TrainNode
from workbench.core.records import Message, Record, Source

COUNT_LETTERS = "def score(prompt, answer, reference):\n    return sum(c.isalpha() for c in answer) / 10\n"
LETTERS = {"name": "python", "function": "rewards/letters.py:score"}
GRPO: dict[str, Any] = {"rewards": [LETTERS], "generations": 4, "max_new_tokens": 8, "beta": 0.04}
SETTINGS: dict[str, Any] = {
    "objective": "grpo", "dropout": None, "max_steps": 4, "batch_size": 4, "gradient_accumulation": 2, "grpo": GRPO,
    "learning_rate": 1e-2, "warmup_steps": 0,
}  # fmt: skip


def question(question: str, answer: str) -> Record:
    messages = (Message(role="user", content=question), Message(role="assistant", content=answer))
    return Record(id=question, kind="chat", messages=messages, source=Source(dataset="d"))


def grpo_node(model: Path | str, *rewards: dict[str, Any], endpoint: EndpointConfig | None = None) -> TrainNode:
    node = tiny_train_node(Path(model), **(SETTINGS | {"grpo": GRPO | {"rewards": list(rewards)}}))
    return node.model_copy(update={"endpoints": {"judge": endpoint} if endpoint else {}})


def judge_at(url: str, **settings: Any) -> EndpointConfig:
    return EndpointConfig(base_url=url, model="scripted", max_retries=0, **settings)


JUDGED = {"name": "judge", "endpoint": "judge", "rubric": "A good answer is a number."}
RECORDS = [question(f"What is {number}?", str(number)) for number in range(20)]


def rating(request: dict[str, Any], failing: str, failure: Step) -> Step:
    """A judge without schema and log-probabilities: `good` is rated 5, `fair` 4, all else 1."""
    shown = request["messages"][-1]["content"]
    if failing and f"\n{failing}\n" in shown:
        return failure
    return says("5" if "\ngood\n" in shown else "4" if "\nfair\n" in shown else "1")
