"""The filters there are. A new one is one file beside this one, one line here, and one test."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from workbench.core.errors import UsageError
from workbench.curate.filters import empty_output, length, output_equals_prompt, repetition, template_leftover
from workbench.curate.filters.contract import Filter

FILTERS: tuple[Filter, ...] = (
    empty_output.FILTER,
    output_equals_prompt.FILTER,
    template_leftover.FILTER,
    repetition.FILTER,
    length.FILTER,
)


def chosen_filters(names: Sequence[str]) -> list[Filter]:
    """The filters with these names, each once; UsageError for a name that is not registered."""
    known = {found.name: found for found in FILTERS}
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"known filters: {', '.join(known)}"
            raise UsageError(f"unknown filter {name!r}; {hint}", where="curate.filters")
    return [known[name] for name in dict.fromkeys(names)]
