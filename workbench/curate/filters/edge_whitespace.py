"""`edge_whitespace`: blank space around what is said.

    " \\n The answer is 7. \\n\\n"   ->  repair  edge_whitespace: "The answer is 7."
    "    return x + 1"            ->  nothing: the indentation is part of the code
    document "one\\ntwo\\n"         ->  nothing: a file ends in a line feed
    document "one\\ntwo\\n\\n\\n"     ->  repair  edge_whitespace: "one\\ntwo\\n"

Blank lines before the first word go, and white space after the last one. Two or more spaces, or a tab, before the
first word stay where they may be an indentation, that is, unless prose follows. What a tool returned is never touched,
nor the last line of code or of a patch, where a blank is a line of its own, nor what follows a closed `</think>`.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from workbench.core.curation import CurateConfig
from workbench.core.records import Record
from workbench.curate.filters.contract import Filter, Repair, Subject, Verdict, rewritten
from workbench.curate.filters.text_shape import shape

_PROSE = re.compile(r"[^\W\d_a-z][\w'’-]*[,;]?(?: [\w'’(\"“-][\w'’)\"”-]*[,;:]?){3}")
_PATCH = re.compile(r"^(?:@@ |diff --git |--- [^\n]+\n\+\+\+ )", re.MULTILINE)


def check(subject: Subject, config: CurateConfig) -> list[Verdict]:
    """Nothing: what can be wrong is repaired."""
    return []


def repair(record: Record, config: CurateConfig) -> list[Repair]:
    """What system, user and assistant say, and documents, without blank edges."""
    rewrite: Callable[[str], str] = _trimmed_document if record.kind == "document" else _trimmed
    repaired = rewritten(record, rewrite, roles=("system", "user", "assistant"))
    if repaired is record:
        return []
    return [Repair(repaired, "edge_whitespace", "cut blank space off the ends")]


def _trimmed(text: str) -> str:
    bare = text.strip()
    if len(bare) == len(text) or not bare:
        return bare
    end = text.rstrip()
    if end.endswith("</think>") or ("\n" in bare and end != text and (_PATCH.search(text) or shape(text) == "code")):
        end = text
    return _without_blank_start(end)


def _trimmed_document(text: str) -> str:
    """As `_trimmed`; one line feed at the end stays."""
    trimmed = _trimmed(text)
    is_file = trimmed and not trimmed.endswith("\n") and text.rstrip(" \t").endswith("\n")
    return f"{trimmed}\n" if is_file else trimmed


def _without_blank_start(text: str) -> str:
    bare = text.lstrip()
    start = len(text) - len(bare)
    line_start = text.rfind("\n", 0, start) + 1
    indentation = text[line_start:start]
    is_indented = "\t" in indentation or indentation.count(" ") > 1
    return text[line_start:] if is_indented and not _is_prose(bare) else bare


def _is_prose(bare: str) -> bool:
    """A sentence begins here, and the lines below are not indented as code or an aligned layout would be."""
    first, _, rest = bare.partition("\n")
    return _PROSE.match(first) is not None and not re.search(r"^[ \t]", rest, re.MULTILINE)


FILTER = Filter("edge_whitespace", ("edge_whitespace",), check, repair)
