"""Raw outputs of choices: one format, read back exactly, and nothing else is taken for one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.core.outputs import ChoiceOutput, read_choice
from workbench.core.wire import storable

_NATS = st.floats(max_value=0, allow_nan=False, allow_infinity=False)


@given(st.lists(st.tuples(st.text(), _NATS), min_size=2, max_size=6))
def test_a_choice_comes_back_as_written(choices: list[tuple[str, float]]) -> None:
    texts, logprobs = tuple(storable(text) for text, _ in choices), tuple(value for _, value in choices)
    output = ChoiceOutput(choice=logprobs.index(max(logprobs)), texts=texts, logprobs=logprobs)
    assert read_choice(output.model_dump_json()) == output


@pytest.mark.parametrize(
    "output",
    [
        "Lima",
        "",
        "{not json",
        '{"nll": 23.28, "tokens": 8}',
        '{"logprobs": [-0.5, -0.2]}',
        '{"choice": 0, "logprobs": [-1.0]}',
        '{"choice": 2, "logprobs": [-1.0, -2.0]}',
        '{"choice": -1, "logprobs": [-1.0, -2.0]}',
        '{"choice": 0, "logprobs": [-1.0, null]}',
        '{"choice": 0, "texts": ["one"], "logprobs": [-1.0, -2.0]}',
        '{"choice": 0, "logprobs": [-1.0, -2.0], "more": 1}',
        '{"choice":' + "[" * 100_000,
    ],
)
def test_what_is_no_choice_is_left_alone(output: str) -> None:
    assert read_choice(output) is None


def test_a_choice_is_named_by_its_text_on_one_line_or_by_its_number() -> None:
    assert ChoiceOutput(choice=0, texts=("a\n b", "c"), logprobs=(-1, -2)).said(0) == "a b"
    assert ChoiceOutput(choice=None, logprobs=(-1, None)).said(1) == "choice 2 of 2"
