"""What a text looks like: code, a table, a list, verse. Shapes in which repetition and missing full stops are right.

    shape("x = 1\\nif x:\\n    print(x)")           ->  "code"
    shape("| a | b |\\n|---|---|\\n| 1 | 2 |")       ->  "table"
    shape("1. Apples\\n2. Pears\\n3. Plums")         ->  "list"
    shape("The fog comes\\non little cat feet.\\n...")  ->  "verse"
    shape("One sentence. Another one.")           ->  "prose"
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal

Shape = Literal["code", "table", "list", "verse", "prose"]

_FENCED_OR_QUOTED = re.compile(r"```.*?(?:```|\Z)|~~~\n.*?(?:\n~~~|\Z)|`[^`\n]+`", re.DOTALL)
_CODE_LINE = re.compile(
    r"\s*(?:"
    r"[}\])]+[;,]?\s*\Z|(?:async )?(?:def|class|func|function|fn|interface|struct|enum) \w+ ?[(:{<]"
    r"|import [\w.{*\"'<]+( as \w+)?;?\s*\Z"
    r"|from [\w.]+ import |return\b[^.!?]{0,200}\Z|(?:const|let|var|val|auto|int|float|double|char|bool|String"
    r"|void) \w+ ?[=;([]"
    r"|(?:public|private|protected|static|final) \w|(?:if|for|while|elif|else if|switch) ?\(.{1,200}[{:)]\s*\Z|(?:try"
    r"|else|finally):|#include|#!/"
    r"|(?:SELECT|INSERT INTO|UPDATE|DELETE FROM|CREATE TABLE|FROM|WHERE|ORDER BY|GROUP BY|JOIN) "
    r"|</?[a-zA-Z!][^<>]{0,500}>|[\w.\[\]\"']{1,100} ?[-+*/|:]?= ?\S|[\w.]{1,100}\([^()]{0,200}\);?\s*\Z"
    r"|(?://|--|/\*|\$ |>>> |@\w)|\"[^\"]{1,100}\": ?[\[{\"\d]"
    r")"
)
_CODE_END = (";", "{", "}", "};", "):", "),", "]:", "=>", "\\", "/>", "'''", '"""')
_LIST_ITEM = re.compile(r"\s*(?:[-*+•·–●▪‣]\s|\(?[0-9]{1,3}[.):]|\(?[a-zA-Z][.)]\s|[ivxIVX]{1,5}[.)]\s|#{1,6}\s)")
_VERSE_LINE = 70
"""Longest line of verse in characters."""


def without_code(text: str) -> str:
    """`text` with fenced blocks and inline code left out."""
    if "`" not in text and "~~~\n" not in text:
        return text
    return _FENCED_OR_QUOTED.sub(" ", text)


def is_list_item(line: str) -> bool:
    """Whether a line starts with a bullet, a number, a letter or a heading's mark."""
    return _LIST_ITEM.match(line) is not None


def shape(text: str) -> Shape:
    """The shape of most of the lines of `text`; a single line is prose unless it is clearly code or a table's row.

    Looks at the first 400 lines.
    """
    lines = [line for line in text.split("\n", 400)[:400] if line.strip()]
    if not lines:
        return "prose"
    if _share(lines, _is_row) >= 0.5:
        return "table"
    if _share(lines, _is_code) >= 0.4:
        return "code"
    if len(lines) < 3:
        return "prose"
    if _share(lines, is_list_item) >= 0.5:
        return "list"
    return "verse" if _is_verse(lines) else "prose"


def _share(lines: list[str], is_one: Callable[[str], bool]) -> float:
    return sum(is_one(line) for line in lines) / len(lines)


def _is_row(line: str) -> bool:
    """Cells apart by bars, tabs, or several commas or semicolons without a sentence around them."""
    if line.count("|") >= 2 or line.count("\t") >= 2:
        return True
    return line.count(",") >= 3 and line.count(", ") == 0


def _is_code(line: str) -> bool:
    return line.rstrip().endswith(_CODE_END) or _CODE_LINE.match(line) is not None


def _is_verse(lines: list[str]) -> bool:
    """At least four short lines of which many go on in the next line, without a full stop."""
    short = [line for line in lines if len(line) <= _VERSE_LINE]
    running_on = sum(not line.rstrip().endswith((".", "!", "?", ":", "。", "！", "？")) for line in lines)
    return len(lines) >= 4 and len(short) >= 0.9 * len(lines) and running_on >= 0.3 * len(lines)
