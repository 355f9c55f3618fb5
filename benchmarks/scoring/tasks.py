"""Tasks and texts that the scoring benchmark makes from what is installed: lm-eval's MMLU questions, Python's manual.

    choice_tasks(40, shots=5)  ->  [Task("options", lm-eval's settings, documents), ...]
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LETTERS = ["A", "B", "C", "D"]
_LETTERED = "{{question}}\n(A) {{choices[0]}}\n(B) {{choices[1]}}\n(C) {{choices[2]}}\n(D) {{choices[3]}}\nAnswer:"
_FORMATS: dict[str, dict[str, Any]] = {
    "letters": {"doc_to_text": _LETTERED, "doc_to_choice": LETTERS},
    "brackets": {"doc_to_text": _LETTERED, "doc_to_choice": [f"({letter})" for letter in LETTERS]},
    "options": {"doc_to_text": "Question: {{question}}\nAnswer:", "doc_to_choice": "choices"},
}
"""How MMLU, BBH and ARC ask: one token per choice, three tokens that share the first, and texts."""


@dataclass(frozen=True, slots=True)
class Task:
    """What lm-eval is given."""

    name: str
    settings: dict[str, Any]
    documents: list[dict[str, Any]]

    def load(self) -> dict[str, Any]:
        """As `lm_eval.evaluator.evaluate` takes it."""
        from lm_eval.tasks import TaskManager

        def dataset(**_: Any) -> dict[str, _Rows]:
            return {"test": _Rows(self.documents)}

        settings = {**self.settings, "task": self.name, "test_split": "test", "custom_dataset": dataset}
        loaded: dict[str, Any] = TaskManager(include_defaults=False).load([settings])
        loaded["tasks"][self.name].set_fewshot_seed(seed=1234)
        return loaded


class _Rows(list[dict[str, Any]]):
    """A list with the one attribute lm-eval asks of a dataset."""

    @property
    def features(self) -> dict[str, None]:
        return {name: None for row in self for name in row}


def questions() -> list[dict[str, Any]]:
    """MMLU's development questions, one subject after another."""
    from workbench.core.cards import Card
    from workbench.core.stage import Context
    from workbench.core.yamlfile import load_model
    from workbench.ingest.builders import mmlu_dev

    card = load_model(Path(__file__).parents[2] / "datasets_cfg" / "mmlu-dev.yaml", Card)
    context = Context(node="bench", out_dir=Path(), work_dir=Path(), project=Path(), seed=0, emit=lambda event: None,
                      clock=lambda: "", cancelled=lambda: False)  # fmt: skip
    return mmlu_dev.build(card, 0, context).documents["choice.jsonl"]


def choice_tasks(count: int, shots: int) -> list[Task]:
    """The three formats over the same `count` questions, spread over subjects, after `shots` fixed examples."""
    rows = questions()
    examples, rest = rows[:: len(rows) // 5][:5], [row for place, row in enumerate(rows) if place % (len(rows) // 5)]
    chosen = rest[:: max(len(rest) // count, 1)][:count]
    return [
        Task(f"{name}_{shots}shot", {**_choice(shots, examples), **template}, chosen)
        for name, template in _FORMATS.items()
    ]


def _choice(shots: int, examples: list[dict[str, Any]]) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "output_type": "multiple_choice",
        "doc_to_target": "answer",
        "num_fewshot": shots,
        "metric_list": [{"metric": name} for name in ("acc", "acc_norm")],
    }
    if shots:
        settings["fewshot_config"] = {"sampler": "first_n", "samples": examples[:shots]}
    return settings


def rolling_task(texts: list[str]) -> Task:
    """Perplexity of whole texts in lm-eval's rolling windows."""
    settings = {
        "output_type": "loglikelihood_rolling",
        "doc_to_text": "",
        "doc_to_target": "{{text}}",
        "metric_list": [{"metric": name} for name in ("word_perplexity", "byte_perplexity")],
    }
    return Task("rolling", settings, [{"text": text} for text in texts])


def manual_texts(count: int) -> list[str]:
    """Long passages of Python's own manual, longest first."""
    from pydoc_data.topics import topics

    return sorted(topics.values(), key=len, reverse=True)[2 : 2 + count]


def answer_task(rows: list[dict[str, Any]], shots: int = 4, max_new_tokens: int = 48) -> Task:
    """Questions answered in free text up to the end of the line, after fixed examples."""
    settings = {
        "output_type": "generate_until",
        "doc_to_text": "Question: {{question}}\nAnswer:",
        "doc_to_target": "{{answer}}",
        "num_fewshot": shots,
        "fewshot_config": {"sampler": "first_n", "samples": rows[:shots]},
        "generation_kwargs": {"until": ["\n\n", "Question:"], "max_gen_toks": max_new_tokens, "do_sample": False},
        "metric_list": [{"metric": "exact_match"}],
    }
    return Task("answers", settings, rows[shots:])


def answer_rows(count: int) -> list[dict[str, Any]]:
    """Questions of MMLU with the right choice as the answer's text."""
    rows = questions()[:: 281 // count][:count]
    return [{"question": row["question"], "answer": row["choices"][row["answer"]]} for row in rows]


def files_of(directory: Path, count: int) -> tuple[list[Task], list[str], list[dict[str, Any]]]:
    """BBH choice tasks, WikiText passages and GSM8K rows from `directory`, for those who have them there."""
    tasks = []
    for name in ("date_understanding", "logical_deduction_three_objects", "hyperbaton"):
        found = json.loads((directory / "bbh" / f"{name}.json").read_text(encoding="utf-8"))["examples"]
        letters = sorted({row["target"] for row in found})
        template = {"doc_to_text": "Q: {{input}}\nA:", "doc_to_choice": letters, "doc_to_target": "target"}
        rows = [{"input": row["input"], "target": row["target"]} for row in found]
        for shots in (0, 5):
            settings = {**_choice(shots, rows), **template}
            tasks.append(Task(f"bbh_{name}_{shots}shot", settings, rows[5 : 5 + count]))
    articles = (directory / "wikitext2_valid.txt").read_text(encoding="utf-8")
    passages = [articles[start : start + 12_000] for start in range(0, 12_000 * 4, 12_000)]
    lines = (directory / "gsm8k_test.jsonl").read_text(encoding="utf-8").splitlines()
    return tasks, passages, [json.loads(line) for line in lines[: count + 4]]
