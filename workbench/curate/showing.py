"""What may be shown of a record in counts and reports: no personal data, no secrets, whatever the filters look for.

    shown_text(record)     "Write to ann.lee@acme.io."                ->  "Write to <EMAIL>."
    shown_detail(said, record)
                           "ends in 'ask ann.lee@acme.io'"            ->  "ends in 'ask <EMAIL>'"
                           "it says only 'ask ann.lee@ac'" (cut off)  ->  "it says only 'ask <EMAIL>'"

Records on disk stay whole: a person who takes a row back needs it as it was.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import SequenceMatcher

from workbench.core.records import Record
from workbench.curate.filters.contract import rewritten
from workbench.curate.filters.personal_data import texts_of
from workbench.text.personal_data import find, masked

_TELLING_CHARS = 8
"""So many characters of a value in a row tell something about it, where a detail has cut it off."""


def shown_text(record: Record) -> str:
    """Prompt and answer with the name of its kind in the place of every piece of personal data."""
    return rewritten(record, masked).full_text()


def shown_detail(detail: str, record: Record) -> str:
    """`detail` of a finding about `record`, without its personal data and parts of them."""
    return _without_parts(masked(detail), sorted(_values(record)))


def _values(record: Record) -> set[tuple[str, str]]:
    """Mask and value of every piece of personal data."""
    return {
        (f"<{one.kind.upper()}>", text[one.start : one.end]) for _, text in texts_of(record) for one in find(text)
    }


def _without_parts(said: str, values: Iterable[tuple[str, str]]) -> str:
    for mask, value in values:
        said = _without_part(said, mask, value)
    return said


def _without_part(said: str, mask: str, value: str) -> str:
    """`said` without every run of characters that it has in common with `value`, if it is long enough to tell."""
    common = SequenceMatcher(None, said, value, autojunk=False).find_longest_match()
    if common.size < _TELLING_CHARS:
        return said
    before, after = said[: common.a], said[common.a + common.size :]
    return _without_part(before, mask, value) + mask + _without_part(after, mask, value)
