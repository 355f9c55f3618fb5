"""What of an endpoint makes a node another one: who answers and with how much patience, and nothing else of how it is
asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from workbench.core.config import EndpointConfig
from workbench.loop.plan import Plan, build_plan
from workbench.loop.settings import load_config
from workbench.loop.starter import create_project

ASKING = {"curate", "synth", "train", "score:judge"}
DECIDING = ("kind", "base_url", "model", "timeout_s", "max_retries")
MANNERS = {
    "api_key_env": "OTHER_KEY",
    "concurrency": 9,
    "requests_per_minute": 60,
    "tokens_per_minute": 90000,
    "max_requests": 100000,
    "max_total_tokens": 5000000,
    "max_cost": 2.5,
    "max_seconds": 60,
    "prices": "{input_per_million: 3, output_per_million: 4}",
    "local_only": True,
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("plan") / "p"
    create_project(root)
    return root


def planned(project: Path, **endpoint: object) -> Plan:
    """A loop in which one server rates rows, writes pairs, rewards answers and judges."""
    asked = {"base_url": "http://127.0.0.1:9/v1", "model": "m"} | endpoint
    inner = ", ".join(f"{name}: {value}" for name, value in asked.items())
    settings = [
        f"endpoints={{one: {{{inner}}}}}",
        "judge.endpoint=one",
        "curate.rating.endpoint=one",
        "synth.strategies=[{strategy: qa_from_docs, endpoint: one}]",
        "mix.shares={}",
        "train.objective=grpo",
        "train.grpo={rewards: [{name: judge, endpoint: one}]}",
    ]
    return build_plan(load_config(project / "workbench.yaml", settings, {}), project)


def changed(before: Plan, after: Plan) -> set[str]:
    return {node.name for node in before.nodes if after.node(node.name).fingerprint != node.fingerprint}


def test_every_setting_is_either_who_answers_or_how_it_is_asked() -> None:
    assert set(EndpointConfig.model_fields) == set(DECIDING) | set(MANNERS)


def test_how_a_server_is_asked_makes_no_node_another_one(project: Path) -> None:
    before = planned(project)
    others = {name: value for name, value in MANNERS.items() if name not in {"prices", "max_cost"}}
    assert changed(before, planned(project, **others)) == set()
    assert changed(before, planned(project, **MANNERS)) <= {"report"}  # where the prices make the judge's cost


def test_another_model_or_address_makes_those_that_ask_anew(project: Path) -> None:
    before = planned(project)
    for other in ({"model": "another"}, {"base_url": "http://127.0.0.1:10/v1"}, {"kind": "in_process"}):
        assert changed(before, planned(project, **other)) >= ASKING
    ingested = {node.name for node in before.nodes if node.stage == "ingest"}
    assert not changed(before, planned(project, model="another")) & ingested


@pytest.mark.parametrize("more", [{"timeout_s": 600}, {"max_retries": 9}])
def test_more_patience_asks_again_what_failed(more: dict[str, int], project: Path) -> None:
    assert changed(planned(project), planned(project, **more)) >= ASKING


def test_what_a_stage_receives_and_what_is_written_down_holds_every_setting(project: Path) -> None:
    node = planned(project, **MANNERS).node("train").config
    written = node.model_dump(mode="json")["endpoints"]["one"]
    assert set(written) == set(EndpointConfig.model_fields)
    assert (written["concurrency"], written["prices"]["input_per_million"]) == (9, 3)
    assert node.for_fingerprint()["endpoints"]["one"] == {
        "kind": "openai",
        "base_url": "http://127.0.0.1:9/v1",
        "model": "m",
        "timeout_s": 60.0,
        "max_retries": 4,
    }
