"""Scoring multiple choice: this project's stage code against stock lm-eval on the same suite and the same loaded model.

    python benchmarks/score.py [--quick] [--json]

Both sides are given the loaded model and the same documents, and are run in turn, three times each. In fp32 (40
documents of a suite) the answers must be equal and the log-likelihoods agree to 1e-3 nats, or the script fails. At nf4,
where rounding in bf16 may move a log-likelihood, the largest move and the number of changed answers are printed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from workbench.core.config import ModelConfig, Precision
from workbench.core.suites import Suite, read_documents, suite_path
from workbench.core.yamlfile import load_model
from workbench.models.loading import LoadedModel, load
from workbench.score.kinds import lm_eval
from workbench.score.scoring import Job
from workbench.score.tasks import task_settings

ROOT = Path(__file__).resolve().parent.parent
BATCH_SIZE = 8
REPEATS = 3
Answers = list[tuple[float, list[float]]]
"""Per document: accuracy and the log-likelihoods of its choices."""


def ours(loaded: LoadedModel, suite: Suite) -> Answers:
    """The suite through the stage's own code, from the file to the rows."""
    documents = read_documents(suite_path(ROOT / "evals", suite, {}), suite)
    job = Job("bench", suite, documents, loaded, BATCH_SIZE, None, lambda done, total: None)
    rows = [row for row in lm_eval.score(job).rows if row.metric == "acc"]
    return [(row.value or 0.0, json.loads(row.output)["logprobs"]) for row in rows]


def stock(loaded: LoadedModel, suite: Suite) -> Answers:
    """The suite through lm-eval's own entry point, data loader and model class."""
    import lm_eval as harness
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    path = suite_path(ROOT / "evals", suite, {})
    with tempfile.TemporaryDirectory() as cache:
        task = {
            **task_settings(suite),
            "dataset_path": "json",
            "dataset_kwargs": {"data_files": {"test": str(path)}, "cache_dir": cache},
        }
        model = HFLM(
            pretrained=loaded.model,
            tokenizer=loaded.tokenizer,
            batch_size=BATCH_SIZE,
            softmax_dtype="float32",
            max_length=loaded.config.max_length,
        )
        results = harness.simple_evaluate(
            model=model,
            tasks=[task],
            task_manager=TaskManager(include_defaults=False),
            limit=suite.limit,
            bootstrap_iters=0,
        )
    assert results is not None
    return [
        (float(sample["acc"]), [float(value) for value, _ in sample["filtered_resps"]])
        for sample in results["samples"][suite.name]
    ]


def timed(run: Any, loaded: LoadedModel, suite: Suite) -> tuple[float, Answers]:
    """Seconds and answers of one run, with the library's progress bars sent nowhere."""
    with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stderr(nowhere):
        began = time.perf_counter()
        answers = run(loaded, suite)
        return time.perf_counter() - began, answers


def difference(left: Answers, right: Answers) -> tuple[int, float]:
    """Number of documents with another accuracy, and the largest difference of a log-likelihood in nats."""
    assert len(left) == len(right), (len(left), len(right))
    flips = sum(one[0] != other[0] for one, other in zip(left, right, strict=True))
    pairs = [pair for one, other in zip(left, right, strict=True) for pair in zip(one[1], other[1], strict=True)]
    return flips, max(abs(first - second) for first, second in pairs)


def compare(names: list[str], limit: int | None, precision: Precision, repeats: int = REPEATS) -> dict[str, float]:
    """Medians and agreement over the suites at one precision."""
    loaded = load(ModelConfig(), precision, ROOT)
    metrics: dict[str, float] = {}
    for name in names:
        suite = load_model(ROOT / "evals" / f"{name}.yaml", Suite).model_copy(update={"limit": limit})
        seconds: dict[str, list[float]] = {"stock": [], "ours": []}
        for _ in range(repeats):
            took, expected = timed(stock, loaded, suite)
            seconds["stock"].append(took)
            took, found = timed(ours, loaded, suite)
            seconds["ours"].append(took)
        flips, largest = difference(found, expected)
        if precision == "fp32":
            assert flips == 0 and largest < 1e-3, f"{name}: {flips} answers differ, largest difference {largest} nats"
        key = f"{name}@{precision}"
        medians = {side: statistics.median(values) for side, values in seconds.items()}
        metrics |= {
            f"{key}.documents": len(found),
            f"{key}.stock_s": round(medians["stock"], 3),
            f"{key}.ours_s": round(medians["ours"], 3),
            f"{key}.ratio": round(medians["stock"] / medians["ours"], 2),
            f"{key}.changed_answers": flips,
            f"{key}.largest_difference_nats": largest,
        }
        print(
            f"{key:<20} {len(found):4d} documents   stock {medians['stock']:6.2f} s   ours {medians['ours']:6.2f} s   "
            f"{medians['stock'] / medians['ours']:5.2f}x   {flips} answers changed, by {largest:.1e} nats at most"
        )
    return metrics


def main() -> None:
    """Runs the comparison and prints it; with --json the last line of standard output is one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="one suite, 40 documents of it")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    options = parser.parse_args()
    os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", HF_EVALUATE_OFFLINE="1")
    names = ["copying"] if options.quick else ["agreement", "capitals", "copying"]
    metrics = compare(names, 40, "fp32") | compare(names, 40 if options.quick else None, "nf4")
    conditions = {
        "batch_size": BATCH_SIZE,
        "model": ModelConfig().ref,
        "cpus": os.cpu_count(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "repeats": REPEATS,
    }
    if options.json:
        print(json.dumps({"benchmark": "score", "metrics": metrics, "conditions": conditions}))


if __name__ == "__main__":
    main()
