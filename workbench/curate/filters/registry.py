"""The filters there are. A new one is one file beside this one, one line here, and one test.

    filters, dataset_filters = chosen_filters(None)     # all of them
    all_reasons()                                       # {"empty_output", "repetition", ...}
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from workbench.core.errors import UsageError
from workbench.curate.filters import (
    ai_boilerplate,
    bracket_placeholder,
    code_fence,
    conflicting_answers,
    control_chars,
    edge_whitespace,
    empty_output,
    empty_prompt,
    endings,
    input_placeholder,
    language,
    length,
    line_ends,
    make_image,
    merged_instruction,
    missing_attachment,
    mojibake,
    output_equals_prompt,
    over_represented,
    personal_data,
    refusal,
    repetition,
    roles,
    run_on,
    special_tokens,
    template_placeholder,
    truncated_end,
    url_only_input,
)
from workbench.curate.filters.contract import DatasetFilter, Filter

FILTERS: tuple[Filter, ...] = (
    line_ends.FILTER,
    mojibake.FILTER,
    control_chars.FILTER,
    special_tokens.FILTER,
    input_placeholder.FILTER,
    edge_whitespace.FILTER,
    roles.FILTER,
    empty_prompt.FILTER,
    empty_output.FILTER,
    length.FILTER,
    endings.FILTER,
    output_equals_prompt.FILTER,
    url_only_input.FILTER,
    missing_attachment.FILTER,
    make_image.FILTER,
    merged_instruction.FILTER,
    run_on.FILTER,
    template_placeholder.FILTER,
    bracket_placeholder.FILTER,
    code_fence.FILTER,
    repetition.FILTER,
    truncated_end.FILTER,
    refusal.FILTER,
    ai_boilerplate.FILTER,
    language.FILTER,
    personal_data.FILTER,
)
"""Filters that judge a record by itself.

Repairs run in this order: what was decoded wrongly may hold control characters, and what is cut off leaves blank edges.
"""

DATASET_FILTERS: tuple[DatasetFilter, ...] = (conflicting_answers.FILTER, over_represented.FILTER)
"""Filters that judge a record by what the others are."""


def chosen_filters(names: Sequence[str] | None) -> tuple[tuple[Filter, ...], tuple[DatasetFilter, ...]]:
    """The filters with these names, each once and in the registry's order; None takes all.

    Raises UsageError for a name that is not registered.
    """
    if names is None:
        return FILTERS, DATASET_FILTERS
    known = [*(one.name for one in FILTERS), *(one.name for one in DATASET_FILTERS)]
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"known filters: {', '.join(known)}"
            raise UsageError(f"unknown filter {name!r}; {hint}", where="curate.filters")
    return (
        tuple(one for one in FILTERS if one.name in names),
        tuple(one for one in DATASET_FILTERS if one.name in names),
    )


def all_reasons() -> frozenset[str]:
    """Every reason code that a registered filter may give."""
    of_filters = {reason for one in FILTERS for reason in one.reasons}
    return frozenset(of_filters.union(*(one.reasons for one in DATASET_FILTERS)))
