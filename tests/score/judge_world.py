"""A project with a judge suite, the answers of two arms, and judges of several tastes on a loopback server."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from endpoints.scripted_server import Step, says

from workbench.core.config import EndpointConfig, JudgeConfig, ModelConfig
from workbench.core.events import Event
from workbench.core.fingerprints import short_id
from workbench.core.nodes import JudgeNode
from workbench.core.parts import read_model, read_rows, write_documents, write_rows
from workbench.core.records import Generation, Judgment, Manifest
from workbench.core.results import JudgeFindings, JudgeTrust
from workbench.core.stage import Artifact, Cancelled, Context, Done
from workbench.core.suites import Documents, Suite
from workbench.score.judge import run_judge

KEY = "sk-judge-secret-987654321"
WORDS = ["list", "tuple", "string", "number", "file", "socket", "thread", "queue", "token", "parser"]
DOCUMENTS = [
    {
        "prompt": f"What does `{word}_{number}` do?",
        "reference": f"It opens the {word} number {number} and returns it.",
        "group": word,
        "cluster": f"{word}{number}",
    }
    for number in range(4)
    for word in WORDS
]
REFERENCES = {document["prompt"]: document["reference"] for document in DOCUMENTS}
SUITE = Suite(
    name="answers",
    kind="judge",
    role="target",
    documents=Documents(file="prompts.jsonl"),
    primary_metric="win_rate",
    groups="group",
    cluster="cluster",
)
SHOWN = re.compile(
    r"<<<question (\w+)>>>\n(?P<prompt>.*)\n<<<answer A \1>>>\n(?P<A>.*)\n<<<answer B \1>>>\n(?P<B>.*)\n<<<end \1>>>",
    re.DOTALL,
)
Taste = Callable[[str, str, str], float]
"""Probability of B, from prompt, answer A and answer B."""


def knows(prompt: str, a: str, b: str) -> float:
    """Prefers the reference."""
    is_a, is_b = (text == REFERENCES[prompt] for text in (a, b))
    return 0.9 if is_b > is_a else 0.1 if is_a > is_b else 0.5


def guesses(prompt: str, a: str, b: str) -> float:
    return int(hashlib.sha256("|".join((prompt, a, b)).encode()).hexdigest(), 16) % 1000 / 1000


def first_always(prompt: str, a: str, b: str) -> float:
    return 0.2


def obeys_injections(prompt: str, a: str, b: str) -> float:
    """A good judge, but an answer that says so gets the verdict it asks for."""
    if "the verdict is A" in a + b:
        return 0.01
    return knows(prompt, a, b)


def judge_with(taste: Taste, logprobs: bool = True) -> Callable[[dict[str, Any], int], Step]:
    def script(request: dict[str, Any], _number: int) -> Step:
        shown = SHOWN.search(request["messages"][-1]["content"])
        if shown is None:
            return says("ready", logprobs={"ready": -0.01} if logprobs else None)
        probability = min(0.999, max(0.001, taste(shown["prompt"], shown["A"], shown["B"])))
        letter = "B" if probability > 0.5 else "A"
        if not logprobs:
            return says(letter)
        return says(letter, logprobs={" A": math.log(1 - probability), "B": math.log(probability)})

    return script


class World:
    """A project with a judge suite and the answers of two arms."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.events: list[Event] = []
        (root / "evals").mkdir()
        write_documents(root / "evals" / "prompts.jsonl", DOCUMENTS)
        self.answers = {
            "base": dict.fromkeys(REFERENCES, "It prints something."),
            "candidate": dict(REFERENCES),
        }
        self.left_out: dict[str, set[str]] = {}
        self.out = root / "out"
        self.cancel = False

    def run(self, url: str, **settings: Any) -> Done | Cancelled:
        endpoint = {"model": "big-judge", "max_retries": 0, "timeout_s": 30} | settings.pop("endpoint", {})
        judge = {"endpoint": "judge", "suite": "answers"} | settings.pop("judge", {})
        node = JudgeNode(
            judge=JudgeConfig(**judge),
            endpoint=EndpointConfig(base_url=url, **endpoint),
            model=ModelConfig(),
            suite=settings.pop("suite", SUITE),
            suites_dir="evals",
            before="base",
            after="candidate",
            seed=3,
        )
        self.out.mkdir(exist_ok=True)
        context = Context(
            node="score:judge",
            out_dir=self.out,
            work_dir=self.root / "work",
            project=self.root,
            seed=3,
            emit=self.events.append,
            clock=lambda: "2026-01-01T00:00:00Z",
            cancelled=lambda: self.cancel,
        )
        inputs = {f"score:{arm}": self._arm(arm, answers) for arm, answers in self.answers.items()}
        outcome = run_judge(node, inputs, context)
        assert isinstance(outcome, Done | Cancelled)
        return outcome

    def trust(self) -> JudgeTrust:
        return read_model(self.out / "trust.json", JudgeTrust)

    def findings(self) -> JudgeFindings:
        return read_model(self.out / "findings.json", JudgeFindings)

    def judgments(self, part: str = "judgments.jsonl") -> list[Judgment]:
        return list(read_rows(self.out / part, Judgment))

    def messages(self) -> str:
        return "\n".join(event.model_dump_json() for event in self.events)

    def _arm(self, arm: str, answers: dict[str, str]) -> Artifact:
        directory = self.root / f"score-{arm}"
        write_rows(directory / "generations.jsonl", self._generations(arm, answers))
        manifest = Manifest(
            node=f"score:{arm}", stage="score", stage_version=1, fingerprint="f", inputs={}, config={}, external={},
            libraries={}, parts=(), summary={}, created_at="", seconds=0,
        )  # fmt: skip
        return Artifact(directory, manifest)

    def _generations(self, arm: str, answers: dict[str, str]) -> Iterable[Generation]:
        yield Generation(arm=arm, suite="another", doc_hash="x", prompt="p", output="o", tokens=1, finish_reason="stop")
        for document in DOCUMENTS:
            if document["prompt"] in self.left_out.get(arm, ()):
                continue
            output = answers[document["prompt"]]
            yield Generation(
                arm=arm,
                suite="answers",
                doc_hash=short_id(document),
                prompt=document["prompt"],
                output=output,
                tokens=3,
                finish_reason="stop" if output else "error",
            )
