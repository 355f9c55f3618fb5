from __future__ import annotations

from pathlib import Path

import pytest
from synth_world import SynthWorld, chat, document

from workbench.core.config import EndpointConfig, ModelConfig, StrategyConfig, SynthConfig
from workbench.core.curation import Decontamination
from workbench.core.nodes import SynthNode
from workbench.core.stage import Done
from workbench.synth.stage import STAGE

RULES = StrategyConfig(strategy="doc_pairs", count=50)
FACT = "Return the number of items that the container named first holds, counted one by one without the empty ones."


@pytest.fixture
def world(tmp_path: Path) -> SynthWorld:
    made = SynthWorld(tmp_path)
    made.records = [document(f"count(container)\n\n{FACT}", topic="mod.count")]
    return made


def test_without_strategies_the_parts_are_empty_and_the_counts_zero(world: SynthWorld) -> None:
    outcome = world.run()
    assert outcome == Done({"candidates": 0, "accepted": 0, "rejected": 0, "review": 0, "error": 0})
    assert world.candidates() == []
    assert world.accepted() == []


def test_candidates_are_checked_against_the_documents_of_every_suite(world: SynthWorld) -> None:
    world.run(RULES)
    assert len(world.accepted()) == 2
    world.suite([{"question": f"Which function fits? {FACT}", "choices": ["count", "sum"], "answer": 0}])
    world.run(RULES)
    by_answer = {c.record.answer(): c.status for c in world.candidates() if c.record}
    assert by_answer == {FACT: "rejected", "count(container)": "accepted"}


def found_by(check: str, world: SynthWorld) -> dict[str, str]:
    """Answers of the candidates that failed a check, with its words."""
    return {
        candidate.record.answer(): one.detail
        for candidate in world.candidates()
        for one in candidate.checks
        if candidate.record is not None and one.name == check and not one.passed
    }


ASKED = f"Which function fits best? {FACT}"


def test_candidates_are_checked_against_named_datasets_and_their_heldout_rows(world: SynthWorld) -> None:
    world.decontamination = Decontamination(datasets=("exam",))
    world.dataset("exam", [chat(ASKED, "It is count.")])
    world.run(RULES)
    # 4 + 19 words are 16 8-grams, the answer's 19 are 12 of them.
    said = f'dataset exam, row 0: 75% of its question\'s 8-grams: "{FACT[:-1]}"'
    assert found_by("contamination", world) == {FACT: said}
    world.dataset("exam", [chat("Name a prime.", "Seven.")], heldout=[{"prompt": ASKED, "text": "It is count."}])
    world.run(RULES)
    assert list(found_by("contamination", world)) == [FACT]
    assert found_by("contamination", world)[FACT].startswith("held-out rows of dataset exam, row 0: ")


def test_candidates_are_checked_against_the_test_split_of_the_curated_data(world: SynthWorld) -> None:
    world.datasets = ("chats",)
    world.dataset("chats", [chat("Name a prime.", "Seven.", split="train"), chat(ASKED, "It is count.", split="test")])
    world.run(RULES)
    assert list(found_by("contamination", world)) == [FACT]
    assert found_by("contamination", world)[FACT].startswith("test split of chats, row 1: ")
    world.decontamination = Decontamination(splits=False)
    world.run(RULES)
    assert found_by("contamination", world) == {}


def test_what_would_only_flag_a_curated_row_is_for_a_person_to_review(world: SynthWorld) -> None:
    world.decontamination = Decontamination(datasets=("exam",))
    world.dataset("exam", [chat("What is returned by the function?", FACT)])
    world.run(RULES)
    assert {c.record.answer(): c.status for c in world.candidates() if c.record}[FACT] == "review"
    assert "its answer without its question" in found_by("evaluation_overlap", world)[FACT]


def test_decontamination_that_is_switched_off_is_off_for_candidates_too(world: SynthWorld) -> None:
    world.suite([{"question": ASKED}])
    world.decontamination = Decontamination(enabled=False)
    world.run(RULES)
    assert len(world.accepted()) == 2


def test_a_base_model_as_its_own_teacher_is_warned_about_and_accepts_little(
    world: SynthWorld, tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workbench.synth.strategies.qa_from_docs._MAX_TOKENS", 12)
    world.endpoints["self"] = EndpointConfig(kind="in_process")
    world.records = [document(f"{FACT} It was written for text number {number}.") for number in range(3)]
    strategy = StrategyConfig(strategy="qa_from_docs", count=3, endpoint="self")
    node_model = ModelConfig(ref=str(tiny_model_dir))
    monkeypatch.setattr("synth_world.ModelConfig", lambda: node_model)
    outcome = world.run(strategy)
    assert isinstance(outcome, Done)
    assert (outcome.summary["candidates"], outcome.summary["accepted"]) == (3, 0)
    assert "no source of facts" in world.messages()
    assert "accepted 0 of 3" in world.messages()


def test_what_the_stage_reads_outside_of_artifacts_is_part_of_its_fingerprint(
    world: SynthWorld, tiny_model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite = world.suite([{"question": "What is one and one?"}])
    model = ModelConfig(ref=str(tiny_model_dir))

    def external(**endpoints: EndpointConfig) -> dict[str, str]:
        node = SynthNode(
            synth=SynthConfig(),
            strategies=(RULES,),
            endpoints=endpoints,
            model=model,
            suites=(suite,),
            suites_dir="evals",
            seed=0,
        )
        return STAGE.external(node, world.root)

    first = external(self=EndpointConfig(kind="in_process"))
    assert set(first) == {"suite:suite0", "endpoint:self:model"}
    (world.root / "evals" / "suite0.jsonl").write_text('{"question": "What is two and two?"}\n')
    assert external()["suite:suite0"] != first["suite:suite0"]
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    here = external(server=EndpointConfig(model="m"))
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:2/v1")
    assert external(server=EndpointConfig(model="m")) != here
    off = SynthNode(
        synth=SynthConfig(),
        strategies=(RULES,),
        endpoints={},
        model=model,
        decontamination=Decontamination(enabled=False),
        suites=(suite,),
        suites_dir="evals",
        seed=0,
    )
    assert STAGE.external(off, world.root) == {}
