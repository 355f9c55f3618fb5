"""A project with curated documents, and the stage run on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from contexts import made_up_context
from manifests import made_up_manifest

from workbench.core.config import EndpointConfig, ModelConfig, StrategyConfig, SynthConfig
from workbench.core.curation import Decontamination
from workbench.core.events import Event
from workbench.core.nodes import SynthNode
from workbench.core.parts import read_rows, write_documents, write_rows
from workbench.core.records import Candidate, Message, Record, Source, record_id
from workbench.core.stage import Artifact, Outcome
from workbench.core.suites import Documents, Suite
from workbench.synth.stage import STAGE

_MANIFEST = made_up_manifest("x")


def document(text: str, topic: str | None = None, dataset: str = "docs", part_of: str | None = None) -> Record:
    """A curated document."""
    source = Source(dataset=dataset, file="docs.txt", row=3, part_of=part_of)
    return Record(id=record_id("document", text=text), kind="document", text=text, source=source, topic=topic)


def chat(question: str, answer: str, split: str | None = None) -> Record:
    """A conversation."""
    turns = (Message(role="user", content=question), Message(role="assistant", content=answer))
    source = Source(dataset="chats", file=f"{split or 'all'}.jsonl", split=split)
    return Record(id=record_id("chat", turns), kind="chat", messages=turns, source=source)


class SynthWorld:
    """Runs the stage and reads what it wrote."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.records: list[Record] = []
        self.suites: list[Suite] = []
        self.endpoints: dict[str, EndpointConfig] = {}
        self.events: list[Event] = []
        self.cancel_after: int | None = None
        self.inputs: dict[str, Artifact] = {}
        self.datasets: tuple[str, ...] = ()
        self.decontamination = Decontamination()

    def teacher(self, url: str, **settings: Any) -> None:
        """Names a server as the endpoint `teacher`."""
        defaults: dict[str, Any] = {"model": "big-teacher", "max_retries": 0, "timeout_s": 30}
        self.endpoints["teacher"] = EndpointConfig(base_url=url, **defaults | settings)

    def suite(self, documents: list[dict[str, Any]], **settings: Any) -> Suite:
        """Adds a suite with documents in a file."""
        name = f"suite{len(self.suites)}"
        write_documents(self.root / "evals" / f"{name}.jsonl", documents)
        defaults: dict[str, Any] = {"kind": "lm_eval", "role": "target", "primary_metric": "acc"}
        self.suites.append(Suite(name=name, documents=Documents(file=f"{name}.jsonl"), **defaults | settings))
        return self.suites[-1]

    def dataset(self, name: str, rows: list[Record], heldout: list[dict[str, Any]] | None = None) -> None:
        """Adds an ingested dataset to the inputs."""
        root = self.root / "ingest" / name
        write_rows(root / "records.jsonl", rows)
        if heldout is not None:
            write_documents(root / "heldout.jsonl", heldout)
        self.inputs[f"ingest:{name}"] = Artifact(root, _MANIFEST)

    def run(self, *strategies: StrategyConfig, seed: int = 0, **synth: Any) -> Outcome:
        """Runs the stage; parts are under `out`."""
        write_rows(self.root / "curate" / "records.jsonl", self.records)
        node = SynthNode(
            synth=SynthConfig(strategies=strategies, **synth),
            strategies=strategies,
            endpoints=self.endpoints,
            model=ModelConfig(),
            decontamination=self.decontamination,
            datasets=self.datasets,
            suites=tuple(self.suites),
            suites_dir="evals",
            seed=seed,
        )
        context = made_up_context(
            "synth",
            self.root / "out",
            work_dir=self.root / "work",
            project=self.root,
            seed=seed,
            emit=self.events.append,
            cancelled=lambda: self.cancel_after is not None and len(self.events) >= self.cancel_after,
        )
        return STAGE.run(node, {"curate": Artifact(self.root / "curate", _MANIFEST), **self.inputs}, context)

    def candidates(self) -> list[Candidate]:
        return list(read_rows(self.root / "out" / "candidates.jsonl", Candidate))

    def accepted(self) -> list[Record]:
        return list(read_rows(self.root / "out" / "records.jsonl", Record))

    def messages(self) -> str:
        return "\n".join(event.model_dump_json() for event in self.events)
