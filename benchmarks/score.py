"""Scoring by `hf-fast` beside lm-eval's own `hf` model: the same loaded weights, tasks and documents, in turn.

    python benchmarks/score.py                    multiple choice, rolling perplexity, answers
    python benchmarks/score.py --only mc0 ppl     some of mc0, mc5, ppl, gen, warm
    python benchmarks/score.py --quick            few documents, once: shows that everything runs, measures little
    python benchmarks/score.py --data DIR         also BBH, WikiText-2 and GSM8K files from DIR
    python benchmarks/score.py --json             the last line is one JSON object

Everything is in fp32 with stock at batch size 8. Agreement is asserted before a ratio is printed: no metric of a
document differs, log-likelihoods agree to 1e-4 nats, perplexities to 1e-5, greedy texts are equal.

- **speedup_mc_0shot**, **speedup_mc_5shot**: seconds of stock over ours, summed over the tasks; **speedup_NAME**: one.
- **speedup_ppl**, **speedup_gen**: the same for rolling perplexity and for greedy answers. **cpu_speedup_NAME**: by
  seconds of processor time instead of the clock's, which other work on the machine moves less.
- **max_abs_dll**, **metric_flips**, **ppl_rel_diff**: what the sides differ by.
- **base_calls_warm**: forward passes of the model when every batch is already in a score cache.
- **share_of_flop_limit**: operations that the planned tokens and predicted positions need, per second, over those of a
  large fp32 product here, in the 0-shot and 5-shot tasks together.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import statistics
import time
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

from scoring.tasks import Task, answer_rows, answer_task, choice_tasks, files_of, manual_texts, rolling_task

from workbench.core.config import ModelConfig
from workbench.models.loading import LoadedModel, load

BATCH_SIZE = 8
PARTS = ("mc0", "mc5", "ppl", "gen", "warm")
LIBRARIES = ("lm-eval", "torch", "transformers")
Seconds = tuple[float, float]
"""By the clock, and of processor time."""
MOST_DIFFERENCE = 1e-4
MOST_PPL_DIFFERENCE = 1e-5
_PASSAGE = 8_000
"""Characters of a text whose perplexity is taken: longer ones take stock minutes."""


class Memo:
    """A score cache in memory, through JSON as the one on disk."""

    def __init__(self) -> None:
        self.kept: dict[str, str] = {}

    def get(self, batch: object) -> Any | None:
        found = self.kept.get(json.dumps(batch, sort_keys=True))
        return None if found is None else json.loads(found)

    def put(self, batch: object, result: Any) -> None:
        self.kept[json.dumps(batch, sort_keys=True)] = json.dumps(result)


class Bench:
    """One loaded model, both sides around it, and the seconds each has spent."""

    def __init__(self, rounds: int) -> None:
        from lm_eval.models.huggingface import HFLM

        from workbench.score.hf_fast import FastHFLM

        self.loaded: LoadedModel = load(ModelConfig(), "fp32", Path(__file__).resolve().parents[1])
        options = {"tokenizer": self.loaded.tokenizer, "batch_size": BATCH_SIZE, "max_length": 2048}
        self.sides = {"stock": HFLM(self.loaded.model, **options), "fast": FastHFLM(self.loaded.model, **options)}
        self.rounds = rounds
        self.metrics: dict[str, float] = {"max_abs_dll": 0.0, "metric_flips": 0}
        self.seconds: dict[str, dict[str, float]] = {}

    def run(self, side: str, task: Task) -> tuple[Seconds, list[dict[str, Any]], dict[str, Any]]:
        """Seconds, samples and results of one side, with the libraries' progress bars sent nowhere."""
        from lm_eval.evaluator import evaluate

        with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stderr(nowhere):
            began, began_cpu = time.perf_counter(), time.process_time()
            results = evaluate(lm=self.sides[side], task_dict=task.load(), bootstrap_iters=0, log_samples=True)
            took = (time.perf_counter() - began, time.process_time() - began_cpu)
        assert results is not None
        return took, results["samples"][task.name], results["results"][task.name]

    def compare(self, task: Task, group: str) -> None:
        """Both sides in turn; asserts that they agree, keeps the medians of the rounds' seconds."""
        rounds: dict[str, list[Seconds]] = {"stock": [], "fast": []}
        for round_number in range(self.rounds):
            found = {}
            for side in ("stock", "fast") if round_number % 2 == 0 else ("fast", "stock"):
                took, *found[side] = self.run(side, task)
                rounds[side].append(took)
            self._agree(task, found["stock"], found["fast"])
        middle = {
            side: [statistics.median(seconds) for seconds in zip(*took, strict=True)] for side, took in rounds.items()
        }
        totals = self.seconds.setdefault(group, {"stock": 0.0, "fast": 0.0})
        for side, (clock, _) in middle.items():
            totals[side] += clock
        by_clock, by_cpu = (middle["stock"][kind] / middle["fast"][kind] for kind in (0, 1))
        self.metrics |= {f"speedup_{task.name}": by_clock, f"cpu_speedup_{task.name}": by_cpu}
        sides = f"stock {middle['stock'][0]:7.2f} s   fast {middle['fast'][0]:7.2f} s"
        print(f"{task.name:<42} {len(task.documents):4d} documents   {sides}   {by_clock:6.2f}x   cpu {by_cpu:6.2f}x",
              flush=True)  # fmt: skip

    def _agree(self, task: Task, stock: list[Any], fast: list[Any]) -> None:
        kind = task.settings["output_type"]
        for one, other in zip(stock[0], fast[0], strict=True):
            if kind == "multiple_choice":
                names = ("acc", "acc_norm")
                self.metrics["metric_flips"] += sum(one[name] != other[name] for name in names)
                pairs = zip(one["filtered_resps"], other["filtered_resps"], strict=True)
                largest = max(abs(float(a[0]) - float(b[0])) for a, b in pairs)
                self.metrics["max_abs_dll"] = max(self.metrics["max_abs_dll"], largest)
                assert largest <= MOST_DIFFERENCE, f"{task.name}: log-likelihoods differ by {largest} nats"
            elif kind == "generate_until":
                assert one["resps"] == other["resps"], f"{task.name}: {one['resps']} is not {other['resps']}"
        assert self.metrics["metric_flips"] == 0, f"{task.name}: a metric of a document differs"
        if kind == "loglikelihood_rolling":
            a, b = (side[1]["byte_perplexity,none"] for side in (stock, fast))
            self.metrics["ppl_rel_diff"] = max(self.metrics.get("ppl_rel_diff", 0.0), abs(a - b) / a)
            assert self.metrics["ppl_rel_diff"] <= MOST_PPL_DIFFERENCE, self.metrics["ppl_rel_diff"]

    def warm(self, task: Task) -> None:
        """Forward passes of a second run whose batches are all in a memo."""
        side = self.sides["fast"]
        side.memo = Memo()
        first = self.run("fast", task)
        calls = 0

        def count(*_: Any) -> None:
            nonlocal calls
            calls += 1

        hook = self.loaded.model.base_model.register_forward_hook(count)
        second = self.run("fast", task)
        hook.remove()
        side.memo = None
        assert [sample["resps"] for sample in first[1]] == [sample["resps"] for sample in second[1]]
        self.metrics["base_calls_warm"] = calls

    def flop_share(self, tasks: list[Task]) -> float:
        """Operations the plan needs per second of the fast side, over those of a large product."""
        from workbench.models.choice_tree import plan
        from workbench.score.scoring import TOKENS_PER_ROW

        model = self.loaded.model
        head = model.get_output_embeddings().weight.numel()
        linear = sum(p.numel() for name, p in model.named_parameters() if p.ndim == 2 and "embed" not in name)
        operations = 0
        for task in tasks:
            instances = task.load()["tasks"][task.name]
            instances.build_all_requests(limit=None, rank=0, world_size=1)
            side = self.sides["fast"]
            pairs = [side._encode_pair(*instance.args) for instance in instances.instances]
            for group in plan(pairs, TOKENS_PER_ROW * BATCH_SIZE):
                rows = [row for batch in group.batches for row in batch]
                operations += 2 * linear * (len(group.prefix) + sum(len(row.tokens) for row in rows))
                operations += 2 * head * sum(len({node for path in row.predictors for node in path}) for row in rows)
        seconds = sum(self.seconds[group]["fast"] for group in ("mc0", "mc5") if group in self.seconds)
        return operations / seconds / product_flops()


def product_flops() -> float:
    """Operations per second of the largest product of the model's layers over 2048 tokens, best of ten."""
    import torch

    left, right = torch.randn(2048, 576), torch.randn(576, 1536)
    best = float("inf")
    for _ in range(10):
        began = time.perf_counter()
        left @ right
        best = min(best, time.perf_counter() - began)
    return 2 * 2048 * 576 * 1536 / best


def measure(parts: list[str], quick: bool, data: Path | None) -> dict[str, Any]:
    """All figures of the parts; stops if the sides do not agree."""
    bench = Bench(rounds=1 if quick else 3)
    documents = 8 if quick else 40
    tasks = {"mc0": choice_tasks(documents, 0), "mc5": choice_tasks(documents // 2, 5)}
    texts, rows = manual_texts(1 if quick else 4), answer_rows(12 if quick else 36)
    if data is not None:
        choices, texts, rows = files_of(data, documents)
        tasks = {part: [task for task in choices if task.name.endswith(f"_{part[2:]}shot")] for part in tasks}
    bench.run("stock", replace(tasks["mc0"][0], documents=tasks["mc0"][0].documents[:2]))  # imports are nobody's time
    for part in ("mc0", "mc5"):
        for task in tasks[part] if part in parts else []:
            bench.compare(task, part)
    if "ppl" in parts:
        bench.compare(rolling_task([text[:_PASSAGE] for text in texts]), "ppl")
    if "gen" in parts:
        bench.compare(answer_task(rows), "gen")
    if "warm" in parts:
        bench.warm(tasks["mc0"][0])
    names = {"mc0": "speedup_mc_0shot", "mc5": "speedup_mc_5shot", "ppl": "speedup_ppl", "gen": "speedup_gen"}
    for part, seconds in bench.seconds.items():
        bench.metrics[names[part]] = seconds["stock"] / seconds["fast"]
    if chosen := [task for part in ("mc0", "mc5") if part in parts for task in tasks[part]]:
        bench.metrics["share_of_flop_limit"] = bench.flop_share(chosen)
    return {
        "metrics": bench.metrics,
        "conditions": {
            "model": ModelConfig().ref,
            "precision": "fp32",
            "stock_batch_size": BATCH_SIZE,
            "parts": parts,
            "data": "files" if data else "installed packages",
            "rounds": bench.rounds,
            "cores": os.cpu_count(),
            "load": os.getloadavg()[0],
            "python": platform.python_version(),
            "versions": {name: metadata.version(name) for name in LIBRARIES},
        },
    }


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few documents, once")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--data", type=Path, help="directory with bbh/, wikitext2_valid.txt and gsm8k_test.jsonl")
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    options = parser.parse_args()
    os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", HF_EVALUATE_OFFLINE="1")
    result = measure(options.only, options.quick, options.data)
    for name, value in result["metrics"].items():
        print(f"  {name:<42} {value:10.4g}")
    if options.json:
        print(json.dumps({"benchmark": "score", **result}))


if __name__ == "__main__":
    main()
