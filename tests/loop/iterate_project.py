"""A project for `workbench iterate`: three topics, one of which no model can guess, and questions as the target."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import yaml

SECRET = "the planted sentence about seven violet harbour cranes that nobody may ever train on at all"
"""Stands in a document of the data and in a document of the target suite."""


def _letters(chance: random.Random, count: int) -> str:
    return " ".join("".join(chance.choices("bcdfghjklmnpqrstvwxz", k=7)) for _ in range(count))


def documents(topic: str, count: int, *, hard: bool) -> list[dict[str, str]]:
    """Documents from which `doc_pairs` makes two pairs each."""
    chance = random.Random(topic)
    rows = []
    for number in range(count):
        said = _letters(chance, 6) if hard else f"the number {number} of the table that holds all the {topic} entries"
        call = f"{topic}.f{number}(value)"
        rows.append({"text": f"{call}\n\nReturn {said}.\n\nThe value of {said} is given back.", "topic": topic})
    return rows


def write_project(root: Path, model: Path | str, **iterate: Any) -> None:
    """48 documents of each of two easy topics, 64 of a hard one, and one that stands in the suite."""
    for name in ("datasets_cfg", "evals"):
        (root / name).mkdir(parents=True)
    rows = [
        *documents("alpha", 48, hard=False),
        *documents("beta", 48, hard=False),
        *documents("gamma", 64, hard=True),
        {"text": f"gamma.secret(value)\n\n{SECRET}.", "topic": "gamma"},
    ]
    (root / "manual.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    card = "name: manual\nsource: {kind: file, path: manual.jsonl}\nheldout_fraction: 0\n"
    (root / "datasets_cfg" / "manual.yaml").write_text(card)
    asked = [
        {"prompt": f"What does `delta.f{number}` do?", "text": f"Return {_letters(random.Random(number), 4)}."}
        for number in range(50)
    ]
    asked.append({"prompt": "What does `gamma.secret` do?", "text": f"{SECRET}."})
    (root / "evals" / "asked.jsonl").write_text("".join(json.dumps(document) + "\n" for document in asked))
    suite = {
        "name": "asked",
        "kind": "perplexity",
        "role": "target",
        "documents": {"file": "asked.jsonl"},
        "primary_metric": "nll",
        "chat": True,
        "margin": 0.2,
    }
    (root / "evals" / "asked.yaml").write_text(yaml.safe_dump(suite))
    config = {
        "name": "manual",
        "model": {"ref": str(model), "max_length": 128},
        "data": ["manual"],
        "curate": {"near_duplicates": {"enabled": False}},
        "train": {"max_steps": 12, "batch_size": 4, "checkpoint_steps": 4, "rank": 8, "learning_rate": 0.01},
        "score": {
            "suites": ["asked"],
            "arms": [{"name": "base@nf4"}, {"name": "candidate", "adapter": "train"}],
        },
        "compare": {"pairs": [{"before": "base@nf4", "after": "candidate", "purpose": "candidate"}]},
        "iterate": {"rounds": 2, "seeds": 1, "pairs": 40, "min_documents": 5, **iterate},
    }
    (root / "workbench.yaml").write_text(yaml.safe_dump(config))
