"""Made-up rows in the shape of the standard benchmarks, as the hub gives them."""

from __future__ import annotations

from typing import Any

Row = dict[str, Any]

GSM8K: list[Row] = [
    {"question": f"Ann has {n} pens and buys {n}. How many?", "answer": f"{n} + {n} = {2 * n}\n#### {2 * n}"}
    for n in range(2, 12)
]
MMLU: list[Row] = [
    {
        "question": f"Which bone is number {n}?",
        "subject": subject,
        "choices": ["femur", "tibia", "ulna", f"bone {n}"],
        "answer": n % 4,
        "subtask": f"mmlu_{subject}",
    }
    for subject in ("virology", "anatomy")
    for n in range(4)
]
HELLASWAG: list[Row] = [
    {
        "ind": n,
        "activity_label": "Baking",
        "ctx_a": f"A cook mixes {n} eggs.",
        "ctx_b": "then he",
        "ctx": f"A cook mixes {n} eggs. then he",
        "endings": ["adds [title] flour.", "runs away.", "sings.", f"flies {n} planes."],
        "label": str(n % 4),
    }
    for n in range(5)
]
WINOGRANDE: list[Row] = [
    {
        "sentence": f"The trophy did not fit in case {n} because the _ was too big.",
        "option1": "trophy",
        "option2": "case",
        "answer": str(1 + n % 2),
    }
    for n in range(5)
]
DROP: list[Row] = [
    {
        "section_id": f"s{n}",
        "query_id": f"q{n}",
        "passage": f"The team scored {n + 3} goals in June and {n} in July.",
        "question": "How many goals were scored in June?",
        "answer": {
            "number": str(n + 3),
            "date": {"day": "", "month": "", "year": ""},
            "spans": [],
            "worker_id": "",
            "hit_id": "",
        },
        "validated_answers": {"number": [], "date": [], "spans": [], "worker_id": [], "hit_id": []},
    }
    for n in range(4)
]
MATH: list[Row] = [
    {"problem": f"What is ${n}+1$?", "level": "Level 1", "type": "Algebra", "solution": f"It is $\\boxed{{{n + 1}}}$."}
    for n in range(4)
]
TRUTHFULQA: list[Row] = [
    {
        "question": f"What happens after {n} days?",
        "mc1_targets": {"choices": ["Nothing", "All", "Rain"], "labels": [1, 0, 0]},
        "mc2_targets": {"choices": ["Nothing", "Little", "All"], "labels": [1, 1, 0]},
    }
    for n in range(4)
]
ARC: list[Row] = [
    {
        "id": str(n),
        "question": f"What is hotter than {n} suns?",
        "choices": {"text": ["ice", "fire", f"{n} stars"], "label": ["A", "B", "C"]},
        "answerKey": "ABC"[n % 3],
    }
    for n in range(5)
]
BBH: list[Row] = [{"input": f"not True and {'True' if n % 2 else 'False'} is", "target": "False"} for n in range(3)]
LAMBADA: list[Row] = [{"text": f"She had {n} cats, and all she ever spoke of were her cats"} for n in range(3, 7)]
