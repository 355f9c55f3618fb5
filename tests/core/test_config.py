"""The configuration: documented to the last field, and consistent in itself."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from workbench.core.cards import Card
from workbench.core.config import LoopConfig


@pytest.mark.parametrize("model", [LoopConfig, Card])
def test_every_field_says_what_it_is(model: type[LoopConfig] | type[Card]) -> None:
    schema = model.model_json_schema()
    definitions = {model.__name__: schema, **schema["$defs"]}
    silent = [
        f"{name}.{key}"
        for name, definition in definitions.items()
        for key, field in definition.get("properties", {}).items()
        if not (field.get("description") or "$ref" in field)  # a section says it in its own docstring
    ]
    assert silent == []


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"mix": {"shares": {"a": 0.5, "b": 0.4}}}, "sum to 1"),
        ({"mix": {"shares": {"a": 1.5, "b": -0.5}}}, "not be negative"),
        ({"compare": {"pairs": []}}, "exactly one pair"),
        ({"compare": {"pairs": [{"before": "base", "after": "x", "purpose": "candidate"}]}}, "arm 'x'"),
        ({"score": {"arms": [{"name": "a"}, {"name": "a"}]}}, "same name"),
        ({"synth": {"strategies": [{"strategy": "qa_from_docs"}]}}, "needs `endpoint`"),
        ({"synth": {"strategies": [{"strategy": "qa_from_docs", "endpoint": "t"}]}}, "'t' is used but not defined"),
        ({"judge": {"endpoint": "j", "suite": "s"}}, "'j' is used but not defined"),
    ],
)
def test_contradictions_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        LoopConfig.model_validate(values)


def test_a_reason_is_switched_off_by_a_bare_off_in_yaml() -> None:
    written = yaml.safe_load("curate: {actions: {mojibake: off, refusal: drop}}")
    assert LoopConfig.model_validate(written).curate.actions == {"mojibake": "off", "refusal": "drop"}
    with pytest.raises(ValidationError, match="actions"):
        LoopConfig.model_validate({"curate": {"actions": {"mojibake": True}}})
